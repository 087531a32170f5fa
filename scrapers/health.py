"""Whether a feed is alive: calm must never be taken for blind. Pure rules, and the store that `status` and the API read."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import cast

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.errors import Reason, StoreUnavailable
from opinion.metrics import WAITING
from opinion.names import Names
from opinion.records import Instant
from scrapers.rhythm import Rhythm, is_strange, watched
from scrapers.source import Gap

SILENT_AFTER_POLLS = 3
"""A feed that could not be fetched for so many intervals is silent; so is one that brings nothing new when it always did (scrapers/rhythm.py)."""
SILENT_AFTER_LEAST = timedelta(minutes=2)
LONGEST_WATCH = timedelta(hours=1)
"""Two polls further apart than this do not mean that the source was watched meanwhile."""
STALE_AFTER = timedelta(hours=24)
"""A feed that answers well but brought nothing new for so long: dead, or moved without a word. Daily feeds stay within it."""

GOOD = frozenset(["ok", WAITING])
"""States that one poll is enough for; so is one for any that a first answer brings."""
_WALLED = frozenset({Reason.SOURCE_WALLED})
_BROKEN = frozenset({Reason.PAGE_CHANGED, Reason.SOURCE_GONE, Reason.BODY_TOO_LARGE, Reason.ADDRESS_REFUSED, Reason.UNEXPECTED})


class Health(Struct, frozen=True, kw_only=True):
    """What is known of one feed. Stored as JSON; `state` is the one at the last poll."""

    state: str = WAITING  # one of metrics.SOURCE_STATES
    url: str = ""  # without query and credentials
    interval_s: float = 0.0  # wait until the next poll, as decided at the last
    since: Instant  # first poll of this process
    polled_at: Instant | None = None
    last_good_at: Instant | None = None  # the last answer that could be used, 304 included
    last_document_at: Instant | None = None  # the last new document
    failures: int = 0  # in a row
    last_error: str = ""  # one line; empty after a good poll
    last_reason: Reason | None = None
    dropped: int = 0  # items of the last body that became no document
    documents: int = 0  # published by this process
    rhythm: Rhythm = Rhythm()
    langs: dict[str, Instant] = field(default_factory=dict)  # en, zh, other -> when it last told something in it
    gap: Gap | None = None  # the last stretch whose messages could not be had any more
    doubted: str = ""  # a worse state that the last poll alone speaks for


def after_success(health: Health, *, at: datetime, published: int, dropped: int | None, gap: Gap | None = None, langs: Collection[str] = ()) -> Health:
    """The health after a good answer; `dropped` is None where there was no new body to look at."""
    since = max(health.polled_at or at, at - LONGEST_WATCH)
    return replace(
        health,
        rhythm=watched(health.rhythm, since=since, until=at, documents=published),
        polled_at=at,
        last_good_at=at,
        last_document_at=at if published else health.last_document_at,
        failures=0,
        last_error="",
        last_reason=None,
        dropped=health.dropped if dropped is None else dropped,
        documents=health.documents + published,
        gap=gap or health.gap,
        langs=health.langs | dict.fromkeys(langs, at),
    )


def after_failure(health: Health, *, at: datetime, reason: Reason, message: str) -> Health:
    """The health after a poll that gave nothing."""
    return replace(health, polled_at=at, failures=health.failures + 1, last_error=message[:300], last_reason=reason)


def state_of(health: Health, *, at: datetime, interval_s: float) -> str:
    """One of metrics.SOURCE_STATES: walled, broken, silent, waiting, stale, partial, ok; in this order, the first that holds."""
    if health.failures and (failing := _failing(health, at=at, patience=max(SILENT_AFTER_LEAST, timedelta(seconds=interval_s) * SILENT_AFTER_POLLS))):
        return failing
    if health.last_document_at is not None and is_strange(health.rhythm, since=health.last_document_at, until=at):
        return "silent"
    if at - (health.last_document_at or health.since) > STALE_AFTER:
        return "stale"
    return "partial" if health.dropped else "ok"


def _failing(health: Health, *, at: datetime, patience: timedelta) -> str:
    """The state of a source whose last poll failed; empty where that says nothing yet."""
    if health.last_reason in _WALLED:
        return "walled"
    if health.last_reason in _BROKEN:
        return "broken"
    if at - (health.last_good_at or health.since) > patience:
        return "silent"
    return WAITING if health.last_good_at is None or health.last_good_at < health.since else ""


def settled(health: Health, found: str) -> Health:
    """The health with the state that two polls in a row speak for; better states count at once."""
    first_answer = health.state == WAITING and not health.failures
    if found in (health.state, health.doubted) or found in GOOD or first_answer:
        return replace(health, state=found, doubted="")
    return replace(health, doubted=found)


_health = msgspec.json.Decoder(Health)


class HealthStore:
    """The health of every feed in Redis.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names

    async def load(self, name: str, *, at: datetime) -> Health:
        """What an earlier process knew of the feed, its failures forgotten; else an empty health that begins at `at`."""
        try:
            value = await self._redis.hget(self._names.sources, name)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the health of {name}: {error}") from error
        try:
            known = _health.decode(value) if value else Health(since=at)
        except msgspec.MsgspecError:
            known = Health(since=at)
        return Health(since=at, last_good_at=known.last_good_at, last_document_at=known.last_document_at, rhythm=known.rhythm, gap=known.gap, langs=known.langs)

    async def keep_only(self, names: Collection[str]) -> None:
        """Forget feeds that are configured no more."""
        try:
            known = cast("list[bytes]", await self._redis.hkeys(self._names.sources))
            gone = [name for name in known if name.decode() not in names]
            if gone:
                await self._redis.hdel(self._names.sources, *gone)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not forget old feeds: {error}") from error

    async def save(self, name: str, health: Health) -> None:
        """Keep the health of the feed of that name."""
        try:
            await self._redis.hset(self._names.sources, name, msgspec.json.encode(health))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take the health of {name}: {error}") from error
