"""From transitions to told receivers: a durable queue in Redis, tries, waits, breakers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import cast

import httpx
import structlog
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.breaker import Breaker
from alerts.channels.webhook import TIMEOUT_S, render, send
from alerts.subscriptions import Subscription, SubscriptionStore, matches
from opinion.clock import Clock, epoch_ms, from_epoch_ms, monotonic_s
from opinion.codec import decode, encode
from opinion.errors import DeliveryBlocked, DeliveryError, DeliveryGone, DeliveryRateLimited, DeliveryUnavailable, StoreUnavailable
from opinion.metrics import AlerterMetrics
from opinion.names import Names, delivery_id_of
from opinion.records import Alert, Delivery, DeliveryOutcome
from opinion.tasks import end

log = structlog.get_logger()

SCHEDULE_S = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Wait before each try, counted from the one before (Standard Webhooks)."""
JITTER = 0.2
"""Waits grow by up to this share, so that a receiver that comes back is not met by all at once."""
LEASE_S = 2 * TIMEOUT_S
"""A claimed delivery comes back after this long when its sender died."""
IDLE_S = 0.2
"""Pause between looks at an empty queue: part of every alert's delay."""
MOST_IN_FLIGHT = 64
MOST_PER_ENDPOINT = 4
KEEP = timedelta(days=30)

_CLAIM = """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], id) end
return due
"""


def wait_s(attempts: int, *, asked_s: float | None = None, jitter: float = 0.0) -> float | None:
    """Seconds until the next try after `attempts` of them; None when there is no further one.

    A receiver's Retry-After can lengthen the wait, not shorten it. `jitter` in [0, 1] is the share of JITTER used.

    >>> wait_s(1), wait_s(2, asked_s=600), wait_s(10)
    (5.0, 600.0, None)
    """
    if attempts >= len(SCHEDULE_S):
        return None
    return max(SCHEDULE_S[attempts] * (1 + JITTER * jitter), asked_s or 0.0)


