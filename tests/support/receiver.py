"""A local webhook receiver that answers as told and verifies signatures with an independent implementation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from standardwebhooks import Webhook, WebhookVerificationError


@dataclass
class Answer:
    """What to say to the next request."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False


@dataclass
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    def verified_by(self, secret: str) -> bool:
        """Whether the signature holds for this key."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


class Receiver:
    """An HTTP server on 127.0.0.1. `answers` are given in order, then 200 for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.received: list[Received] = []
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook/secret-path?token=hush"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
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
            writer.write(f"HTTP/1.1 {answer.status} X\r\ncontent-length: 0\r\nconnection: close\r\n{extra}\r\n".encode())
            await writer.drain()
        finally:
            writer.close()
