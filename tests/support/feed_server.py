"""A local HTTP server that answers any raw bytes, in pieces, slowly, or never to the end."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from opinion.serving import TcpServer

PACE_S = 0.01
"""Seconds between two pieces of a reply that trickles."""


@dataclass
class Reply:
    """Bytes to send, piece by piece; then the connection is closed, unless it `hangs`, or torn down, where it `resets`."""

    pieces: Sequence[bytes] = ()
    trickle: bool = False
    hangs: bool = False
    resets: bool = False


@dataclass
class Request:
    """What was asked."""

    path: str  # with its query
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case


def reply(body: bytes = b"", *, status: int = 200, headers: Mapping[str, str] | None = None, length: int | None = None) -> Reply:
    """A usual answer; `length` is the Content-Length it claims."""
    lines = {"content-length": str(len(body) if length is None else length), "connection": "close"} | dict(headers or {})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return Reply([f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + body])


def redirect(location: str, *, status: int = 302) -> Reply:
    """An answer that sends elsewhere."""
    return reply(status=status, headers={"location": location})


class FeedServer:
    """An HTTP server on 127.0.0.1, or on other `hosts` of this machine.

    `replies` are by path, without its query: they are given in order, the last for ever. Other paths are 404.
    """

    def __init__(self, *, hosts: Sequence[str] = ("127.0.0.1",)) -> None:
        self._hosts = hosts
        self.replies: dict[str, list[Reply]] = {}
        self.requests: list[Request] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.crowd = 0  # where not 0: an answer waits a while if fewer are in flight
        self._server = TcpServer(self.serve)
        self.port = 0
        self.ports: dict[str, int] = {}

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://{self._hosts[0]}:{self.port}"

    async def __aenter__(self) -> Self:
        self.ports = await self._server.start(self._hosts)
        self.port = self.ports[self._hosts[0]]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.stop()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):  # the client has gone
            await self._answer(reader, writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(1) == b"\x16":  # a TLS handshake
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            return
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        parts = (line.partition(": ") for line in lines[1:] if line)
        headers = {name.lower(): value for name, _, value in parts}
        self.requests.append(Request(lines[0].split(" ")[1], headers))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self._crowding(reader)
            await self._send(self._reply_to(self.requests[-1].path.partition("?")[0]), reader, writer)
        finally:
            self.in_flight -= 1

    def _reply_to(self, path: str) -> Reply:
        known = self.replies.get(path)
        if not known:
            return reply(status=404)
        return known.pop(0) if len(known) > 1 else known[0]

    async def _crowding(self, reader: asyncio.StreamReader) -> None:
        if self.in_flight < self.crowd:
            await _gone(reader, within_s=10 * PACE_S)

    async def _send(self, answer: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in answer.pieces:
            writer.write(piece)
            await writer.drain()
            if answer.trickle and await _gone(reader, within_s=PACE_S):
                return
        if answer.hangs:
            await reader.read()  # until the client gives up
        if answer.resets:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


async def _gone(reader: asyncio.StreamReader, *, within_s: float) -> bool:
    """Whether the client closed the connection in that time."""
    try:
        return not await asyncio.wait_for(reader.read(1), within_s)
    except TimeoutError:
        return False
