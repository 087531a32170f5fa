"""Stories: how many documents have told the same thing within two days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from models.story_text import normal_form, story_id_of
from opinion.errors import StoreUnavailable
from opinion.names import Names, digest

__all__ = ["MemoryStoryIndex", "RedisStoryIndex", "StoryIndex", "Telling", "normal_form", "novelty", "story_id_of"]

MEMORY_MS = 48 * 3_600_000
"""A story rests when it was not told for this long, in event time; told again, it begins anew. Also the life of its key, in wall time."""
MAX_TELLERS = 1_000
"""Documents of a story that are remembered one by one (about 100 bytes each); further ones are counted in a HyperLogLog (12 kB, +-0.8 %)."""
NOVELTY_HALF = 4
"""Tellings beyond the first after which novelty has halved: a handful of outlets is still news, dozens are echo. Chosen by hand."""

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[int]).decode


class Telling(NamedTuple):
    """One document that tells a story."""

    story_id: str
    doc_id: str
    event_ms: int  # event time, epoch milliseconds


class StoryIndex(Protocol):
    """Remembers who told which story."""

    async def observe(self, tellings: Sequence[tuple[str, str, int]]) -> list[int]:
        """For each (story id, doc id, event_ms) its place among the tellings of the story so far, from 1; a document seen before keeps its place.

        Errors:
            StoreUnavailable: the store does not answer (retryable; nothing is counted twice).
        """
        ...


def novelty(size: int) -> float:
    """How new the telling in place `size` is: 1 for the first, 0.5 after NOVELTY_HALF more, towards 0 with repeats.

    >>> novelty(1), novelty(5), novelty(13)
    (1.0, 0.5, 0.25)
    """
    return round(NOVELTY_HALF / (NOVELTY_HALF + max(size, 1) - 1), 4)


class _Memory:
    """Tellers of one story."""

    __slots__ = ("newest_ms", "places")

    def __init__(self, newest_ms: int) -> None:
        self.newest_ms = newest_ms
        self.places: dict[str, int] = {}

    def place(self, doc_id: str) -> int:
        return self.places.setdefault(doc_id, len(self.places) + 1)


class MemoryStoryIndex:
    """A StoryIndex within this process, as exact as its input is long: for one file or one test."""

    def __init__(self) -> None:
        self._stories: dict[str, _Memory] = {}

    async def observe(self, tellings: Sequence[tuple[str, str, int]]) -> list[int]:
        """See StoryIndex; never fails."""
        return [self.place(*telling) for telling in tellings]

    def place(self, story_id: str, doc_id: str, event_ms: int) -> int:
        """The place of one telling, for callers without an event loop."""
        story = self._stories.get(story_id)
        if story is None or event_ms > story.newest_ms + MEMORY_MS:
            story = self._stories[story_id] = _Memory(event_ms)
        story.newest_ms = max(story.newest_ms, event_ms)
        return story.place(doc_id)


class RedisStoryIndex:
    """A StoryIndex that all workers share: a hash per story, one script call per bucket of stories, all of a batch in one pipeline."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._sha: str | None = None

    async def observe(self, tellings: Sequence[tuple[str, str, int]]) -> list[int]:
        """See StoryIndex."""
        buckets: dict[str, list[int]] = {}
        for index, (story_id, _, _) in enumerate(tellings):
            buckets.setdefault(self._names.story_bucket(story_id), []).append(index)
        if not buckets:
            return []
        try:
            answers = await self._evaluate({bucket: _packed([tellings[index] for index in indexes]) for bucket, indexes in buckets.items()})
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take {len(tellings)} tellings of stories: {error}") from error
        places = [0] * len(tellings)
        for indexes, answer in zip(buckets.values(), answers, strict=True):
            for index, place in zip(indexes, answer, strict=True):
                places[index] = place
        return places

    async def _evaluate(self, calls: Mapping[str, bytes]) -> list[list[int]]:
        if self._sha is None:
            self._sha = await self._redis.script_load(_SCRIPT)
        try:
            return await self._pipeline(self._sha, calls)
        except NoScriptError:  # the server lost its script cache (a restart): load again; a document counted already keeps its place
            self._sha = await self._redis.script_load(_SCRIPT)
            return await self._pipeline(self._sha, calls)

    async def _pipeline(self, sha: str, calls: Mapping[str, bytes]) -> list[list[int]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for bucket, packed in calls.items():
                pipe.evalsha(sha, 1, bucket, MEMORY_MS, MAX_TELLERS, packed)
            return [_unpack(answer) for answer in cast("list[bytes]", await pipe.execute())]


def _packed(tellings: Sequence[tuple[str, str, int]]) -> bytes:
    """Tellings as the script reads them."""
    return _pack([value for story_id, doc_id, event_ms in tellings for value in (story_id, digest(doc_id), event_ms)])
