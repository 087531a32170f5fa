"""One poll of one feed, from the request to the moved cursor: fetch ▶ parse ▶ compare ▶ publish ▶ acknowledged ▶ remember."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus

from msgspec import Struct
from msgspec.structs import replace

from opinion.clock import Clock, epoch_ms, from_epoch_ms
from opinion.errors import SourceGone, SourceUnavailable
from opinion.names import doc_id_of
from opinion.records import Document
from opinion.settings import Feed
from scrapers.cursor import Cursor, marks_of
from scrapers.fetch import Fetcher, Validators
from scrapers.parsing import Parser
from scrapers.publish import Publisher
from scrapers.schedule import hinted_s
from scrapers.source import Ask, Gap, Parsed, Problem, Response, Source, Step, fitted
from scrapers.urls import masked

WHOLE_EVERY = timedelta(hours=6)
"""A body is asked for without conditions, and read even if it is the same, this often: some servers answer 304 for ever, and what stays listed is to stay known."""
MOST_FILES = 300
"""Files of an index that one poll reads; where there are more, the next poll goes on at once. So that what a source is doing is told every minute or so."""
MOST_WAITING = 200
"""Files that are asked for again because they may still come: fewer than a poll reads, so that there is always room for others."""


class Polled(Struct, frozen=True, kw_only=True):
    """What a poll brought."""

    outcome: str  # ok, not_modified, empty: metrics.FETCH_OUTCOMES
    published: Sequence[Document] = ()
    problems: Sequence[Problem] | None = None  # None where no new body was looked at
    hinted_s: float = 0.0  # how long the server calls its answer fresh
    gap: Gap | None = None  # what was missed and cannot be had any more
    at_once: bool = False  # the next poll may follow without a wait


class Poller:
    """Polls feeds. Holds no state of them: the cursor is in Redis, so that a crash at any line repeats at most what Kafka already has."""

    def __init__(self, fetcher: Fetcher, parser: Parser, publisher: Publisher, *, clock: Clock) -> None:
        self._fetcher = fetcher
        self._parser = parser
        self._publisher = publisher
        self._clock = clock

    async def poll(self, feed: Feed) -> Polled:
        """Publish what is new.

        Errors:
            SourceError: the source gave nothing.
            BusUnavailable, StoreUnavailable (retryable): what was fetched is fetched again by the next poll.
        """
        source, feed = fitted(feed)
        cursors = self._publisher.cursors(source.name)
        cursor = await cursors.load(feed.key)
        author_key = await cursors.author_key()  # before the request: a store that takes no writes must not cost the source one every other second
        await self._parser.room()
        now = self._clock.now()
        whole = bool(cursor.waiting) or now - from_epoch_ms(cursor.whole_ms) > WHOLE_EVERY
        response = await self._fetcher.fetch(source.request(feed, now=now), validators=Validators() if whole else Validators(cursor.etag, cursor.last_modified))
        hint_s = hinted_s(response.headers)
        if response.status == HTTPStatus.NOT_MODIFIED:
            return Polled(outcome="not_modified", hinted_s=hint_s)
        named = replace(cursor, etag=response.headers.get("etag", ""), last_modified=response.headers.get("last-modified", ""))
        body_hash = hashlib.sha256(response.body).hexdigest()
        if body_hash == cursor.body_hash and not whole:
            if named != cursor:
                await cursors.commit(feed.key, named, seen={}, at=now)
            return Polled(outcome="not_modified", hinted_s=hint_s)
        then = replace(named, body_hash=body_hash, whole_ms=epoch_ms(response.fetched_at))
        if source.follow is not None:
            return replace(await self._follow(response, cursor, source, feed, then=then), hinted_s=hint_s)
        parsed = await self._parser.parse(source.name, response, feed=feed, author_key=author_key)
        then = replace(then, marks=marks_of(parsed.documents))
        if any(problem.reason == "truncated" for problem in parsed.problems):
            then = replace(then, etag="", last_modified="", body_hash="")  # the rest would never be sent, were it named
        published = await self._publisher.publish(
            parsed.documents, source=source.name, key=feed.key, cursor=then, at=response.fetched_at, marks=frozenset(cursor.marks)
        )  # fmt: skip
        return Polled(outcome="ok" if parsed.documents else "empty", published=published, problems=parsed.problems, hinted_s=hint_s)

    async def _follow(self, index: Response, cursor: Cursor, source: Source, feed: Feed, *, then: Cursor) -> Polled:
        """Read the files of an index, in order, each published and remembered before the next: whatever fails, the next poll goes on from there."""
        assert source.follow is not None
        cursors = self._publisher.cursors(source.name)
        author_key = await cursors.author_key()
        steps = deque([*(Step(ask=Ask(url=url)) for url in cursor.waiting), *source.follow(index, cursor.place)])
        published: list[Document] = []
        problems: list[Problem] = []
        read = 0
        while steps and read < MOST_FILES:
            step, now = steps.popleft(), self._clock.now()
            if step.known and not await cursors.seen([doc_id_of(source.name, step.known)], at=now):
                continue
            read += 1
            if step.index:
                steps.extend(source.follow(await self._fetcher.fetch(step.ask), cursor.place))
                continue
            try:
                parsed = await self._read(step, source, feed, author_key=author_key)
            except SourceGone as error:
                if not steps:
                    raise  # the newest may still come, an older one does not
                step, parsed = replace(step, place=""), Parsed([], [Problem("invalid", f"a file that was never made: {error}")])
            cursor, told = moved(cursor, step, parsed, at=now)
            published += await self._publisher.publish(parsed.documents, source=source.name, key=feed.key, cursor=cursor, at=now, known_only=True)
            problems += told
        if not steps:
            await cursors.commit(feed.key, replace(then, place=cursor.place, waiting=cursor.waiting), seen={}, at=self._clock.now())
        return Polled(outcome="ok" if published else "empty", published=published, problems=problems, at_once=bool(steps))

    async def _read(self, step: Step, source: Source, feed: Feed, *, author_key: bytes) -> Parsed:
        """What a file holds."""
        response = await self._fetcher.fetch(step.ask)
        if step.md5 and hashlib.md5(response.body, usedforsecurity=False).hexdigest() != step.md5:
            raise SourceUnavailable(f"{masked(step.ask.url)}: its md5 is not the one that the index says")
        return await self._parser.parse(source.name, response, feed=feed, author_key=author_key)


def moved(cursor: Cursor, step: Step, parsed: Parsed, *, at: datetime) -> tuple[Cursor, list[Problem]]:
    """Where a feed stands once a file is published, and what is to be told of it. One that may still come waits, untold, and holds up no other."""
    waiting, now_ms = dict(cursor.waiting), epoch_ms(at)
    until_ms = waiting.pop(step.ask.url, now_ms + round(step.patience_s * 1000))
    early = bool(parsed.problems) and not parsed.documents and until_ms > now_ms and len(waiting) < MOST_WAITING
    if early:
        waiting[step.ask.url] = until_ms
    missed = [Problem("over_cap", step.missed)] if step.missed else []
    return replace(cursor, place=step.place or cursor.place, waiting=waiting), missed + ([] if early else parsed.problems)
