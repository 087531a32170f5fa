"""A TCP server whose connections end when it does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from opinion.tasks import end

log = structlog.get_logger()

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class TcpServer:
    """Connections, each served by a coroutine of its own.

    start() ──▶ serving ──stop()──▶ closed, and nobody is being served

    `asyncio.start_server` alone lets the connections that are open when it is closed live on, and loses those whose coroutine has not begun.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def start(self, host: str | Sequence[str], port: int = 0, **options: Any) -> dict[str, int]:
        """Listen; returns the port by address, which the system chose where 0 was asked for. `options` are those of `asyncio.start_server`.

        Errors:
            OSError: it cannot be listened there.
        """
        self._server = await asyncio.start_server(self._connected, host, port, **options)
        return {found.getsockname()[0]: found.getsockname()[1] for found in self._server.sockets}

    async def stop(self) -> None:
        """Stop listening, cancel whoever is served, and close all connections; what was written and not yet sent is lost."""
        if self._server is None:
            return
        self._server.close()
        while serving := dict(self._serving):
            await end(*serving)
            for writer in serving.values():
                writer.transport.abort()
        await self._server.wait_closed()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Close its connection: here, as a coroutine that was cancelled before it began closes nothing."""
        self._serving.pop(task).close()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("connection was not served to its end", error=repr(error))