class DeliveryQueue:
    """Deliveries in Redis: made once, claimed with a lease, settled.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names, *, clock: Clock) -> None:
        self._redis = redis
        self._names = names
        self._clock = clock

    async def add(self, delivery: Delivery, body: bytes) -> bool:
        """Queue a delivery with its body; False where it was queued before."""
        keep_s = int(KEEP.total_seconds())
        now_ms = epoch_ms(self._clock.now())
        try:
            new = await self._redis.set(self._names.delivery(delivery.delivery_id), encode(delivery), nx=True, ex=keep_s)
            await self._redis.set(self._names.delivery_payload(delivery.delivery_id), body, nx=True, ex=keep_s)
            if new or (await self.get(delivery.delivery_id) or delivery).settled_at is None:  # the process may have died between the two writes
                await self._redis.zadd(self._names.due, {delivery.delivery_id: now_ms}, nx=True)
            await self._redis.zadd(self._names.deliveries_index, {delivery.delivery_id: now_ms}, nx=True)
            await self._redis.zremrangebyscore(self._names.deliveries_index, "-inf", now_ms - keep_s * 1000)
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


class Deliverer:
    """Tells receivers. One failing receiver costs the others nothing.

    run() until cancelled: claim ──▶ try ──▶ delivered | try again later | given up
    """

    def __init__(
        self, queue: DeliveryQueue, subscriptions: SubscriptionStore, *, client: httpx.AsyncClient, clock: Clock, metrics: AlerterMetrics,
        jitter: Callable[[], float] = random.random, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._queue = queue
        self._subscriptions = subscriptions
        self._client = client
        self._clock = clock
        self._metrics = metrics
        self._jitter = jitter
        self._sleep = sleep
        self._breakers: dict[str, Breaker] = {}
        self._endpoints: dict[str, asyncio.Semaphore] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def enqueue(self, alert: Alert) -> list[str]:
        """Queue a transition for every subscription that matches; ids of all of them, new or not.

        Errors:
            StoreUnavailable (retryable; what was queued stays queued once).
        """
        body = render(alert)
        ids = []
        for subscription in await self._subscriptions.all():
            if matches(subscription, alert):
                ids.append(delivery_id_of(alert.alert_id, alert.sequence, subscription.id))
                await self._queue.add(self._delivery(ids[-1], alert.alert_id, alert.sequence, subscription.id), body)
        return ids

    async def enqueue_test(self, subscription: Subscription, *, nonce: str, body: bytes) -> str:
        """Queue a test message for one subscription; its id."""
        delivery_id = delivery_id_of("test", 0, subscription.id + nonce)
        await self._queue.add(self._delivery(delivery_id, "test", 0, subscription.id), body)
        return delivery_id

    def _delivery(self, delivery_id: str, alert_id: str, sequence: int, subscription: str) -> Delivery:
        now = self._clock.now()
        return Delivery(delivery_id=delivery_id, alert_id=alert_id, sequence=sequence, subscription_id=subscription, created_at=now, due_at=now)

    async def run(self) -> None:
        """Send what is due until cancelled; an unreachable Redis is waited for."""
        try:
            while True:
                try:
                    if await self.send_due() == 0:
                        await self._sleep(IDLE_S)
                except StoreUnavailable as error:
                    log.warning("deliveries wait for Redis", error=str(error))
                    await self._sleep(2.0)
        finally:
            await end(*self._running)

    async def send_due(self) -> int:
        """Start a try of everything that is due, as far as there is room; returns how many."""
        room = MOST_IN_FLIGHT - len(self._running)
        ids = await self._queue.claim(most=room) if room > 0 else []
        for delivery_id in ids:
            task = asyncio.create_task(self._guarded(delivery_id))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        count, age_s = await self._queue.waiting()
        self._metrics.queue_length.set(count)
        self._metrics.oldest_age.set(age_s)
        now_s = monotonic_s()
        self._metrics.breakers_open.set(sum(breaker.is_open(now_s) for breaker in self._breakers.values()))
        return len(ids)

    async def settle_running(self) -> None:
        """Return when the tries that are under way have ended."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _guarded(self, delivery_id: str) -> None:
        try:
            await self.attempt(delivery_id)
        except StoreUnavailable as error:
            log.warning("outcome not written, the delivery comes back", delivery=delivery_id, error=str(error))

    async def attempt(self, delivery_id: str) -> Delivery | None:
        """One try of one delivery; the delivery after it, None where it is gone or settled."""
        delivery = await self._queue.get(delivery_id)
        if delivery is None or delivery.due_at is None:
            return None
        subscription = await self._subscriptions.get(delivery.subscription_id)
        if subscription is None or not subscription.enabled:
            return await self._settle(delivery, DeliveryOutcome.GONE, "the subscription is removed or disabled")
        breaker = self._breakers.get(subscription.id, Breaker())
        if not breaker.allows(monotonic_s()):
            return await self._delay(delivery, max(1.0, breaker.open_until_s - monotonic_s()), counted=False)
        gate = self._endpoints.setdefault(subscription.id, asyncio.Semaphore(MOST_PER_ENDPOINT))
        if gate.locked():
            return await self._delay(delivery, 1.0, counted=False)
        async with gate:
            return await self._try(delivery, subscription)

    async def _try(self, delivery: Delivery, subscription: Subscription) -> Delivery:
        body = await self._queue.body(delivery.delivery_id)
        began_s = monotonic_s()
        failure: DeliveryError | None = None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await send(self._client, subscription, message_id=delivery.delivery_id, body=body, at=self._clock.now())
        except TimeoutError:
            failure = DeliveryUnavailable(f"the receiver did not answer within {TIMEOUT_S:g} s")
        except DeliveryError as error:
            failure = error
        self._metrics.delivery_duration.labels(subscription.channel).observe(monotonic_s() - began_s)
        breaker = self._breakers.get(subscription.id, Breaker())
        self._breakers[subscription.id] = breaker.after(succeeded=failure is None, now_s=monotonic_s())
        delivery = replace(delivery, attempts=delivery.attempts + 1)
        if failure is None:
            return await self._settle(delivery, DeliveryOutcome.DELIVERED, "")
        return await self._failed(delivery, failure)

    async def _failed(self, delivery: Delivery, failure: DeliveryError) -> Delivery:
        outcome = DeliveryOutcome(failure.reason.value)
        log.warning("receiver not told", delivery=delivery.delivery_id, attempts=delivery.attempts, outcome=outcome.value, detail=str(failure))
        if isinstance(failure, DeliveryGone | DeliveryBlocked):
            if isinstance(failure, DeliveryGone) and "410" in str(failure):
                await self._subscriptions.disable(delivery.subscription_id, reason="the receiver answered 410")
            return await self._settle(delivery, outcome, str(failure))
        asked_s = failure.wait_s if isinstance(failure, DeliveryRateLimited) else None
        later_s = wait_s(delivery.attempts, asked_s=asked_s, jitter=self._jitter())
        self._metrics.deliveries.labels("webhook", outcome.value).inc()
        if later_s is None:
            return await self._settle(replace(delivery, outcome=outcome), DeliveryOutcome.EXHAUSTED, str(failure))
        return await self._delay(replace(delivery, outcome=outcome, detail=str(failure)), later_s, counted=True)

    async def _settle(self, delivery: Delivery, outcome: DeliveryOutcome, detail: str) -> Delivery:
        self._metrics.deliveries.labels("webhook", outcome.value).inc()
        settled = replace(delivery, outcome=outcome, detail=detail, due_at=None, settled_at=self._clock.now())
        await self._queue.update(settled)
        return settled

    async def _delay(self, delivery: Delivery, seconds: float, *, counted: bool) -> Delivery:
        later = replace(delivery, due_at=_after(self._clock.now(), seconds))
        if not counted:
            log.debug("endpoint busy or failing, trying later", delivery=delivery.delivery_id, wait_s=seconds)
        await self._queue.update(later)
        return later


def _after(at: datetime, seconds: float) -> datetime:
    return from_epoch_ms(epoch_ms(at) + int(seconds * 1000))
