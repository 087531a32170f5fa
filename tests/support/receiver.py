"""A local webhook receiver that answers as told and verifies signatures with an independent implementation."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from standardwebhooks import Webhook, WebhookVerificationError

from opinion.serving import TcpServer

TLS = b"\x16"
"""How a handshake begins."""


@dataclass
class Answer:
    """What to say to the next request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    body: bytes = b""
    drip_s: float | None = None  # the answer comes byte by byte, so long apart


@dataclass
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body."""
        return dict(json.loads(self.body))

    @property
    def kind(self) -> str:
        """What it tells: `alert.firing` and the like."""
        return str(self.json["type"])

    @property
    def sequence(self) -> int:
        """Which transition of its alert it tells."""
        return int(self.json["data"]["sequence"])

    def verified_by(self, secret: str) -> bool:
        """Whether the signature holds for this key."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


class Receiver:
    """An HTTP server on 127.0.0.1, with TLS where it has a context. `answers` are given in order, then 200 for ever."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        self.answers = list(answers)
        self.taken_bytes = 0  # of the last answer
        self._tls = tls
        self.received: list[Received] = []
        self.arrived = asyncio.Event()
        self._server = TcpServer(self._serve)
        self.url = ""

    async def __aenter__(self) -> Self:
        (port,) = (await self._server.start("127.0.0.1", ssl=self._tls)).values()
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}/hook/secret-path?token=hush"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if await reader.read(1) == TLS:
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                return
            await reader.readline()
            headers: dict[str, str] = {}
            while line := (await reader.readline()).decode().strip():
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            body = await reader.readexactly(int(headers["content-length"]))
            answer = self.answers.pop(0) if self.answers else Answer()
            self.received.append(Received(headers, body))
            self.arrived.set()
            if answer.hang:
                await reader.read()  # until the sender gives up
                return
            extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
            await self._answer(
                writer, f"HTTP/1.1 {answer.status} X\r\ncontent-length: {len(answer.body)}\r\nconnection: close\r\n{extra}\r\n".encode() + answer.body, answer.drip_s
            )
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender has given up

    async def _answer(self, writer: asyncio.StreamWriter, whole: bytes, drip_s: float | None) -> None:
        self.taken_bytes, step = 0, 1 if drip_s else 65_536
        for start in range(0, len(whole), step):
            writer.write(whole[start : start + step])
            await writer.drain()
            self.taken_bytes += step
            if drip_s:
                await asyncio.sleep(drip_s)
