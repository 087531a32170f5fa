"""Deliveries in Redis: a durable queue that survives the death of anything."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.channels.channel import TIMEOUT_S
from opinion.clock import Clock, epoch_ms
from opinion.codec import decode, encode
from opinion.errors import StoreUnavailable
from opinion.names import Names
from opinion.records import Delivery

LEASE_S = 2 * TIMEOUT_S
"""A claimed delivery comes back after this long when its sender died."""
KEEP = timedelta(days=30)
"""How long a delivery can be looked at and sent again."""

_CLAIM = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], id) end
return due
"""


class DeliveryQueue:
    """Deliveries in Redis: made once, claimed with a lease, settled.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names, *, clock: Clock) -> None:
        self._redis = redis
        self._names = names
        self._clock = clock

    async def add(self, delivery: Delivery, body: bytes, *, keep: timedelta = KEEP) -> bool:
        """Queue a delivery with its body; False where it was queued before."""
        keep_s = int(keep.total_seconds())
        now_ms = epoch_ms(self._clock.now())
        try:
            new = await self._redis.set(self._names.delivery(delivery.delivery_id), encode(delivery), nx=True, ex=keep_s)
            await self._redis.set(self._names.delivery_payload(delivery.delivery_id), body, nx=True, ex=keep_s)
            if new or (await self.get(delivery.delivery_id) or delivery).settled_at is None:  # the process may have died between the two writes
                await self._redis.zadd(self._names.due, {delivery.delivery_id: now_ms}, nx=True)
            await self._redis.zadd(self._names.deliveries_index, {delivery.delivery_id: now_ms}, nx=True)
            await self._redis.zremrangebyscore(self._names.deliveries_index, "-inf", now_ms - int(KEEP.total_seconds()) * 1000)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take a delivery: {error}") from error
        return bool(new)

    async def claim(self, *, most: int) -> list[str]:
        """Ids that are due now, at most so many; they come back by themselves unless settled or delayed within the lease."""
        now_ms = epoch_ms(self._clock.now())
        try:
            ids = cast("list[bytes]", await self._redis.eval(_CLAIM, 1, self._names.due, now_ms, now_ms + int(LEASE_S * 1000), most))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say which deliveries are due: {error}") from error
        return [item.decode() for item in ids]

    async def get(self, delivery_id: str) -> Delivery | None:
        """One delivery."""
        try:
            value = cast("bytes | None", await self._redis.get(self._names.delivery(delivery_id)))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give a delivery: {error}") from error
        return decode(value, Delivery) if value else None

    async def body(self, delivery_id: str) -> bytes:
        """The bytes to send: the same on every try."""
        try:
            return cast("bytes | None", await self._redis.get(self._names.delivery_payload(delivery_id))) or b""
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give a delivery's body: {error}") from error

    async def update(self, delivery: Delivery) -> None:
        """Keep what a try changed; settled deliveries leave the queue."""
        try:
            await self._redis.set(self._names.delivery(delivery.delivery_id), encode(delivery), keepttl=True)
            if delivery.due_at is None:
                await self._redis.zrem(self._names.due, delivery.delivery_id)
            else:
                await self._redis.zadd(self._names.due, {delivery.delivery_id: epoch_ms(delivery.due_at)})
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take a delivery's outcome: {error}") from error

    async def waiting(self) -> tuple[int, float]:
        """How many are not settled, and the age of the oldest in seconds."""
        try:
            count = await self._redis.zcard(self._names.due)
            ids = cast("list[bytes]", await self._redis.zrange(self._names.due, 0, 0))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say what waits: {error}") from error
        oldest = await self.get(ids[0].decode()) if ids else None
        return count, 0.0 if oldest is None else (self._clock.now() - oldest.created_at).total_seconds()

    async def newest(self, *, limit: int) -> list[Delivery]:
        """The deliveries made last, newest first."""
        try:
            ids = cast("list[bytes]", await self._redis.zrevrange(self._names.deliveries_index, 0, limit - 1))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not list deliveries: {error}") from error
        found = [await self.get(item.decode()) for item in ids]
        return [item for item in found if item is not None]

    async def retry(self, delivery_id: str) -> bool:
        """Make a delivery due now, whatever became of it; False where there is none."""
        found = await self.get(delivery_id)
        if found is None:
            return False
        await self.update(replace(found, due_at=self._clock.now(), settled_at=None))
        return True
