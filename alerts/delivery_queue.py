"""Deliveries in Redis: a durable queue for each receiver, that survives the death of anything. Every change of several keys is one Lua script."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import structlog
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.channels.channel import TIMEOUT_S
from alerts.plain import Plain, PlainBodies
from opinion.clock import Clock, epoch_ms
from opinion.codec import decode, encode
from opinion.errors import RecordError, StoreUnavailable
from opinion.names import Names
from opinion.records import Delivery, DeliveryOutcome

log = structlog.get_logger()

LEASE_S = 2 * TIMEOUT_S
"""A claimed delivery comes back after this long when its sender died."""
KEEP = timedelta(days=30)
"""How long a delivery can be looked at and sent again."""
AT_ONCE = 500
"""Deliveries read or forgotten in one journey: some milliseconds of Redis' time."""
LEAST_AT_ONCE = 50

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")


Place = tuple[int, str]
"""When a delivery was made, in milliseconds since 1970, and its id: lists go by both."""


class Claimed(NamedTuple):
    """A delivery that its claimant alone may try, until the lease ends."""

    delivery: Delivery
    body: bytes  # the same on every try, unless it quotes what was erased meanwhile
    claim: str


class Page(NamedTuple):
    """Some deliveries, newest first."""

    deliveries: list[Delivery]
    before: Place | None  # asks for those that follow; None: there are none


