"""From queued deliveries to told receivers: tries, waits, breakers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog
from msgspec.structs import replace

from alerts.breaker import Breaker
from alerts.channels.channel import TIMEOUT_S, Message, Sender, find_channel
from alerts.delivery_queue import DeliveryQueue
from alerts.subscriptions import Subscription, SubscriptionStore
from opinion.clock import Clock, epoch_ms, from_epoch_ms, monotonic_s
from opinion.errors import DeliveryBlocked, DeliveryError, DeliveryGone, DeliveryRateLimited, DeliveryUnavailable, StoreUnavailable
from opinion.metrics import AlerterMetrics
from opinion.records import Delivery, DeliveryOutcome
from opinion.tasks import end

log = structlog.get_logger()

SCHEDULE_S = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Wait before each try, counted from the one before (Standard Webhooks)."""
JITTER = 0.2
"""Waits grow by up to this share, so that a receiver that comes back is not met by all at once."""
IDLE_S = 0.2
"""Pause between looks at an empty queue: part of every alert's delay."""
MOST_IN_FLIGHT = 64
MOST_PER_ENDPOINT = 4


def wait_s(attempts: int, *, asked_s: float | None = None, jitter: float = 0.0) -> float | None:
    """Seconds until the next try after `attempts` of them; None when there is no further one.

    A receiver's Retry-After can lengthen the wait, not shorten it. `jitter` in [0, 1] is the share of JITTER used.

    >>> wait_s(1), wait_s(2, asked_s=600), wait_s(10)
    (5.0, 600.0, None)
    """
    if attempts >= len(SCHEDULE_S):
        return None
    return max(SCHEDULE_S[attempts] * (1 + JITTER * jitter), asked_s or 0.0)


class Deliverer:
    """Tells receivers. One failing receiver costs the others nothing.

    run() until cancelled: claim ──▶ try ──▶ delivered | try again later | given up
    """

    def __init__(
        self, queue: DeliveryQueue, subscriptions: SubscriptionStore, *, sender: Sender, clock: Clock, metrics: AlerterMetrics,
        jitter: Callable[[], float] = random.random, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._queue = queue
        self._subscriptions = subscriptions
        self._sender = sender
        self._clock = clock
        self._metrics = metrics
        self._jitter = jitter
        self._sleep = sleep
        self._breakers: dict[str, Breaker] = {}
        self._endpoints: dict[str, asyncio.Semaphore] = {}
        self._running: set[asyncio.Task[None]] = set()

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
        message = Message(id=delivery.delivery_id, body=await self._queue.body(delivery.delivery_id), at=self._clock.now())
        began_s = monotonic_s()
        failure: DeliveryError | None = None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await find_channel(subscription.channel).send(self._sender, subscription, message)
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
        self._metrics.deliveries.labels(delivery.channel, outcome.value).inc()
        if later_s is None:
            return await self._settle(replace(delivery, outcome=outcome), DeliveryOutcome.EXHAUSTED, str(failure))
        return await self._delay(replace(delivery, outcome=outcome, detail=str(failure)), later_s, counted=True)

    async def _settle(self, delivery: Delivery, outcome: DeliveryOutcome, detail: str) -> Delivery:
        self._metrics.deliveries.labels(delivery.channel, outcome.value).inc()
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
