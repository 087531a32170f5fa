"""Panes in Redis, and their sums by the hour: written by one Lua script per subject and batch, all of a batch in one pipeline; read in pipelines."""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError, RedisError

from opinion.clock import epoch_ms, from_epoch_ms
from opinion.erased import signs_of
from opinion.errors import StoreUnavailable
from opinion.events import telling_day
from opinion.evidence import Quotes, evidence_of, note_quotes, quotes_of, take_out
from opinion.names import Names, digest
from opinion.records import AlertEvidence, Counts, DocumentKind, Pane, PaneKind, ScoredDocument, Sentiment
from opinion.watermark import Mark

PANE_S = 60
"""Width of a pane in seconds."""
QUARTER_S = 900
"""Panes are stored, and breadth is sketched, by the quarter hour."""
HOUR_S = 3600
WEEK_HOURS = 168
"""Sums by the hour are stored by the week since 1970."""
WEEKS_KEPT = 5
"""How long sums by the hour are kept; panes live nine days."""
SUBJECTS_AT_ONCE = 500
"""Subjects read in one journey: more would hold too many answers in memory at a time."""

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_COUNTS = Path(__file__).with_name("windows_counts.lua").read_text(encoding="utf-8")
_TOUCH = "local t = redis.call('TIME'); local s = t[1] * 1000000 + t[2]; for i = 1, #ARGV do redis.call('ZADD', KEYS[1], s, ARGV[i]) end; return tostring(s)"
_KIND_CODE = {PaneKind.NEWS: "n", PaneKind.SOCIAL: "s"}
_CODE = {kind: _KIND_CODE[PaneKind.of(kind)] for kind in DocumentKind}
_KIND_OF = {code: kind for kind, code in _KIND_CODE.items()}
_FIELD_OF = {"d": "documents", "t": "total", "n": "negative", "u": "neutral", "p": "positive", "y": "polarity_e6", "c": "clear"}
_CLASS = {"negative": "n", "neutral": "u", "positive": "p"}
_CHANGED_OVERLAP_US = 2_000_000
"""Readers look this far behind the newest change they saw: two workers' stamps may be written out of order."""

_marks = msgspec.json.Decoder(Mark)
_evidence = msgspec.json.Decoder(AlertEvidence)
_pack = msgspec.msgpack.Encoder().encode

_Row = tuple[int, int, int, str, str, int, str, str, str, str, str]
"""What the script is told of a document, in its order."""
_Key = TypeVar("_Key")
_COUNT = struct.Struct(">Iiii")
"""What the counting script says of a minute: begin in epoch seconds, total, negative, clearly negative."""
_WEEK = struct.Struct(f">{3 * WEEK_HOURS}i")
"""The string of a week: total and negative of each hour, then the clearly negative of each hour."""
_CLEAR = "c"
"""Class of a clearly negative text, in the script."""

_Entries = dict[str, dict[str, list[_Row]]]
"""Subject -> topic-partition -> rows."""


class Applied(Struct, frozen=True):
    """A scored document with the offset it came at."""

    offset: int
    scored: ScoredDocument


class Breadth(Struct, frozen=True):
    """How many told it: distinct among the negative tellings of the quarter hours that a window touches, estimated to 1 %."""

    stories: int = 0
    publishers: int = 0
    authors: int = 0
    authored: int = 0  # negative tellings of authors within the window, exactly; 0 is unknown
    tellings: int = 0  # negative tellings of those quarter hours, exactly; 0 where nothing beyond the window was counted
    posts: int = 0  # of those the tellings of authors

    def among(self, negative: int, *, width_s: int) -> Breadth:
        """The same of a window with so many negative tellings: sketches hold whole quarter hours, a window may hold less.

        Of a window narrower than one, as many stories and authors as there are at least: each telling outside it may be of a story, each post of an author of its own.

        >>> Breadth(stories=5, tellings=14).among(10, width_s=300).stories, Breadth(stories=5, tellings=14).among(10, width_s=900).stories
        (1, 5)
        """
        stories, publishers, authors = (min(count, negative) for count in (self.stories, self.publishers, self.authors))
        if width_s < QUARTER_S:
            stories = min(stories, max(1, self.stories - max(0, self.tellings - negative)))
            authors = min(authors, max(1, self.authors - max(0, self.posts - self.authored)))
        return Breadth(stories, publishers, authors, self.authored)


