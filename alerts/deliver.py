"""From queued deliveries to told receivers: who has room, tries, waits, and when a receiver is given up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from msgspec import Struct
from msgspec.structs import replace

from alerts.breaker import OPEN_S
from alerts.channels.channel import Message, Sender, find_channel
from alerts.delivery_queue import Claimed, DeliveryQueue
from alerts.endpoint import Answer, Endpoint
from alerts.subscriptions import Subscription, SubscriptionStore
from opinion.clock import Clock, epoch_ms, from_epoch_ms, monotonic_s
from opinion.errors import ConfigError, DeliveryBlocked, DeliveryError, DeliveryGone, DeliveryRateLimited, DeliveryUnavailable, StoreUnavailable
from opinion.metrics import AlerterMetrics
from opinion.records import Delivery, DeliveryOutcome
from opinion.tasks import end

log = structlog.get_logger()

SCHEDULE_S = (0.0, 5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Wait before each try, counted from the one before (Standard Webhooks)."""
JITTER = 0.2
"""Waits grow by up to this share, so that a receiver that comes back is not met by all at once."""
FAILING = timedelta(days=5)
"""A receiver of which every try failed for this long is told no more: longer than the schedule of a message, 75 h."""
IDLE_S = 0.1
"""Pause between looks at an empty queue: part of every alert's delay."""
RETRY_S = 2.0
MOST_QUICK = 128
"""Tries under way of receivers not known to be slow: one that hangs leaves this number after SLOW_S."""
MOST_SLOW = 128
"""Tries under way of slow receivers. A try that hangs costs some 60 kB, with TLS 150 kB."""
MOST_IN_FLIGHT = 1024
"""Tries under way at all. Above the sum of the two: those that began as quick ones and hang count as slow from then on."""
LOOKED_AT = 1000
"""Receivers considered in one look; those without room are left alone, so the next look sees others."""
SETTLED_AT_ONCE = 100
"""Deliveries to one subscription that is removed or disabled, settled in one look."""
GRACE_S = 1.0
"""How long tries may go on when the process ends: usual ones take less, and are not made twice then."""
WRITE_AGAIN_S = 0.1
GAUGES_EVERY_S = 1.0
FORGET_EVERY_S = 60.0


class Timetable(Struct, frozen=True, kw_only=True):
    """How long things may take and are waited for."""

    schedule_s: tuple[float, ...] = SCHEDULE_S
    open_s: float = OPEN_S  # how long an endpoint that keeps failing is left alone
    failing: timedelta = FAILING

    def wait_s(self, attempts: int, *, asked_s: float | None = None, jitter: float = 0.0) -> float | None:
        """Seconds until the next try after `attempts` of them; None when there is no further one.

        A receiver's Retry-After can lengthen the wait, not shorten it. `jitter` in [0, 1] is the share of JITTER used.

        >>> Timetable().wait_s(1), Timetable().wait_s(2, asked_s=600), Timetable().wait_s(10)
        (5.0, 600.0, None)
        """
        if attempts >= len(self.schedule_s):
            return None
        return max(self.schedule_s[attempts] * (1 + JITTER * jitter), asked_s or 0.0)


OnDisabled = Callable[[Subscription, str, str], Awaitable[None]]
"""Called with a subscription, the reason, and the delivery whose failure decided, before the subscription is disabled; maybe more than once."""


