"""Listening to a source that pushes, a batch at a time: connect ▶ gather ▶ parse ▶ publish ▶ acknowledged ▶ remember the place.

Between two calls the connection stays open. Nothing is read while a batch is being published, so that a slow Kafka slows the source down.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from msgspec.structs import replace

from opinion.clock import Clock, monotonic_s
from opinion.errors import BodyTooLarge, PageChanged, SourceError, SourceUnavailable, StoreError
from opinion.settings import Feed
from scrapers.cursor import Cursor
from scrapers.listen import Batch, Connection, Pace, PlaceTooOld
from scrapers.parsing import Parser
from scrapers.poll import Polled
from scrapers.publish import Publisher
from scrapers.source import Ask, Frame, Gap, Parsed, Problem, Response, Source, Stream, fitted
from scrapers.urls import masked

IDLE_S = 10.0
"""A source that sends nothing for so long is reported as alive and without news."""
GATHER_S = 0.5
"""Messages are gathered for so long: part of every alert's delay."""
MOST_FRAMES = 1_000
MOST_BYTES = 4 << 20
UNREADABLE = 20
"""So many messages, of which none can be read: their form has changed, and they are to be read again once the adapter knows it."""

Listen = Callable[[Ask, Stream], Awaitable[Connection]]


class StreamPoller:
    """Publishes what one feed pushes.

    closed ──poll──▶ open ──poll──▶ open ──ended, silent, unpublishable──▶ closed
    """

    def __init__(self, listen: Listen, parser: Parser, publisher: Publisher, *, clock: Clock) -> None:
        self._listen = listen
        self._parser = parser
        self._publisher = publisher
        self._clock = clock
        self._connection: Connection | None = None
        self._ask = Ask(url="")
        self._turn = 0
        self._heard_s = 0.0
        self._heard_at = clock.now()
        self._cursor = Cursor()
        self._first = False  # whether the next message is the first since the place
        self._held: Batch | None = None  # read, but not published yet
        self._gap: Gap | None = None  # not reported yet
        self._stumbled: str | None = None  # the place behind which a message was too long to be taken in
        self._past = False  # whether that happened twice: it will not get shorter

    async def poll(self, feed: Feed) -> Polled:
        """Publish the next batch; at most IDLE_S after the call.

        Errors:
            SourceError: no connection, or it ended; the next call connects at the next address, from the place that was published.
            PageChanged: nothing of what comes can be read.
            BusUnavailable, StoreUnavailable (retryable): the batch is kept and published by the next call.
        """
        source, feed = fitted(feed)
        assert source.stream is not None
        try:
            if self._connection is None:
                await self._connect(source.stream, source, feed)
            batch = self._held or await self._next(source.stream)
            self._held = batch
            polled = await self._publish(batch, source, feed)
            polled = replace(polled, gap=batch.gap or self._gap)
            self._held = self._gap = None
        except StoreError:
            raise
        except BaseException as error:
            if isinstance(error, BodyTooLarge):
                self._past, self._stumbled = self._stumbled == self._cursor.place, self._cursor.place
            await self.close()
            raise
        return polled

    async def close(self) -> None:
        """End the connection; what was read and not published comes again."""
        connection, self._connection, self._held = self._connection, None, None
        if connection is not None:
            await connection.close()

    async def _connect(self, stream: Stream, source: Source, feed: Feed) -> None:
        """Connect from the place that was published last; from now where the source does not go back so far, or a message behind it cannot be taken in."""
        self._cursor = await self._publisher.cursors(source.name).load(source.place_key(feed))
        turn, self._turn = self._turn, self._turn + 1  # whatever becomes of this connection, the next is another host's
        if self._past:
            self._leave_out(stream)
        try:
            self._connection = await self._opened(stream, feed, turn)
        except PlaceTooOld:
            self._leave_out(stream)
            self._connection = await self._opened(stream, feed, turn)
        self._first, self._heard_s, self._past = bool(self._cursor.place), monotonic_s(), False
        if stream.heard is not None and self._first:
            self._gap = stream.gap(None, self._cursor.place, self._clock.now() - timedelta(seconds=self._ask.back_s))
            self._first = False

    def _leave_out(self, stream: Stream) -> None:
        """Go on from now, not from the place."""
        if self._cursor.place:
            self._gap = stream.gap(None, self._cursor.place, self._clock.now())
            self._cursor = replace(self._cursor, place="")

    async def _opened(self, stream: Stream, feed: Feed, turn: int) -> Connection:
        asks = stream.connect(feed, self._cursor.place, self._clock.now())
        self._ask = asks[turn % len(asks)]
        return await self._listen(self._ask, stream)

    async def _next(self, stream: Stream) -> Batch:
        assert self._connection is not None
        idle_s = IDLE_S if stream.quiet_s is None else min(IDLE_S, stream.quiet_s)
        batch = await self._connection.take(Pace(idle_s=idle_s, gather_s=GATHER_S, most_frames=MOST_FRAMES, most_bytes=MOST_BYTES))
        if batch.alive:
            self._heard_s, self._heard_at = monotonic_s(), self._clock.now()
        elif stream.quiet_s is not None and monotonic_s() - self._heard_s >= stream.quiet_s:
            raise SourceUnavailable(f"{masked(self._ask.url)}: not a word for {stream.quiet_s:g} s")
        return batch

    async def _publish(self, batch: Batch, source: Source, feed: Feed) -> Polled:
        stream, frames = source.stream, batch.frames
        problems = [Problem("over_cap", "a message that is too long to be read")] * batch.over_cap
        if stream is None or not frames:
            if stream is not None and stream.heard is not None and batch.alive:
                await self._stand(stream.heard(self._heard_at), source, feed)
            return Polled(outcome="not_modified", problems=problems or None, at_once=True)
        now = self._clock.now()
        first = next((frame for frame in frames if stream.place([frame], "")), None) if self._first else None  # notices have no place
        if first is not None:
            self._gap = stream.gap(first, self._cursor.place, now)
        parsed = await self._parsed([frame for frame in frames if frame.data], source, feed)
        if len(frames) >= UNREADABLE and not parsed.documents and sum(problem.reason == "invalid" for problem in parsed.problems) >= len(frames):
            raise PageChanged(f"none of {len(frames)} messages can be read: {parsed.problems[0].detail}")
        cursor = replace(self._cursor, place=stream.place(frames, self._cursor.place), whole_ms=0)
        published = await self._publisher.publish(parsed.documents, source=source.name, key=source.place_key(feed), cursor=cursor, at=now, known_only=True)
        self._cursor, self._first = cursor, self._first and first is None
        return Polled(outcome="ok" if parsed.documents else "empty", published=published, problems=problems + parsed.problems, at_once=True)

    async def _stand(self, place: str, source: Source, feed: Feed) -> None:
        """Move the place with nothing to publish."""
        cursor = replace(self._cursor, place=place)
        await self._publisher.publish([], source=source.name, key=source.place_key(feed), cursor=cursor, at=self._clock.now())
        self._cursor = cursor

    async def _parsed(self, frames: Sequence[Frame], source: Source, feed: Feed) -> Parsed:
        """What a batch holds; where it breaks the parser, each half by itself, so that one message costs no other."""
        if not frames:
            return Parsed([])
        response = Response(url=masked(self._ask.url), body=b"\n".join(frame.data for frame in frames), fetched_at=self._clock.now())
        try:
            return await self._parser.parse(source.name, response, feed=feed, author_key=await self._publisher.cursors(source.name).author_key())
        except SourceError as error:
            if len(frames) == 1:
                return Parsed([], [Problem("invalid", str(error))])
        half = len(frames) // 2
        first, second = await self._parsed(frames[:half], source, feed), await self._parsed(frames[half:], source, feed)
        return Parsed(first.documents + second.documents, first.problems + second.problems)
