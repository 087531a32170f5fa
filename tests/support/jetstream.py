"""A Jetstream on real websockets, v1 and v2, that replays from a cursor and fails as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http import HTTPStatus
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from opinion.clock import epoch_ms, from_epoch_ms
from tests.support.records import NOON

NOON_US = epoch_ms(NOON) * 1000
EVERY_US = 20_000
"""Between two events: the network's 50 posts a second."""
V2 = "/xrpc/network.bsky.jetstream.subscribeEvents"
SEQS = 1_000_000_000_000_000
"""Cursors below are `seq`s, others are microseconds."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One post written, changed or deleted."""

    time_us: int
    seq: int
    did: str = "did:plc:ann"
    operation: str = "create"
    rkey: str
    record: dict[str, Any] | None = None

    def v1(self) -> bytes:
        """As `/subscribe` tells it."""
        commit: dict[str, Any] = {"rev": f"3l{self.seq}", "operation": self.operation, "collection": "app.bsky.feed.post", "rkey": self.rkey}
        if self.record is not None:
            commit |= {"record": self.record, "cid": "bafyrei"}
        return msgspec.json.encode({"did": self.did, "time_us": self.time_us, "kind": "commit", "commit": commit})

    def v2(self) -> bytes:
        """As `subscribeEvents` tells it."""
        at = msgspec.to_builtins(_instant(self.time_us))
        payload: dict[str, Any] = {
            "$type": "network.bsky.jetstream.subscribeEvents#commit",
            "seq": self.seq,
            "did": self.did,
            "time": at,
            "witnessedAt": at,
            "rev": f"3l{self.seq}",
        }
        payload |= {"operation": self.operation, "collection": "app.bsky.feed.post", "rkey": self.rkey}
        if self.record is not None:
            payload |= {"record": self.record, "cid": "bafyrei"}
        return msgspec.json.encode({"$type": "message", "payload": payload})


@dataclass(frozen=True, kw_only=True)
class Play:
    """How one connection goes. `after` counts the events that are sent over it."""

    status: int = 0  # refused with this; 0: taken
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    after: int | None = None  # then `ends`; None: it goes on for ever
    ends: Literal["abort", "stall", "too_slow"] = "abort"
    first: Sequence[str | bytes] = ()  # frames of any sort before the first event
    floor: int = 0  # number of the oldest event that is remembered: v1 says nothing of it, v2 refuses a `seq` before it
    binary: bool = False


def post(number: int, text: str = "", *, time_us: int | None = None, did: str = "", **changes: Any) -> Event:
    """Post N, on stocks; 20 ms after the one before."""
    at = NOON_US + number * EVERY_US if time_us is None else time_us
    record = {"$type": "app.bsky.feed.post", "createdAt": msgspec.to_builtins(_instant(at)), "langs": ["en"], "text": text or f"stocks fall again, number {number}"}
    return Event(time_us=at, seq=number + 1, did=did or f"did:plc:author{number % 7}", rkey=f"3k{number}", record=record | changes)


def deletion(number: int, *, of: Event) -> Event:
    """Event N: a post is deleted."""
    return Event(time_us=NOON_US + number * EVERY_US, seq=number + 1, did=of.did, rkey=of.rkey, operation="delete")


class Jetstream:
    """A server on 127.0.0.1. `log` is what happened on the network; `plays` are the connections in order, those after the last go well."""

    def __init__(self, events: Iterable[Event] = (), *, plays: Iterable[Play] = ()) -> None:
        self.log = list(events)
        self.plays = list(plays)
        self.asked: list[str] = []  # path and query of each handshake
        self.sent = 0  # events, over all connections
        self.port = 0
        self._happened = asyncio.Condition()
        self._over = False
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def cursors(self) -> list[int | None]:
        """What each handshake began with."""
        return [_cursor(path) for path in self.asked]

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", self.port, process_request=self._admit, ping_interval=None, compression=None, close_timeout=0.2)
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._server is not None
        for connection in self._server.connections:
            connection.transport.abort()
        self._over = True
        async with self._happened:
            self._happened.notify_all()
        self._server.close()
        await self._server.wait_closed()

    async def tell(self, *events: Event) -> None:
        """Something happens."""
        async with self._happened:
            self.log += events
            self._happened.notify_all()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.asked.append(request.path)
        play = self.plays.pop(0) if self.plays else Play()
        connection.begun = (play, len(self.log))  # type: ignore[attr-defined]
        cursor = _cursor(request.path)
        if not play.status and request.path.startswith(V2) and cursor is not None and cursor < min(self._floor(play).seq, SEQS):
            play = Play(status=400, body=b'{"error":"CursorTooOld","message":"the oldest is a later one"}')
        return Response(play.status, HTTPStatus(play.status).phrase, Headers({"content-length": str(len(play.body)), **play.headers}), play.body) if play.status else None

    def _floor(self, play: Play) -> Event:
        return self.log[play.floor] if self.log else post(0)

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        play, end = connection.begun  # type: ignore[attr-defined]
        cursor = _cursor(connection.request.path)
        try:
            for frame in play.first:
                await connection.send(frame)
            await self._play(connection, play, number=end if cursor is None else play.floor, cursor=cursor or 0)
        except ConnectionClosed:
            pass

    async def _play(self, connection: ServerConnection, play: Play, *, number: int, cursor: int) -> None:
        """Send what happened since the cursor, from event `number` on, and then what happens."""
        assert connection.request is not None
        v2, sent = connection.request.path.startswith(V2), 0
        while play.after is None or sent < play.after:
            if not await self._has(number):
                return
            event = self.log[number]
            number += 1
            if (event.seq if cursor < SEQS else event.time_us) < cursor:
                continue
            frame = event.v2() if v2 else event.v1()
            await connection.send(frame, text=not play.binary)
            sent += 1
            self.sent += 1
        if play.ends == "abort":
            connection.transport.abort()
        elif play.ends == "too_slow":
            await connection.send('{"$type":"error","error":"ConsumerTooSlow","message":"read faster"}')
            await connection.close(1008)
        else:
            await connection.wait_closed()

    async def _has(self, number: int) -> bool:
        """Wait until that event happens; False at the end of the server."""
        async with self._happened:
            await self._happened.wait_for(lambda: number < len(self.log) or self._over)
        return not self._over


def _instant(us: int) -> datetime:
    return from_epoch_ms(0) + timedelta(microseconds=us)


def _cursor(path: str) -> int | None:
    given = parse_qs(urlsplit(path).query).get("cursor")
    return int(given[0]) if given else None
