from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from alerts.channels.channel import Sender
from alerts.deliver import SCHEDULE_S, Deliverer
from alerts.delivery_queue import LEASE_S, DeliveryQueue
from alerts.notifier import Notifier
from alerts.silence_store import SilenceStore
from alerts.store import AlertStore
from alerts.subscriptions import Subscription, SubscriptionStore, new_key, rotated
from opinion.clock import ManualClock
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.records import Alert, AlertStatus, DeliveryOutcome
from opinion.redis_client import connect
from tests.support.receiver import Answer, Receiver
from tests.support.records import NOON, alert

pytestmark = pytest.mark.integration


class Desk:
    """A deliverer on real Redis with a clock of its own."""

    def __init__(self, redis: Redis, names: Names, client: httpx.AsyncClient) -> None:
        self.clock = ManualClock(NOON)
        self.queue = DeliveryQueue(redis, names, clock=self.clock)
        self.subscriptions = SubscriptionStore(redis, names)
        self.metrics = AlerterMetrics(CollectorRegistry())
        self.deliverer = Deliverer(self.queue, self.subscriptions, sender=Sender(client, allow_private=True), clock=self.clock, metrics=self.metrics, jitter=lambda: 0.0)
        self.notifier = Notifier(
            redis, names, queue=self.queue, subscriptions=self.subscriptions, silences=SilenceStore(redis, names, clock=self.clock), inhibitions=[], clock=self.clock
        )
        self.key = new_key()

    async def subscribe(self, url: str, name: str = "desk") -> Subscription:
        subscription = Subscription(id=f"sub_{name}", name=name, url=url, keys=[self.key])
        await self.subscriptions.put(subscription)
        return subscription

    async def tell(self, told: Alert) -> list[str]:
        """Ids of the deliveries that a transition adds, by when they were made."""
        before = {item.delivery_id for item in await self.queue.newest(limit=500)}
        await self.notifier.take(told)
        return [item.delivery_id for item in await self.queue.newest(limit=500) if item.delivery_id not in before]

    async def work(self) -> None:
        await self.deliverer.send_due()
        await self.deliverer.settle_running()


@pytest.fixture
async def desk(redis_url: str, names: Names) -> AsyncIterator[Desk]:
    redis = connect(redis_url)
    async with httpx.AsyncClient(trust_env=False) as client:
        yield Desk(redis, names, client)
    await redis.aclose()


async def test_matching_subscription_is_told_once_with_a_valid_signature(desk: Desk) -> None:
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url)
        desk.deliverer._clock = _now()
        ids = await desk.tell(alert())
        assert await desk.tell(alert()) == []
        await desk.work()
        await desk.work()
    assert len(receiver.received) == 1
    assert receiver.received[0].headers["webhook-id"] == ids[0]
    assert receiver.received[0].verified_by(desk.key)
    assert not receiver.received[0].verified_by(new_key())


async def test_failed_tries_follow_the_schedule_with_the_same_id_and_body(desk: Desk) -> None:
    async with Receiver(Answer(500), Answer(503), Answer(301)) as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        for tries in range(1, 5):
            await desk.work()
            assert len(receiver.received) == tries
            await desk.work()
            assert len(receiver.received) == tries
            if tries < 4:
                desk.clock.advance(timedelta(seconds=SCHEDULE_S[tries]))
    assert len({(item.headers["webhook-id"], item.body) for item in receiver.received}) == 1
    found = await desk.queue.get(delivery_id)
    assert found is not None
    assert (found.outcome, found.attempts, found.due_at) == (DeliveryOutcome.DELIVERED, 4, None)


async def test_retry_after_is_obeyed(desk: Desk) -> None:
    async with Receiver(Answer(429, {"retry-after": "600"})) as receiver:
        await desk.subscribe(receiver.url)
        await desk.tell(alert())
        await desk.work()
        desk.clock.advance(timedelta(seconds=599))
        await desk.work()
        assert len(receiver.received) == 1
        desk.clock.advance(timedelta(seconds=2))
        await desk.work()
        assert len(receiver.received) == 2


async def test_410_disables_the_subscription(desk: Desk) -> None:
    async with Receiver(Answer(410)) as receiver:
        held = await desk.subscribe(receiver.url)
        await desk.tell(alert())
        await desk.work()
        found = await desk.subscriptions.get(held.id)
        assert found is not None
        assert (found.enabled, found.disabled_reason) == (False, "the receiver answered 410")
        assert await desk.tell(alert(2)) == []


async def test_last_try_is_kept_and_can_be_replayed_by_hand(desk: Desk) -> None:
    async with Receiver(*[Answer(400)] * len(SCHEDULE_S)) as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        for _ in SCHEDULE_S:
            desk.deliverer._breakers.clear()
            await desk.work()
            desk.clock.advance(timedelta(days=2))
        found = await desk.queue.get(delivery_id)
        assert found is not None
        assert (found.outcome, found.due_at) == (DeliveryOutcome.EXHAUSTED, None)
        assert await desk.queue.retry(delivery_id)
        desk.deliverer._breakers.clear()
        await desk.work()
    assert len(receiver.received) == len(SCHEDULE_S) + 1


async def test_claimed_delivery_comes_back_when_its_sender_dies(desk: Desk) -> None:
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        assert await desk.queue.claim(most=10) == [delivery_id]  # and then the process is killed
        assert await desk.queue.claim(most=10) == []
        desk.clock.advance(timedelta(seconds=LEASE_S + 1))
        await desk.work()
    assert [item.headers["webhook-id"] for item in receiver.received] == [delivery_id]


async def test_hanging_receiver_does_not_delay_another(desk: Desk) -> None:
    async with Receiver(*[Answer(hang=True)] * 9) as slow, Receiver() as fast:
        await desk.subscribe(slow.url, "slow")
        await desk.subscribe(fast.url, "fast")
        for sequence in range(1, 10):
            await desk.tell(alert(sequence))
        running = asyncio.create_task(desk.deliverer.run())
        async with asyncio.timeout(5):
            while len(fast.received) < 4:  # noqa: ASYNC110 - the receiver is asked, not told
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_unreachable_receiver_names_only_its_host(desk: Desk) -> None:
    await desk.subscribe("http://127.0.0.1:9/hook/secret-path?token=hush")
    (delivery_id,) = await desk.tell(alert())
    await desk.work()
    found = await desk.queue.get(delivery_id)
    assert found is not None
    assert found.outcome == DeliveryOutcome.UNAVAILABLE
    assert "hush" not in found.detail
    assert "secret-path" not in found.detail


async def test_while_a_key_is_rotated_both_verify(desk: Desk) -> None:
    async with Receiver() as receiver:
        held = await desk.subscribe(receiver.url)
        fresh = new_key()
        await desk.subscriptions.put(rotated(held, fresh))
        desk.deliverer._clock = _now()
        await desk.tell(alert())
        await desk.work()
    assert receiver.received[0].verified_by(desk.key)
    assert receiver.received[0].verified_by(fresh)


async def test_newest_transition_of_an_alert_is_kept(desk: Desk, redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    store = AlertStore(redis, names)
    for sequence in (2, 1):
        await store.save(alert(sequence, status=AlertStatus.UPDATED))
    found = await store.get("al_1")
    assert found is not None
    assert found.sequence == 2
    assert [item.alert_id for item in await store.newest(limit=5, status="updated")] == ["al_1"]
    assert await store.newest(limit=5, status="resolved") == []
    await redis.aclose()


def _now() -> ManualClock:
    """A clock that stands at the wall time: the independent verifier refuses old messages."""

    return ManualClock(datetime.now(UTC))
