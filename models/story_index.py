"""Events: which documents tell of one thing that happened, whatever their words and language. Beside the story id, not in its place.

What event a document joins depends on what was seen before it, and two workers that see two first tellings within the same milliseconds make two
events of them. So no count depends on it, and a document keeps the event that it was given first.

About 2.4 kB of Redis per document for two days, and five round trips per batch; 0.3 ms of the server and 1.3 ms of a worker per document (3,600 documents
in batches of 32, 2026-11-24).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from models.stories import MEMORY_MS
from models.story_link import Signature, best
from models.story_traits import Traits, traits_of
from opinion.errors import StoreUnavailable
from opinion.names import Names, digest

MOST_CANDIDATES = 64
"""Documents that one is compared with: those that share most traits with it, newest first among equals."""
KEPT_PER_TRAIT = 16
"""Newest documents remembered under one trait."""
DIGEST_BYTES = 8
"""Length of a document's digest under a trait."""
AT_CHARS = 15
"""Digits of the event time before what a story or a document holds in Redis."""
SWEEP_AFTER = 4_096
"""Writes after which a MemoryEventIndex drops what is past."""

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_pack = msgspec.msgpack.Encoder().encode


class EventTelling(NamedTuple):
    """One document with what is known of it."""

    doc_id: str
    story_id: str  # the identity of its text, models.story_text.story_id_of
    signature: Signature


class EventIndex(Protocol):
    """Remembers for two days who told of which event."""

    async def assign(self, tellings: Sequence[tuple[str, str, Signature]]) -> list[str]:
        """For each (doc id, story id, signature) the id of its event: the story id of the first telling found.

        A document seen before keeps its event, and all documents of one story have the same while the story is told.

        Errors:
            StoreUnavailable: the store does not answer (retryable; what was assigned stays).
        """
        ...

    async def forget(self, doc_ids: Sequence[str]) -> None:
        """Drop what was kept of documents: embedding, figures, names. Their digests stay under their traits, and events keep their ids, for the two days.

        Errors:
            StoreUnavailable: the store does not answer (retryable).
        """
        ...


class _Filed(Struct, frozen=True, array_like=True):
    """A document as the index keeps it."""

    event_id: str
    signature: Signature


_filed = msgspec.msgpack.Decoder(_Filed).decode


class _Held(NamedTuple):
    """What a part holds."""

    value: bytes
    at_ms: int  # newest event time that it was written with


class _Entry(NamedTuple):
    """What to write under a part: what kind of part it is (see models/story_index.lua) says how."""

    part: str
    value: bytes
    at_ms: int


class _Shelf(Protocol):
    """Where an index keeps its parts, named as Names.event_bucket says."""

    async def look(self, parts: Sequence[str]) -> dict[str, _Held]:
        """What those parts hold that hold anything."""
        ...

    async def write(self, entries: Sequence[_Entry]) -> list[bytes]:
        """Write one after the other; the values that hold then."""
        ...

    async def drop(self, parts: Sequence[str]) -> None:
        """Let those parts hold nothing."""
        ...