class WindowStore:
    """The panes, sketches, evidence and progress marks of all subjects.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable; each write may be repeated, the fence keeps it exact).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._sha: str | None = None

    async def apply(self, partition: str, batch: Sequence[Applied]) -> int:
        """Count a batch of one partition (`topic-partition`), in offset order; returns how many subject entries were new."""
        return await self.apply_all({partition: batch})

    async def apply_all(self, batches: Mapping[str, Sequence[Applied]]) -> int:
        """Count batches of several partitions in one journey, each in offset order; returns how many subject entries were new."""
        entries = _by_subject(batches)
        if not entries:
            return 0
        named = {f"entity:{mention.id}": mention.name for batch in batches.values() for item in batch for mention in item.scored.entities}
        quotes = quotes_of(item.scored for batch in batches.values() for item in batch)
        try:
            new, back = await self._evaluate(entries, named, quotes)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take the panes of {len(entries)} subjects: {error}") from error
        await self.erase(back)
        return new

    async def erase(self, doc_ids: Collection[str]) -> None:
        """Take documents out of the evidence on every subject. Panes stay: they hold no text, and must not depend on what became of it."""
        if not doc_ids:
            return
        try:
            await take_out(self._redis, self._names, doc_ids)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take {len(doc_ids)} documents out of the evidence: {error}") from error

    async def _evaluate(self, entries: _Entries, named: Mapping[str, str], quotes: Quotes) -> tuple[int, list[str]]:
        if self._sha is None:
            self._sha = await self._redis.script_load(_SCRIPT)
        try:
            return await self._pipeline(self._sha, entries, named, quotes)
        except NoScriptError:  # the server lost its script cache (a restart): load again; the fence keeps repeats exact
            self._sha = await self._redis.script_load(_SCRIPT)
            return await self._pipeline(self._sha, entries, named, quotes)

    async def _pipeline(self, sha: str, entries: _Entries, named: Mapping[str, str], quotes: Quotes) -> tuple[int, list[str]]:
        """How many subject entries were new, and which of the quotes are of documents that were erased before: copies that came too late.

        A script per subject, then the names, then the stamps: those last, so that who reads them finds the panes.
        """
        async with self._redis.pipeline(transaction=False) as pipe:
            for subject, partitions in entries.items():
                arguments = [part for partition, rows in partitions.items() for part in (partition, _pack(rows))]
                pipe.evalsha(sha, 1, self._names.subject_base(subject), *arguments)
            if named:
                pipe.hset(self._names.subject_names, mapping=cast("dict[Any, Any]", named))
            note_quotes(pipe, self._names, quotes)
            pipe.eval(_TOUCH, 1, self._names.changed, *entries)
            if quotes:
                pipe.zmscore(self._names.erased, signs_of(quotes))
            answers = await pipe.execute()
        back = [doc_id for doc_id, at_s in zip(quotes, answers[-1], strict=True) if at_s is not None] if quotes else []
        return sum(answers[: len(entries)]), back

    async def report(self, marks: Iterable[Mark]) -> None:
        """Write progress marks; a mark's event time never goes back."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for mark in marks:
                    pipe.hset(self._names.marks, mark.partition, msgspec.json.encode(mark))
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take progress marks: {error}") from error

    async def marks(self) -> list[Mark]:
        """The progress of every partition that was ever worked on."""
        try:
            values = await self._redis.hvals(self._names.marks)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give progress marks: {error}") from error
        return [_marks.decode(value) for value in values]

    async def changed_since(self, stamp_us: int) -> tuple[int, list[str]]:
        """Subjects whose panes changed at or shortly before `stamp_us` (server time, microseconds) or later, and the newest stamp."""
        try:
            low = max(0, stamp_us - _CHANGED_OVERLAP_US)
            rows = cast("list[tuple[bytes, float]]", await self._redis.zrangebyscore(self._names.changed, low, "+inf", withscores=True))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say what changed: {error}") from error
        newest = max((int(score) for _, score in rows), default=stamp_us)
        return max(newest, stamp_us), sorted(_text(member) for member, _ in rows)

    async def panes(self, subject: str, *, since: datetime | None = None, until: datetime | None = None) -> list[Pane]:
        """The panes of a subject that hold anything, oldest first, from the quarter hour of `since` on, of quarters that begin before `until`."""
        return (await self.panes_of([subject], since=since, until=until))[subject]

    async def panes_of(self, subjects: Sequence[str], *, since: datetime | None, until: datetime | None = None) -> dict[str, list[Pane]]:
        """The same for many subjects, in two journeys per 500 of them."""
        found: dict[str, list[Pane]] = {subject: [] for subject in subjects}
        last = "+inf" if until is None else f"({until.timestamp():.0f}"
        for some in _slices(subjects):
            quarters = await self._read("quarters", some, lambda pipe, subject: pipe.zrangebyscore(self._names.quarters(subject), _first_quarter(since), last))
            keys = [(subject, int(quarter)) for subject, row in zip(some, quarters, strict=True) for quarter in row]
            rows = await self._read("panes", keys, lambda pipe, key: pipe.hgetall(self._names.quarter(*key)))
            for (subject, quarter), row in zip(keys, rows, strict=True):
                found[subject] += _panes_of(subject, quarter, row)
        return found

    async def counts_of(self, subjects: Sequence[str], *, since: datetime | None) -> dict[str, list[tuple[int, int, int, int]]]:
        """Begin (epoch seconds), total, negative and clearly negative of every minute, both registers together, oldest first, from the quarter hour of `since` on.

        A minute that lost its tellings to earlier ones is told with zeros. One journey per 500 subjects.
        """
        first = _first_quarter(since)
        found: dict[str, list[tuple[int, int, int, int]]] = {}
        for some in _slices(subjects):
            rows = await self._read("counts", some, lambda pipe, subject: pipe.eval(_COUNTS, 1, self._names.subject_base(subject), first))
            found |= {subject: list(_COUNT.iter_unpack(row)) for subject, row in zip(some, rows, strict=True)}
        return found

    async def hours_of(self, subjects: Sequence[str], *, first_hour: int) -> dict[str, dict[int, tuple[int, int, int]]]:
        """Hour since 1970 -> (total, negative, clearly negative) of the panes of that hour, for hours that hold tellings, of `first_hour` and the five weeks from it on.

        One journey per 500 subjects.
        """
        first_week = first_hour // WEEK_HOURS
        weeks = range(first_week, first_week + WEEKS_KEPT + 1)
        found: dict[str, dict[int, tuple[int, int, int]]] = {}
        for some in _slices(subjects):
            rows = await self._read("hours", some, lambda pipe, subject: pipe.mget([self._names.hours(subject, week) for week in weeks]))
            for subject, row in zip(some, rows, strict=True):
                found[subject] = {hour: counts for week, value in zip(weeks, row, strict=True) for hour, counts in _hours_of(week, value or b"") if hour >= first_hour}
        return found

    async def _read(self, what: str, keys: Sequence[_Key], ask: Callable[[Pipeline, _Key], object]) -> list[Any]:
        """The answers to one question per key, in one journey; none where there is nothing to ask."""
        if not keys:
            return []
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    ask(pipe, key)
                return await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the {what} of {len(keys)} keys: {error}") from error

    async def subject_name(self, subject: str) -> str:
        """What people call a subject: a topic's own name, a company's newest."""
        try:
            found = await self._redis.hget(self._names.subject_names, subject)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the name of {subject}: {error}") from error
        return _text(found) if found else subject.partition(":")[2]

    async def breadth(self, subject: str, *, start_at: datetime, end_at: datetime) -> Breadth:
        """Distinct stories, publishers and authors of the quarter hours that [start_at, end_at) touches."""
        first = int(start_at.timestamp()) // QUARTER_S * QUARTER_S
        quarters = range(first, int(end_at.timestamp()), QUARTER_S)
        if not quarters:
            return Breadth()
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for what in ("stories", "publishers", "authors"):
                    pipe.pfcount(*[self._names.sketch(subject, what, quarter) for quarter in quarters])
                stories, publishers, authors = cast("list[int]", await pipe.execute())
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the breadth of {subject}: {error}") from error
        panes = await self.panes(subject, since=start_at, until=end_at)
        posts = {pane.start_at: pane.kinds[PaneKind.SOCIAL].negative for pane in panes if PaneKind.SOCIAL in pane.kinds}
        authored = sum(count for at, count in posts.items() if start_at <= at < end_at)
        return Breadth(stories, publishers, authors, authored, sum(pane.counts.negative for pane in panes), sum(posts.values()))

    async def evidence(self, subject: str, *, start_at: datetime, end_at: datetime) -> list[AlertEvidence]:
        """The negative documents of [start_at, end_at), oldest first, with how many copies each story has by now."""
        try:
            span = (epoch_ms(start_at), f"({epoch_ms(end_at)}")
            members = cast("list[bytes]", await self._redis.zrangebyscore(self._names.evidence(subject), *span))
            found = [_evidence.decode(member) for member in members]
            async with self._redis.pipeline(transaction=False) as pipe:
                for item in found:
                    pipe.hget(self._names.story(item.story_id), "n")
                sizes = [int(size or 1) for size in cast("list[bytes | None]", await pipe.execute())] if found else []
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the evidence on {subject}: {error}") from error
        return [msgspec.structs.replace(item, story_size=max(1, size)) for item, size in zip(found, sizes, strict=True)]

    async def shared(self, subject: str, others: Sequence[str], *, start_at: datetime, end_at: datetime) -> dict[str, int]:
        """How many of the subject's negative tellings of [start_at, end_at) count for each of the others too; those with none are left out."""
        span = (epoch_ms(start_at), f"({epoch_ms(end_at)}")
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for name in (subject, *others):
                    pipe.zrangebyscore(self._names.evidence(name), *span)
                rows = cast("list[list[bytes]]", await pipe.execute())
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the evidence on {subject}: {error}") from error
        own, *theirs = ({item.doc_id for item in map(_evidence.decode, row)} for row in rows)
        return {other: len(own & told) for other, told in zip(others, theirs, strict=True) if own & told}

    async def canonical(self, subject: str) -> bytes:
        """All panes of a subject as bytes: equal panes give equal bytes."""
        return msgspec.json.encode(await self.panes(subject), order="sorted")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _by_subject(batches: Mapping[str, Sequence[Applied]]) -> _Entries:
    """Script rows per subject and partition, documents in the order given; those that do not count are left out."""
    entries: _Entries = {}
    for partition, batch in batches.items():
        for item in batch:
            if item.scored.counted:
                for subject in item.scored.subjects:
                    entries.setdefault(subject, {}).setdefault(partition, []).append(_row(item, subject))
    return entries


