"""A receiver of webhooks that fails, hangs, limits, redirects, hangs up and recovers, as a seed says, and remembers what it was told."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Self

from standardwebhooks import Webhook, WebhookVerificationError

from opinion.clock import monotonic_s
from opinion.serving import TcpServer

MOODS = {
    "fine": (200, ""),
    "broken": (500, ""),
    "refusing": (404, ""),
    "limiting": (429, "retry-after: 0.1\r\n"),
    "busy": (503, "retry-after: soon\r\n"),
    "redirecting": (307, "location: http://169.254.169.254/latest/meta-data\r\n"),
    "deaf": (0, ""),  # hangs up before it answers, though it has heard
    "hanging": (0, ""),
}
HANGS_S = 3.0
MOST_BAD = 4
"""So often at most one message meets a bad mood."""


class Heard(NamedTuple):
    """One request."""

    message_id: str
    alert_id: str
    sequence: int
    body: bytes
    accepted: bool
    at_s: float


class MoodyReceiver:
    """An HTTP server on 127.0.0.1, in a bad mood for a `share` of requests; which, and in what mood, follows from the seed, the message and its try."""

    def __init__(self, *, key: str, seed: int, share: float, moods: Sequence[str]) -> None:
        self.heard: list[Heard] = []
        self.accepted: set[tuple[str, int]] = set()
        self.unverified = 0
        self.url = ""
        self._webhook = Webhook(key)
        self._seed, self._share, self._moods = seed, share, moods
        self._tries: dict[str, int] = defaultdict(int)
        self._server = TcpServer(self._serve)

    async def __aenter__(self) -> Self:
        (port,) = (await self._server.start("127.0.0.1")).values()
        self.url = f"http://127.0.0.1:{port}/hook"
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._server.stop()

    def _mood(self, message_id: str) -> str:
        self._tries[message_id] += 1
        chance = random.Random(f"{self._seed} {message_id} {self._tries[message_id]}")
        if self._tries[message_id] > MOST_BAD or chance.random() >= self._share:
            return "fine"
        return chance.choice(self._moods)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readline():
                headers: dict[str, str] = {}
                while line := (await reader.readline()).decode().strip():
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers["content-length"]))
                mood = self._mood(headers["webhook-id"])
                self._note(headers, body, accepted=mood == "fine")
                if mood == "hanging":
                    await asyncio.sleep(HANGS_S)
                if mood in {"hanging", "deaf"}:
                    return
                status, extra = MOODS[mood]
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 2\r\n{extra}\r\n{{}}".encode())
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender was killed

    def _note(self, headers: dict[str, str], body: bytes, *, accepted: bool) -> None:
        try:
            self._webhook.verify(body, headers)
        except WebhookVerificationError:
            self.unverified += 1
        data = json.loads(body)["data"]
        heard = Heard(headers["webhook-id"], data["alert_id"], data["sequence"], body, accepted, monotonic_s())
        self.heard.append(heard)
        if accepted:
            self.accepted.add((heard.alert_id, heard.sequence))