class Deliverer:
    """Tells receivers. One that fails, hangs or dawdles costs the others nothing.

    run() until cancelled: look ──▶ claim for those that have room ──▶ try ──▶ delivered | try again later | given up
    """

    def __init__(
        self, queue: DeliveryQueue, subscriptions: SubscriptionStore, *, sender: Sender, clock: Clock, metrics: AlerterMetrics, timetable: Timetable | None = None,
        leading: Callable[[], bool] = lambda: True, on_disabled: OnDisabled | None = None,
        jitter: Callable[[], float] = random.random, seconds: Callable[[], float] = monotonic_s,
    ) -> None:  # fmt: skip
        self._queue = queue
        self._subscriptions = subscriptions
        self._sender = sender
        self._clock = clock
        self._metrics = metrics
        self._timetable = timetable or Timetable()
        self._leading = leading
        self._on_disabled = on_disabled
        self._jitter = jitter
        self._seconds = seconds
        self._endpoints: dict[str, Endpoint] = {}
        self._running: dict[asyncio.Task[None], Claimed] = {}
        self._ended = asyncio.Event()
        self._gauges_at_s = self._forget_at_s = 0.0

    async def run(self) -> None:
        """Send what is due until cancelled; an unreachable Redis is waited for."""
        try:
            while True:
                try:
                    if not await self.send_due():
                        await self._idle()
                except StoreUnavailable as error:
                    log.warning("deliveries wait for Redis", error=str(error))
                    await asyncio.sleep(RETRY_S)
                except Exception:
                    log.exception("a look at the deliveries failed in a way nobody thought of, trying again")
                    await asyncio.sleep(RETRY_S)
        finally:
            await self._close()

    async def send_due(self) -> int:
        """Start a try of everything that is due, as far as there is room; returns how many."""
        if not self._leading():
            return 0
        self._ended.clear()
        ready = await self._queue.ready(most=LOOKED_AT)
        subscriptions = await self._subscriptions.some(ready)
        now_s = self._seconds()
        wanted, left_alone = self._share(ready, subscriptions, now_s)
        await self._queue.leave_alone(left_alone)  # at once: the end of one of their tries shall come after it
        claimed = await self._queue.claim(wanted)
        for item in claimed:
            self._start(item, subscriptions.get(item.delivery.subscription_id))
        await self._keep_house(now_s)
        return len(claimed)

    async def settle_running(self) -> None:
        """Return when the tries that are under way have ended."""
        await asyncio.gather(*self._running, return_exceptions=True)

    def _share(self, ready: Sequence[str], subscriptions: Mapping[str, Subscription], now_s: float) -> tuple[dict[str, int], dict[str, float]]:
        """How many to claim for each receiver, and for how long to leave the others alone."""
        running = [(endpoint.running, endpoint.is_slow(now_s)) for endpoint in self._endpoints.values() if endpoint.running]
        left = {slow: most - sum(count for count, counted in running if counted is slow) for slow, most in ((False, MOST_QUICK), (True, MOST_SLOW))}
        left[False] = min(left[False], MOST_IN_FLIGHT - len(self._running))
        wanted: dict[str, int] = {}
        left_alone: dict[str, float] = {}
        for wanted_id in ready:
            subscription = subscriptions.get(wanted_id)
            if subscription is None or not subscription.enabled:
                wanted[wanted_id] = SETTLED_AT_ONCE
                continue
            endpoint = self._endpoints.setdefault(wanted_id, Endpoint())
            slow = endpoint.is_slow(now_s)
            room = min(endpoint.room(now_s, rate_per_min=subscription.rate_per_min), left[slow])
            if room > 0:
                wanted[wanted_id] = room
                left[slow] -= room
            elif slow or left[slow] > 0:
                left_alone[wanted_id] = endpoint.wait_s(now_s, rate_per_min=subscription.rate_per_min)
        return wanted, left_alone

    def _start(self, claimed: Claimed, subscription: Subscription | None) -> None:
        if subscription is not None and subscription.enabled:
            endpoint = self._endpoints[subscription.id]
            endpoint.began(claimed.delivery.delivery_id, now_s=self._seconds(), rate_per_min=subscription.rate_per_min)
        task = asyncio.create_task(self._guarded(claimed, subscription))
        self._running[task] = claimed
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        self._ended.set()

    async def _guarded(self, claimed: Claimed, subscription: Subscription | None) -> None:
        try:
            if subscription is not None and subscription.enabled:
                await self._try(claimed, subscription, self._endpoints[subscription.id])
            else:
                await self._settle(claimed, DeliveryOutcome.GONE, "the subscription is removed or disabled")
        except StoreUnavailable as error:
            log.warning("outcome not written, the delivery comes back", delivery=claimed.delivery.delivery_id, error=str(error))
        except Exception:
            log.exception("a delivery failed in a way nobody thought of and comes back", delivery=claimed.delivery.delivery_id)

    async def _try(self, claimed: Claimed, subscription: Subscription, endpoint: Endpoint) -> None:
        delivery = claimed.delivery
        answer, asked_s = Answer.NOTHING, None
        try:
            if not self._leading():
                return  # another may have claimed it already
            if delivery.outcome is None:
                self._metrics.delivery_delay.labels(subscription.channel).observe(max(0.0, (self._clock.now() - delivery.created_at).total_seconds()))
            failure = await self._send(claimed, subscription)
            answer, asked_s = _said(failure)
        finally:
            endpoint.ended(delivery.delivery_id, answer, now_s=self._seconds(), pause_s=asked_s, open_s=self._timetable.open_s)
        tried = claimed._replace(delivery=replace(delivery, attempts=delivery.attempts + 1))
        if failure is None:
            await self._settle(tried, DeliveryOutcome.DELIVERED, "")
        else:
            await self._failed(tried, failure)
        await self._note_health(subscription, delivery, answer)

    async def _send(self, claimed: Claimed, subscription: Subscription) -> DeliveryError | ConfigError | None:
        """What went wrong, if anything."""
        message = Message(id=claimed.delivery.delivery_id, body=claimed.body, at=self._clock.now())
        began_s = self._seconds()
        try:
            async with asyncio.timeout(self._sender.timeout_s):
                await find_channel(subscription.channel).send(self._sender, subscription, message)
        except TimeoutError:
            return DeliveryUnavailable(f"the receiver did not answer within {self._sender.timeout_s:g} s")
        except (DeliveryError, ConfigError) as error:
            return error
        except Exception as error:  # a fault of the channel is no reason to lose the message
            log.exception("a channel failed in a way nobody thought of", channel=subscription.channel, delivery=message.id)
            return ConfigError(f"the channel {subscription.channel} failed: {type(error).__name__}")
        finally:
            self._metrics.delivery_duration.labels(subscription.channel).observe(self._seconds() - began_s)
        return None

    async def _failed(self, claimed: Claimed, failure: DeliveryError | ConfigError) -> None:
        delivery = claimed.delivery
        outcome = DeliveryOutcome.UNEXPECTED if isinstance(failure, ConfigError) else DeliveryOutcome(failure.reason.value)
        log.warning("receiver not told", delivery=delivery.delivery_id, attempts=delivery.attempts, outcome=outcome.value, detail=str(failure))
        if isinstance(failure, DeliveryGone | DeliveryBlocked):
            if isinstance(failure, DeliveryGone) and not failure.message_only:
                await self._disable(delivery, reason="the receiver answered 410", why="gone")
            await self._settle(claimed, outcome, str(failure))
            return
        asked_s = failure.wait_s if isinstance(failure, DeliveryRateLimited) else None
        later_s = self._timetable.wait_s(delivery.attempts, asked_s=asked_s, jitter=self._jitter())
        if later_s is None:
            self._metrics.deliveries.labels(delivery.channel, outcome.value).inc()
            await self._settle(claimed, DeliveryOutcome.EXHAUSTED, str(failure))
        else:
            await self._keep(claimed, replace(delivery, outcome=outcome, detail=str(failure), due_at=_after(self._clock.now(), later_s)))

    async def _settle(self, claimed: Claimed, outcome: DeliveryOutcome, detail: str) -> None:
        await self._keep(claimed, replace(claimed.delivery, outcome=outcome, detail=detail, due_at=None, settled_at=self._clock.now()))

    async def _keep(self, claimed: Claimed, delivery: Delivery) -> None:
        """Write the outcome of a try, if need be until shortly before the lease ends: what is not written is told twice."""
        assert delivery.outcome is not None
        self._metrics.deliveries.labels(delivery.channel, delivery.outcome.value).inc()
        until_s = self._seconds() + self._sender.timeout_s / 2
        while True:
            try:
                kept = await self._queue.update(claimed, delivery)
                break
            except StoreUnavailable:
                if self._seconds() >= until_s:
                    raise
                await asyncio.sleep(WRITE_AGAIN_S)
        if not kept:
            log.warning("another process has taken a delivery over, its outcome stands", delivery=delivery.delivery_id, outcome=delivery.outcome.value)

    async def _note_health(self, subscription: Subscription, delivery: Delivery, answer: Answer) -> None:
        """Remember since when all tries fail; who fails for too long is told no more."""
        now = self._clock.now()
        since = subscription.failing_since
        if answer is Answer.WORKS and since is not None:
            await self._subscriptions.change(subscription.id, lambda held: replace(held, failing_since=None))
        elif answer in {Answer.FAILS, Answer.LIMITED} and since is None:
            await self._subscriptions.change(subscription.id, lambda held: replace(held, failing_since=held.failing_since or now))
        elif answer in {Answer.FAILS, Answer.LIMITED} and since is not None and now - since >= self._timetable.failing:
            await self._disable(delivery, reason=f"every try since {since:%Y-%m-%d %H:%M} UTC has failed", why="failing")

    async def _disable(self, delivery: Delivery, *, reason: str, why: str) -> None:
        held = await self._subscriptions.get(delivery.subscription_id)
        if held is None or not held.enabled:
            return
        log.error("a receiver is told no more", subscription=held.id, reason=reason)
        if self._on_disabled is not None:
            await self._on_disabled(held, reason, delivery.delivery_id)
        await self._subscriptions.disable(held.id, reason=reason)
        self._metrics.subscriptions_disabled.labels(why).inc()

    async def _keep_house(self, now_s: float) -> None:
        if now_s >= self._gauges_at_s:
            self._gauges_at_s = now_s + GAUGES_EVERY_S
            count, age_s = await self._queue.waiting()
            self._metrics.queue_length.set(count)
            self._metrics.oldest_age.set(age_s)
            self._metrics.breakers_open.set(sum(endpoint.breaker.is_open(now_s) for endpoint in self._endpoints.values()))
        if now_s >= self._forget_at_s:
            count, untold = await self._queue.forget()
            if untold:
                log.error("deliveries were kept as long as can be and never ended", deliveries=len(untold), first=untold[0])
            if count == 0:
                self._forget_at_s = now_s + FORGET_EVERY_S

    async def _idle(self) -> None:
        """Return when a try has ended or it is time to look again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_S):
                await self._ended.wait()

    async def _close(self) -> None:
        """End the tries; those that were cut off can be claimed at once."""
        running = dict(self._running)
        if running:
            await asyncio.wait(running, timeout=GRACE_S)
        await end(*running)
        with suppress(StoreUnavailable):
            await self._queue.give_back([claimed for task, claimed in running.items() if task.cancelled()])


def _said(failure: DeliveryError | ConfigError | None) -> tuple[Answer, float | None]:
    """What a try said about the receiver, and the seconds it asked to be left alone for."""
    if failure is None:
        return Answer.WORKS, None
    if isinstance(failure, DeliveryRateLimited):
        return Answer.LIMITED, failure.wait_s
    silent = isinstance(failure, ConfigError) or (isinstance(failure, DeliveryGone) and failure.message_only)  # the latter may not even have been asked
    return (Answer.NOTHING if silent else Answer.FAILS), None


def _after(at: datetime, seconds: float) -> datetime:
    return from_epoch_ms(epoch_ms(at) + int(seconds * 1000))