class _Index:
    """Everything but where it is kept."""

    def __init__(self, shelf: _Shelf) -> None:
        self._shelf = shelf

    async def assign(self, tellings: Sequence[tuple[str, str, Signature]]) -> list[str]:
        """See EventIndex."""
        batch: dict[str, EventTelling] = {}
        for telling in tellings:
            batch.setdefault(_document(telling[0]), EventTelling(*telling))
        held = await self._look([*batch, *(_story(telling) for telling in batch.values())])
        answers = {part: _filed(held[part].value).event_id for part in batch if part in held}
        fresh = {part: telling for part, telling in batch.items() if part not in held}
        if fresh:
            traits = {part: traits_of(telling.signature) for part, telling in fresh.items()}
            answers |= await self._kept(fresh, traits, await self._decided(fresh, traits, held))
        return [answers[_document(telling[0])] for telling in tellings]

    async def forget(self, doc_ids: Sequence[str]) -> None:
        """See EventIndex."""
        if doc_ids:
            await self._shelf.drop([_document(doc_id) for doc_id in doc_ids])

    async def _kept(self, fresh: Mapping[str, EventTelling], traits: Mapping[str, Traits], decided: Mapping[str, str]) -> dict[str, str]:
        """The events that hold once these are written: another worker may have been first."""
        times = {part: telling.signature.event_ms for part, telling in fresh.items()}
        stories = await self._shelf.write([_Entry(_story(telling), decided[part].encode(), times[part]) for part, telling in fresh.items()])
        filed = [_Entry(part, _pack(_Filed(story.decode(), fresh[part].signature)), times[part]) for part, story in zip(fresh, stories, strict=True)]
        marks = [_Entry(f"b:{trait}", bytes.fromhex(part[2:]), times[part]) for part in fresh for trait in traits[part].own]
        values = await self._shelf.write([*filed, *marks])
        return {part: _filed(value).event_id for part, value in zip(fresh, values, strict=False)}

    async def _look(self, parts: Sequence[str]) -> dict[str, _Held]:
        return await self._shelf.look(list(dict.fromkeys(parts))) if parts else {}

    async def _decided(self, fresh: Mapping[str, EventTelling], traits: Mapping[str, Traits], held: Mapping[str, _Held]) -> dict[str, str]:
        """The event that each new document would have; those before it in the batch count as seen."""
        stories = {part: (found.value.decode(), found.at_ms) for part, found in held.items() if part.startswith("s:")}
        known = await self._candidates({part: traits[part].all for part, telling in fresh.items() if not _told(stories, telling)})
        here: dict[str, list[str]] = defaultdict(list)
        filed: dict[str, _Filed] = {}
        for part, telling in fresh.items():
            if not _told(stories, telling):
                near = [*known.get(part, ()), *(filed[other] for other in _most_shared([here[trait] for trait in traits[part].all]))]
                event_id = best(telling.signature, [(other.event_id, other.signature) for other in near])
                stories[_story(telling)] = (event_id or telling.story_id, telling.signature.event_ms)
            filed[part] = _Filed(stories[_story(telling)][0], telling.signature)
            for trait in traits[part].own:
                here[trait].insert(0, part)
        return {part: one.event_id for part, one in filed.items()}

    async def _candidates(self, probes: Mapping[str, Sequence[str]]) -> dict[str, list[_Filed]]:
        """Documents seen before that have some of the traits that each looks for."""
        marks = await self._look([f"b:{trait}" for traits in probes.values() for trait in traits])
        found = {part: _most_shared([_documents(marks[f"b:{trait}"].value) for trait in traits if f"b:{trait}" in marks]) for part, traits in probes.items()}
        filed = {other: _filed(held.value) for other, held in (await self._look([other for others in found.values() for other in others])).items()}
        return {part: [filed[other] for other in others if other in filed] for part, others in found.items()}


def _document(doc_id: str) -> str:
    return f"d:{digest(doc_id)}"


def _story(telling: EventTelling) -> str:
    return f"s:{telling.story_id}"


def _told(stories: Mapping[str, tuple[str, int]], telling: EventTelling) -> bool:
    """Whether the telling's story has an event that is not past."""
    _, at_ms = stories.get(_story(telling), ("", -MEMORY_MS))
    return _story(telling) in stories and telling.signature.event_ms <= at_ms + MEMORY_MS


def _documents(marks: bytes) -> list[str]:
    """Parts of the documents kept under one trait, newest first."""
    return [f"d:{marks[at : at + DIGEST_BYTES].hex()}" for at in range(0, len(marks), DIGEST_BYTES)]


def _most_shared(lists: Sequence[Sequence[str]]) -> list[str]:
    """At most MOST_CANDIDATES of the documents in the lists, those in most of them first."""
    counts = Counter(document for documents in lists for document in documents)
    return [document for document, _ in counts.most_common(MOST_CANDIDATES)]


class MemoryEventIndex(_Index):
    """An EventIndex within this process, for one file or one test; keeps as long as event time runs."""

    def __init__(self) -> None:
        super().__init__(_MemoryShelf())


