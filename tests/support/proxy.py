"""A TCP proxy that goes dumb when a client says a certain thing: whoever is killed then was killed exactly there."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from opinion.serving import TcpServer


class Proxy:
    """Between clients and a server at `address` (scheme://host:port/path)."""

    def __init__(self, address: str) -> None:
        self._behind = urlsplit(address)
        self._server = TcpServer(self._serve)
        self.mute_at: bytes | None = None  # the first message with these bytes, and all after it, stay here
        self.muted = asyncio.Event()
        self.url = ""

    async def __aenter__(self) -> Self:
        (port,) = (await self._server.start("127.0.0.1")).values()
        self.url = self._behind._replace(netloc=f"127.0.0.1:{port}").geturl()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.stop()

    def mute(self, at: bytes) -> None:
        """From the next message with these bytes on, nothing reaches the server."""
        self.mute_at = at
        self.muted.clear()

    def unmute(self) -> None:
        """Everything passes again."""
        self.mute_at = None
        self.muted.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection(self._behind.hostname, self._behind.port)
        back = asyncio.create_task(self._pass(behind, writer))
        try:
            await self._pass(reader, before, listen=True)
        except ConnectionError:
            pass  # the client was killed
        finally:
            back.cancel()
            await asyncio.gather(back, return_exceptions=True)
            before.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, listen: bool = False) -> None:
        while data := await reader.read(1 << 16):
            if listen and self.mute_at is not None and self.mute_at in data:
                self.muted.set()
            if listen and self.muted.is_set():
                continue
            writer.write(data)
            await writer.drain()