class DeliveryQueue:
    """Deliveries in Redis: made once, claimed with a lease, settled.

    Deliveries of one receiver and one line get their first try in the order they were added: the next is not due before that of the one
    before has ended.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names, *, clock: Clock, lease_s: float = LEASE_S) -> None:
        self._redis = redis
        self._names = names
        self._clock = clock
        self._lease_ms = int(lease_s * 1000)
        self._script = redis.register_script(_SCRIPT)
        self._endpoints = names.delivery_base + "endpoints"
        self._plains = PlainBodies(redis, names)

    async def add(self, delivery: Delivery, body: bytes, *, keep: timedelta = KEEP, plain: Plain | None = None) -> bool:
        """Queue a delivery with its body, and with what is sent in its place should that quote what was erased; False where it was queued before.

        One that is settled is kept, and sent only when asked for again.
        """
        made_ms = epoch_ms(delivery.created_at)
        alerts = " ".join(delivery.alert_ids or [delivery.alert_id])
        outcome = "" if delivery.outcome is None else delivery.outcome.value
        fields = (delivery.delivery_id, delivery.subscription_id, delivery.line, made_ms, made_ms + int(keep.total_seconds() * 1000), encode(delivery), body, alerts, outcome)
        if plain is not None:
            await self._plains.keep(delivery.delivery_id, plain, keep=keep)
        return bool(await self._run("add", *fields))

    async def ready(self, *, most: int) -> list[str]:
        """Ids of subscriptions that have something due, the longest due first, as far as they are not to be left alone."""
        try:
            ids = cast("list[bytes]", await self._redis.zrangebyscore(self._endpoints, "-inf", self._now_ms(), start=0, num=most))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say which deliveries are due: {error}") from error
        return [item.decode() for item in ids]

    async def leave_alone(self, seconds: Mapping[str, float]) -> None:
        """Pass these subscriptions over in `ready` for so many seconds, unless something happens to one of their deliveries."""
        if not seconds:
            return
        now_ms = self._now_ms()
        try:
            await self._redis.zadd(self._endpoints, {subscription: now_ms + int(wait_s * 1000) for subscription, wait_s in seconds.items()}, xx=True)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not note which receivers to leave alone: {error}") from error

    async def claim(self, most: Mapping[str, int]) -> list[Claimed]:
        """Deliveries that are due, at most so many of each subscription; they come back by themselves unless settled or delayed within the lease."""
        if not most:
            return []
        claim, now_ms = uuid.uuid4().hex, self._now_ms()
        asked = [part for pair in most.items() for part in pair]
        parts = cast("list[bytes]", await self._run("claim", now_ms, now_ms + self._lease_ms, claim, *asked))
        found = []
        for record, body in zip(parts[::2], parts[1::2], strict=True):
            delivery = _read(record)
            if delivery is not None:
                found.append(Claimed(delivery, body, claim))
        sent = await self._plains.sent({item.delivery.delivery_id: item.body for item in found})
        return [item._replace(body=sent[item.delivery.delivery_id]) for item in found]

    async def update(self, claimed: Claimed, delivery: Delivery) -> bool:
        """Keep what a try changed; settled deliveries leave the queue. False where the lease had ended and another claimed it: nothing is changed."""
        outcome = "" if delivery.outcome is None else delivery.outcome.value
        due = "" if delivery.due_at is None else epoch_ms(delivery.due_at)
        return bool(await self._run("update", delivery.delivery_id, claimed.claim, outcome, due, encode(delivery)))

    async def give_back(self, claimed: Sequence[Claimed]) -> None:
        """Let what was claimed and not tried be claimed again at once."""
        for item in claimed:
            await self._run("give_back", self._now_ms(), item.claim, item.delivery.delivery_id)

    async def mend(self) -> int:
        """Let what waits and is settled wait no more: lists and deliveries of a restored backup are not of one instant. How many that were."""
        return int(await self._run("mend"))

    async def get(self, delivery_id: str) -> Delivery | None:
        """One delivery."""
        found = await self._read([delivery_id])
        return _read(found[delivery_id]) if found else None

    async def body(self, delivery_id: str) -> bytes:
        """The bytes that are sent; none where there is no such delivery."""
        try:
            body = cast("bytes | None", await self._redis.hget(self._names.delivery(delivery_id), "body"))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give a delivery's body: {error}") from error
        return (await self._plains.sent({delivery_id: body}))[delivery_id] if body else b""

    async def waiting(self) -> tuple[int, float]:
        """How many are not settled, and the age of the oldest in seconds."""
        key = self._names.delivery_base + "waiting"
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.zcard(key)
                pipe.zrange(key, 0, 0, withscores=True)
                count, oldest = await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say what waits: {error}") from error
        return int(count), max(0.0, (self._now_ms() - float(oldest[0][1])) / 1000) if oldest else 0.0

    async def page(
        self, *, subscription: str | None = None, alert: str | None = None, outcome: DeliveryOutcome | None = None, before: Place | None = None, limit: int = 50
    ) -> Page:
        """At most `limit` deliveries, newest first, that fit; `before` is what the page before says."""
        wanted = "" if outcome is None else outcome.value
        key = self._names.deliveries_about(alert) if alert else self._names.deliveries_made(subscription_id=subscription or "", outcome=wanted)
        found: list[Delivery] = []
        async for delivery in self._listed(key, before=before, at_once=min(max(limit + 1, LEAST_AT_ONCE), AT_ONCE)):
            if subscription in {None, delivery.subscription_id} and outcome in {None, delivery.outcome}:
                found.append(delivery)
            if len(found) > limit:
                last = found[limit - 1]
                return Page(found[:limit], (epoch_ms(last.created_at), last.delivery_id))
        return Page(found, None)

    async def retry(self, delivery_id: str) -> bool:
        """Make a delivery due now, whatever became of it, its schedule begun anew; False where there is none."""
        return await self._retry([delivery_id]) == 1

    async def retry_since(self, subscription_id: str, since: datetime) -> int:
        """The same for all of a subscription that were made at or after `since`, delivered ones too, oldest first; how many."""
        return await self._retry(await self._ids(self._names.deliveries_made(subscription_id=subscription_id), since=since))

    async def retry_missing(self, subscription_id: str) -> int:
        """The same for all of a subscription that ended without being delivered; how many."""
        keys = [self._names.deliveries_made(subscription_id=subscription_id, outcome=outcome.value) for outcome in DeliveryOutcome if outcome is not DeliveryOutcome.DELIVERED]
        ids = [item for key in keys for item in await self._ids(key)]
        return await self._retry(ids, settled_only=True)

    async def forget(self, *, most: int = AT_ONCE) -> tuple[int, list[str]]:
        """Drop deliveries that were kept long enough; how many, and the ids of those that were never settled."""
        count, untold = cast("tuple[int, list[bytes]]", await self._run("forget", self._now_ms(), most))
        return count, [item.decode() for item in untold]

    def _now_ms(self) -> int:
        return epoch_ms(self._clock.now())

    async def _run(self, step: str, *arguments: str | bytes | float) -> Any:
        try:
            return await self._script(keys=[self._names.delivery_base], args=[step, *arguments])
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not {step.replace('_', ' ')} deliveries: {error}") from error

    async def _read(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Records of those that are there, in this order."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for delivery_id in ids:
                    pipe.hget(self._names.delivery(delivery_id), "record")
                records = cast("list[bytes | None]", await pipe.execute()) if ids else []
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give {len(ids)} deliveries: {error}") from error
        return {delivery_id: record for delivery_id, record in zip(ids, records, strict=True) if record}

    async def _ids(self, key: str, *, since: datetime | None = None) -> list[str]:
        try:
            ids = cast("list[bytes]", await self._redis.zrangebyscore(key, "-inf" if since is None else epoch_ms(since), "+inf"))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not list deliveries: {error}") from error
        return [item.decode() for item in ids]

    async def _listed(self, key: str, *, before: Place | None, at_once: int) -> AsyncIterator[Delivery]:
        """The deliveries of a sorted set, newest first, those of one millisecond by their ids, from those on that follow `before`."""
        highest: float | str = "+inf" if before is None else before[0]
        start = 0
        while True:
            try:
                rows = cast("list[tuple[bytes, float]]", await self._redis.zrevrangebyscore(key, highest, "-inf", start=start, num=at_once, withscores=True))
            except RedisError as error:
                raise StoreUnavailable(f"Redis did not list deliveries: {error}") from error
            records = await self._read([item.decode() for item, made_ms in rows if before is None or (int(made_ms), item.decode()) < before])
            for record in records.values():
                delivery = _read(record)
                if delivery is not None:
                    yield delivery
            if len(rows) < at_once:
                return
            if start == 0:
                highest = rows[0][1]  # what is made from now on moves no place
            start += at_once

    async def _retry(self, ids: Sequence[str], *, settled_only: bool = False) -> int:
        """How many there are of these, made due in this order."""
        count, left = 0, list(ids)
        while left:
            now = self._clock.now()
            some, left = left[:AT_ONCE], left[AT_ONCE:]
            arguments: list[str | bytes | float] = []
            for place, (delivery_id, record) in enumerate((await self._read(some)).items()):
                found = _read(record)
                if found is not None and (not settled_only or found.due_at is None):
                    count += 1
                    again = replace(found, due_at=now, settled_at=None, attempts=0)
                    arguments += [delivery_id, epoch_ms(now) - 1 + place / AT_ONCE, record, encode(again)]
            changed = cast("list[bytes]", await self._run("retry", epoch_ms(now), *arguments)) if arguments else []
            left = [item.decode() for item in changed] + left
            count -= len(changed)
        return count


def _read(record: bytes) -> Delivery | None:
    """A stored delivery; None where it is of a newer version: its lease brings it back to who can read it."""
    try:
        return decode(record, Delivery)
    except RecordError as error:
        log.warning("a delivery cannot be read and is passed over", reason=error.reason.value, error=str(error))
        return None