def _row(item: Applied, subject: str) -> _Row:
    scored = item.scored
    document, sentiment = scored.document, scored.sentiment_on(subject)
    return (
        item.offset,
        epoch_ms(scored.event_at),
        telling_day(document, scored.event_at),
        _CODE[document.kind],
        _class_of(sentiment),
        round(sentiment.polarity * 10_000) * 100,  # as precise as probabilities are
        scored.telling_id,
        _publisher(document.publisher),
        (document.author_hash or "")[:16],
        digest(document.doc_id, chars=16),
        evidence_of(document, sentiment, story_id=scored.story_id),
    )


def _class_of(sentiment: Sentiment) -> str:
    return _CLEAR if sentiment.clearly_negative else _CLASS[sentiment.label]


@lru_cache(maxsize=4096)
def _publisher(publisher: str) -> str:
    return "@" + digest(publisher, chars=10)


def _panes_of(subject: str, quarter: int, row: Mapping[bytes, bytes]) -> list[Pane]:
    """The minutes of a quarter hash: fields are `<minute><kind><what>`, e.g. `7nt`."""
    minutes: dict[int, dict[PaneKind, dict[str, Any]]] = {}
    for name, value in row.items():
        field = _text(name)
        amount = int(value)
        if amount:
            kinds = minutes.setdefault(int(field[:-2]), {})
            kinds.setdefault(_KIND_OF[field[-2]], {})[_FIELD_OF[field[-1]]] = amount
    start_at = from_epoch_ms(quarter * 1000)
    return [
        Pane(subject=subject, start_at=start_at + timedelta(minutes=minute), kinds={kind: Counts(**kinds[kind]) for kind in sorted(kinds)})
        for minute, kinds in sorted(minutes.items())
    ]


def _first_quarter(since: datetime | None) -> str:
    """The lowest score of a quarter to read."""
    return "-inf" if since is None else str(int(since.timestamp()) // QUARTER_S * QUARTER_S)


def _slices(subjects: Sequence[str]) -> Iterator[Sequence[str]]:
    return (subjects[start : start + SUBJECTS_AT_ONCE] for start in range(0, len(subjects), SUBJECTS_AT_ONCE))


def _hours_of(week: int, value: bytes) -> Iterator[tuple[int, tuple[int, int, int]]]:
    """The hours of a week's string that hold tellings. It ends at the last number ever written."""
    if not value:
        return
    numbers = _WEEK.unpack(value + bytes(_WEEK.size - len(value)))
    for place in range(WEEK_HOURS):
        total, negative = numbers[2 * place : 2 * place + 2]
        if total or negative:
            yield week * WEEK_HOURS + place, (total, negative, numbers[2 * WEEK_HOURS + place])