class _MemoryShelf:
    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._newest_ms = 0
        self._writes = 0

    async def look(self, parts: Sequence[str]) -> dict[str, _Held]:
        return {part: self._held[part] for part in parts if part in self._held}

    async def write(self, entries: Sequence[_Entry]) -> list[bytes]:
        for entry in entries:
            self._newest_ms = max(self._newest_ms, entry.at_ms)
            self._held[entry.part] = _written(entry, self._held.get(entry.part))
        answer = [self._held[entry.part].value for entry in entries]
        self._writes += len(entries)
        if self._writes >= SWEEP_AFTER:
            self._writes = 0
            self._held = {part: held for part, held in self._held.items() if held.at_ms + MEMORY_MS >= self._newest_ms}
        return answer

    async def drop(self, parts: Sequence[str]) -> None:
        for part in parts:
            self._held.pop(part, None)


def _written(entry: _Entry, held: _Held | None) -> _Held:
    """What a part holds after an entry; models/story_index.lua does the same."""
    if entry.part.startswith("b:"):
        kept = held.value if held is not None else b""
        value = kept if kept.startswith(entry.value) else (entry.value + kept)[: KEPT_PER_TRAIT * DIGEST_BYTES]
        return _Held(value, max(entry.at_ms, held.at_ms if held is not None else entry.at_ms))
    if held is None or (entry.part.startswith("s:") and entry.at_ms > held.at_ms + MEMORY_MS):
        return _Held(entry.value, entry.at_ms)
    return _Held(held.value, max(held.at_ms, entry.at_ms))


class RedisEventIndex(_Index):
    """An EventIndex that all workers share."""

    def __init__(self, redis: Redis, names: Names) -> None:
        super().__init__(_RedisShelf(redis, names))


class _RedisShelf:
    """A string per part, one script call per bucket of parts, all of a batch in one pipeline."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._sha: str | None = None

    async def look(self, parts: Sequence[str]) -> dict[str, _Held]:
        buckets = self._buckets(parts)
        answers = await self._evaluate("look", {bucket: [parts[index] for index in indexes] for bucket, indexes in buckets.items()})
        found = {parts[index]: value for bucket, indexes in buckets.items() for index, value in zip(indexes, answers[bucket], strict=True) if value is not None}
        return {part: _Held(value, 0) if part.startswith("b:") else _Held(value[AT_CHARS:], int(value[:AT_CHARS])) for part, value in found.items()}

    async def write(self, entries: Sequence[_Entry]) -> list[bytes]:
        buckets = self._buckets([entry.part for entry in entries])
        answers = await self._evaluate("write", {bucket: [value for index in indexes for value in entries[index]] for bucket, indexes in buckets.items()})
        values = {index: value for bucket, indexes in buckets.items() for index, value in zip(indexes, answers[bucket], strict=True)}
        return [values[index] or b"" for index in range(len(entries))]

    async def drop(self, parts: Sequence[str]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for part in parts:
                    pipe.delete(self._names.event_bucket(part) + part)
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not forget {len(parts)} documents of events: {error}") from error

    def _buckets(self, parts: Sequence[str]) -> dict[str, list[int]]:
        buckets: dict[str, list[int]] = defaultdict(list)
        for index, part in enumerate(parts):
            buckets[self._names.event_bucket(part)].append(index)
        return buckets

    async def _evaluate(self, task: str, calls: Mapping[str, Sequence[str | bytes | int]]) -> dict[str, list[bytes | None]]:
        if not calls:
            return {}
        try:
            if self._sha is None:
                self._sha = await self._redis.script_load(_SCRIPT)
            try:
                answers = await self._pipeline(self._sha, task, calls)
            except NoScriptError:  # the server lost its script cache (a restart): load again; what was written is written alike
                self._sha = await self._redis.script_load(_SCRIPT)
                answers = await self._pipeline(self._sha, task, calls)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take {len(calls)} buckets of events: {error}") from error
        return dict(zip(calls, answers, strict=True))

    async def _pipeline(self, sha: str, task: str, calls: Mapping[str, Sequence[str | bytes | int]]) -> list[list[bytes | None]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for bucket, values in calls.items():
                pipe.evalsha(sha, 1, bucket, task, MEMORY_MS, KEPT_PER_TRAIT * DIGEST_BYTES, *values)
            return cast("list[list[bytes | None]]", await pipe.execute())
