"""`/metrics` and `/healthz` of a process that has no HTTP server of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry

from opinion.errors import ConfigError
from opinion.metrics import exposition
from opinion.serving import TcpServer

log = structlog.get_logger()
READ_TIMEOUT_S = 5.0
"""Longest wait for a request line: a scraper that hangs must not keep a connection."""


class MetricsServer:
    """A small HTTP server on the running loop: GET /metrics, GET /healthz, 404 for the rest.

    start() ──▶ serving ──stop()──▶ closed
    """

    def __init__(self, registry: CollectorRegistry, *, host: str, port: int, healthy: Callable[[], bool]) -> None:
        self._registry = registry
        self._host = host
        self._port = port
        self._healthy = healthy
        self._server = TcpServer(self._serve)

    async def start(self) -> int:
        """Listen; returns the port, which the system chose where 0 was asked for.

        Errors:
            ConfigError: the port is taken.
        """
        try:
            ports = await self._server.start(self._host, self._port)
        except OSError as error:
            msg = f"cannot listen on {self._host}:{self._port} for metrics: {error.strerror}"
            raise ConfigError(msg) from error
        return next(iter(ports.values()))

    async def stop(self) -> None:
        """Stop listening, and close what is open."""
        await self._server.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                request = await reader.readline()
                while (await reader.readline()).strip():
                    pass
            status, kind, body = self._answer(request.decode("latin-1").split(" "))
            head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        except (OSError, TimeoutError, ValueError):
            log.debug("metrics request broken off")

    def _answer(self, request: list[str]) -> tuple[str, str, bytes]:
        path = request[1].split("?")[0] if len(request) > 1 else ""
        if path == "/metrics":
            return "200 OK", CONTENT_TYPE_LATEST, exposition(self._registry)
        if path == "/healthz":
            return ("200 OK", "text/plain", b"ok\n") if self._healthy() else ("503 Service Unavailable", "text/plain", b"not healthy\n")
        return "404 Not Found", "text/plain", b"/metrics or /healthz\n"
