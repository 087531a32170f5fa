"""Documents that were erased: what is left of one, and the list of their ids, by which no copy that turns up later brings one back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.errors import StoreUnavailable
from opinion.events import event_time
from opinion.names import Names, digest
from opinion.records import Document, Op, ScoredDocument, Sentiment

KEPT = timedelta(days=31)
"""Longer than anything with a fixed term; `Settings.erased_for` is longer where the settings let something be kept for longer."""
MOST = 1_000_000
"""Ids that are remembered, 116 bytes of Redis each; beyond it the oldest are forgotten first."""
AT_ONCE = 1_000
"""Ids that go into one call: less than a millisecond of Redis' time."""

_ADD = """
local now = tonumber(redis.call('TIME')[1])
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


def sign_of(doc_id: str) -> bytes:
    """What stands for an id in the list: 8 bytes. A living document is taken for one of a million erased ones once in 10^13."""
    return bytes.fromhex(digest(doc_id))


def signs_of(doc_ids: Iterable[str]) -> list[str]:
    """The same of several ids, for Redis."""
    return cast("list[str]", [sign_of(doc_id) for doc_id in doc_ids])  # the client takes bytes, though its types do not


def deletion_of(document: Document, *, version: int | None = None) -> Document:
    """The deletion of a document: what names it and when that was heard of, and nothing else."""
    return Document(
        op=Op.DELETE,
        doc_id=document.doc_id,
        source=document.source,
        publisher=document.publisher,
        kind=document.kind,
        native_id=document.native_id,
        fetched_at=document.fetched_at,
        version=document.version if version is None else version,
    )


def scored_deletion(document: Document, *, at: datetime) -> ScoredDocument:
    """A deletion as it goes through `yuqing.scored.v1`: judged neutral, counted nowhere."""
    gone = deletion_of(document)
    return ScoredDocument(
        document=gone, event_at=event_time(gone)[0], counted=False, sentiment=Sentiment(0.0, 1.0, 0.0), polarity=0.0, topics={}, topic="", novelty=0.0, scored_at=at
    )


class ErasedIds:
    """The list, in Redis: one for all processes, by the server's clock.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable; each write may be repeated).
    """

    def __init__(self, redis: Redis, names: Names, *, keep: timedelta = KEPT, most: int = MOST) -> None:
        self._redis = redis
        self._key = names.erased
        self._keep_s = int(keep.total_seconds())
        self._most = most

    async def among(self, doc_ids: Collection[str]) -> frozenset[str]:
        """Those of the ids that were erased, in one round trip."""
        asked = list(doc_ids)
        if not asked:
            return frozenset()
        try:
            found = await self._redis.zmscore(self._key, signs_of(asked))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say which documents are erased: {error}") from error
        return frozenset(doc_id for doc_id, at_s in zip(asked, found, strict=True) if at_s is not None)

    async def add(self, doc_ids: Collection[str]) -> None:
        """Remember ids from now on, and forget what was remembered for long enough."""
        marks = signs_of(doc_ids)
        try:
            for start in range(0, len(marks), AT_ONCE):
                await self._redis.eval(_ADD, 1, self._key, self._keep_s, self._most, *marks[start : start + AT_ONCE])
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take the ids of {len(marks)} erased documents: {error}") from error
