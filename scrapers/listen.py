"""Connections to sources that push: websockets, and lines over HTTP. Bounded in size and time; reading pauses while nobody takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol
from urllib.parse import urlsplit

import httpx
from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from opinion.addresses import GuardedTransport, guarded_socket
from opinion.clock import Clock, monotonic_s
from opinion.errors import BodyTooLarge, ConfigError, SourceError, SourceUnavailable
from opinion.settings import Settings
from opinion.tasks import end
from scrapers.fetch import refusal_of, why
from scrapers.source import Ask, Frame, Gap
from scrapers.urls import host_of, masked

MOST_FRAME_BYTES = 1 << 20
"""A longer message is passed over: texts that people write are a thousandth of it."""
MOST_WIRE_BYTES = 4 << 20
"""A message over this ends the connection before it is in memory, where one of this length lies three times."""
QUEUED = (1, 0)
"""Messages that wait to be taken from which reading pauses, and at which it goes on. They may be long ones."""
CLOSE_WITHIN_S = 2.0
ANSWER_BYTES = 4_000
"""Of an answer that refuses a connection, so much is read for its reason."""


class Batch(Struct, frozen=True):
    """What came within a moment."""

    frames: list[Frame]
    over_cap: int = 0  # messages too long to be read
    alive: bool = True  # whether there was a sign of life, be it an empty one
    gap: Gap | None = None  # what the transport itself found missing


class Pace(Struct, frozen=True, kw_only=True):
    """How long to gather a batch."""

    idle_s: float  # most seconds to wait for the first message
    gather_s: float  # most seconds to go on from there
    most_frames: int
    most_bytes: int


class PlaceTooOld(SourceUnavailable):
    """The source does not go back as far as the place where we stand."""


class Connection(Protocol):
    """An open one."""

    async def take(self, pace: Pace) -> Batch:
        """The next messages; an empty batch where none came in time.

        Errors:
            SourceUnavailable (retryable): the connection has ended; what came before the end was given out first.
        """
        ...

    async def close(self) -> None:
        """Close it; returns within CLOSE_WITHIN_S."""
        ...


TooOld = Callable[[int, bytes], bool]


async def listen(ask: Ask, *, settings: Settings, clock: Clock, too_old: TooOld | None = None) -> Connection:
    """A connection to the address of an Ask.

    Errors:
        SourceError: it cannot be had; PlaceTooOld where `too_old` says so of the answer.
        ConfigError: an address of another scheme.
    """
    scheme = urlsplit(ask.url).scheme
    openers = {"ws": _open_socket, "wss": _open_socket, "http": _open_lines, "https": _open_lines}
    if scheme not in (*openers, "kafka"):
        raise ConfigError(f"{masked(ask.url)}: nobody listens at {scheme or 'no scheme'}")
    try:
        async with asyncio.timeout(settings.fetch_deadline_s):
            if scheme == "kafka":
                return await _open_topic(ask, clock)
            return await openers[scheme](ask, settings, clock.now(), too_old)
    except TimeoutError as error:
        raise SourceUnavailable(f"{masked(ask.url)}: no connection within {settings.fetch_deadline_s:g} s") from error


class SocketConnection:
    """A websocket."""

    def __init__(self, socket: ClientConnection, *, host: str) -> None:
        self._socket = socket
        self._host = host

    async def take(self, pace: Pace) -> Batch:
        """The next messages."""
        return await gathered(self._receive, pace)

    async def _receive(self) -> bytes:
        try:
            return await self._socket.recv(decode=False)
        except ConnectionClosed as error:
            if error.sent is not None and error.sent.code == 1009:
                raise BodyTooLarge(f"{self._host}: a message of over {MOST_WIRE_BYTES} bytes") from error
            code = error.rcvd.code if error.rcvd is not None else 1006
            raise SourceUnavailable(f"{self._host}: the connection was closed ({code})") from error

    async def close(self) -> None:
        """Close it."""
        await self._socket.close()


class LinesConnection:
    """An HTTP answer that does not end: one message a line."""

    def __init__(self, client: httpx.AsyncClient, answer: httpx.Response, *, host: str) -> None:
        self._client = client
        self._answer = answer
        self._host = host
        self._lines: asyncio.Queue[bytes | SourceError] = asyncio.Queue(maxsize=64)
        self._pump = asyncio.create_task(self._read(), name="lines")  # not cancelled when a batch is full: that would end the answer

    async def take(self, pace: Pace) -> Batch:
        """The next messages."""
        return await gathered(self._receive, pace)

    async def close(self) -> None:
        """Close it."""
        await end(self._pump)
        await self._answer.aclose()
        await self._client.aclose()

    async def _receive(self) -> bytes:
        line = await self._lines.get()
        if isinstance(line, SourceError):
            self._lines.put_nowait(line)
            raise line
        return line

    async def _read(self) -> None:
        try:
            async for line in _lines(self._answer.aiter_raw()):
                await self._lines.put(line)
            reason = "the answer ended"
        except (httpx.HTTPError, OSError) as error:
            reason = f"the answer broke off: {type(error).__name__}"
        except BodyTooLarge as error:
            await self._lines.put(BodyTooLarge(f"{self._host}: {error}"))
            return
        await self._lines.put(SourceUnavailable(f"{self._host}: {reason}"))


async def gathered(receive: Callable[[], Awaitable[bytes]], pace: Pace) -> Batch:
    """A batch of what `receive` gives; it must lose nothing when cancelled.

    An error after the first message is left for the next call, which meets it again.
    """
    frames: list[Frame] = []
    size = over_cap = 0
    alive = False
    began_s = monotonic_s()
    while len(frames) < pace.most_frames and size < pace.most_bytes:
        left_s = (began_s + (pace.gather_s if alive else pace.idle_s)) - monotonic_s()
        try:
            async with asyncio.timeout(max(left_s, 0)):
                data = await receive()
        except TimeoutError:
            break
        except SourceError:
            if alive:
                break
            raise
        if not alive:
            alive, began_s = True, monotonic_s()
        if len(data) > MOST_FRAME_BYTES:
            over_cap += 1
        elif data.strip():
            frames.append(Frame(data.replace(b"\n", b" ")))  # between the tokens of JSON a line break is a space
            size += len(data)
    return Batch(frames, over_cap, alive)


async def _open_socket(ask: Ask, settings: Settings, now: datetime, too_old: TooOld | None) -> Connection:
    parts = urlsplit(ask.url)
    host = parts.hostname or ""
    try:
        sock = await guarded_socket(host, parts.port or (443 if parts.scheme == "wss" else 80), allow_private=settings.allow_private_sources)
        connection = await connect(
            ask.url, sock=sock, additional_headers=dict(ask.headers), user_agent_header=settings.user_agent, proxy=None, max_size=MOST_WIRE_BYTES,
            max_queue=QUEUED, close_timeout=CLOSE_WITHIN_S, compression=None,
        )  # fmt: skip
    except InvalidStatus as error:
        status, body = error.response.status_code, bytes(error.response.body or b"")
        raise _refused(ask, status, dict(error.response.headers.raw_items()), body[:ANSWER_BYTES], now, too_old) from error
    except (OSError, WebSocketException, ValueError, EOFError) as error:
        raise SourceUnavailable(
            f"{masked(ask.url)}: {why(error) if isinstance(error, OSError) else type(error).__name__}"
        ) from error  # what others say may hold the address or a header
    return SocketConnection(connection, host=host_of(ask.url) or host)


async def _open_topic(ask: Ask, clock: Clock) -> Connection:
    from scrapers.listen_kafka import open_topic  # noqa: PLC0415 - it builds on this module, and its client is for those who need it

    return await open_topic(ask, clock=clock)


async def _open_lines(ask: Ask, settings: Settings, now: datetime, too_old: TooOld | None) -> Connection:
    client = httpx.AsyncClient(
        transport=GuardedTransport(allow_private=settings.allow_private_sources),
        headers={"user-agent": settings.user_agent, "accept-encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=httpx.Timeout(settings.fetch_deadline_s, read=None),  # silence is the listener's business
        trust_env=False,
        follow_redirects=False,
    )
    try:
        answer = await client.send(client.build_request("GET", ask.url, headers=dict(ask.headers)), stream=True)
        await _accept(ask, answer, now, too_old)
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        await client.aclose()
        raise SourceUnavailable(f"{masked(ask.url)}: {why(error)}") from error
    except BaseException:
        await client.aclose()
        raise
    return LinesConnection(client, answer, host=host_of(ask.url))


async def _accept(ask: Ask, answer: httpx.Response, now: datetime, too_old: TooOld | None) -> None:
    """Raise for an answer that is no stream."""
    if not answer.is_success:
        raise _refused(ask, answer.status_code, dict(answer.headers), (await _beginning(answer))[:ANSWER_BYTES], now, too_old)
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise SourceUnavailable(f"{masked(ask.url)}: an encoding that was not asked for")


def _refused(ask: Ask, status: int, headers: dict[str, str], body: bytes, now: datetime, too_old: TooOld | None) -> SourceError:
    if too_old is not None and too_old(status, body):
        return PlaceTooOld(f"{masked(ask.url)}: the place is too old")
    return refusal_of(status, {name.lower(): value for name, value in headers.items()}, url=ask.url, now=now)


async def _beginning(answer: httpx.Response) -> bytes:
    found = b""
    async for part in answer.aiter_raw():
        found += part
        if len(found) >= ANSWER_BYTES:
            break
    return found


async def _lines(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a body, without their ends."""
    rest = b""
    async for part in parts:
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
        if len(rest) > MOST_WIRE_BYTES:
            raise BodyTooLarge(f"a message of over {MOST_WIRE_BYTES} bytes")
