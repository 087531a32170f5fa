from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from alerts.breaker import OPEN_S, OPENS_AFTER
from alerts.deliver import FAILING, SCHEDULE_S
from alerts.endpoint import FEW_AT_ONCE
from alerts.erasing import ERASED_TITLE
from alerts.store import AlertStore
from alerts.subscriptions import Match, new_key, rotated
from opinion.clock import ManualClock
from opinion.erased import ErasedIds
from opinion.names import Names
from opinion.records import AlertStatus, DeliveryOutcome
from opinion.redis_client import connect
from opinion.tasks import end
from tests.support.delivery_desk import Desk
from tests.support.notices import evidence
from tests.support.receiver import Answer, Receiver
from tests.support.records import alert
from tests.support.workers import until

pytestmark = pytest.mark.integration


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
        assert desk.metrics.subscriptions_disabled.labels("gone")._value.get() == 1


async def test_last_try_is_kept_and_can_be_replayed_by_hand(desk: Desk) -> None:
    async with Receiver(*[Answer(400)] * len(SCHEDULE_S)) as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        for wait_s in SCHEDULE_S:
            await desk.work(seconds=max(wait_s, OPEN_S))
        found = await desk.queue.get(delivery_id)
        assert found is not None
        assert (found.outcome, found.due_at) == (DeliveryOutcome.EXHAUSTED, None)
        assert await desk.queue.retry(delivery_id)
        await desk.work(seconds=OPEN_S)
    assert len(receiver.received) == len(SCHEDULE_S) + 1
    assert (await desk.outcome(delivery_id))[:2] == (DeliveryOutcome.DELIVERED, 1)


async def test_a_message_that_waits_does_not_quote_what_was_erased_meanwhile(desk: Desk, redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    erased = ErasedIds(redis, names)
    async with Receiver(Answer(500), Answer(500)) as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert(evidence=[evidence(1), evidence(2)]))
        await desk.work()
        await erased.add([evidence(9).doc_id])
        await desk.work(seconds=SCHEDULE_S[1])
        await erased.add([evidence(2).doc_id])
        await desk.work(seconds=SCHEDULE_S[2])
        assert await desk.queue.retry(delivery_id)
        await desk.work()
    bodies = [item.body for item in receiver.received]
    assert [item.headers["webhook-id"] for item in receiver.received] == [delivery_id] * 4
    assert b"product 1" in bodies[0]
    assert bodies[1] == bodies[0]
    assert b"product" not in bodies[2]
    assert bodies[3] == bodies[2]
    assert await desk.queue.body(delivery_id) == bodies[2]
    assert await desk.queue.body("msg_other") == b""
    await redis.aclose()


async def test_a_message_made_after_an_erasure_quotes_the_rest(desk: Desk, redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    await ErasedIds(redis, names).add([evidence(1).doc_id])
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url)
        await desk.tell(alert(evidence=[evidence(1), evidence(2)]))
        await desk.work()
    (body,) = [item.body for item in receiver.received]
    assert (b"product 1" in body, b"news.example/1" in body, ERASED_TITLE.encode() in body, b"product 2" in body) == (False, False, True, True)
    await redis.aclose()


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


async def test_later_transition_waits_for_the_first_try_of_the_one_before(desk: Desk) -> None:
    async with Receiver(Answer(500)) as receiver:
        await desk.subscribe(receiver.url)
        for sequence in (1, 2):
            await desk.tell(alert(sequence, status=AlertStatus.UPDATED))
        await desk.work()
        assert [item.sequence for item in receiver.received] == [1]
        await desk.work()
        assert [item.sequence for item in receiver.received] == [1, 2]
        await desk.work(seconds=SCHEDULE_S[1])
    assert [item.sequence for item in receiver.received] == [1, 2, 1]  # no transition is left out for a later one


async def test_retry_after_pauses_the_endpoint_and_a_pause_is_no_try(desk: Desk) -> None:
    async with Receiver(Answer(503, {"retry-after": "90"})) as receiver:
        await desk.subscribe(receiver.url)
        await desk.tell(alert())
        await desk.work()
        (other_id,) = await desk.tell(alert(alert_id="al_2"))
        await desk.work(seconds=80)
        assert len(receiver.received) == 1
        assert (await desk.outcome(other_id))[:2] == (None, 0)
        await desk.work(seconds=11)
        await desk.work()
    assert len(receiver.received) == 3


async def test_rate_of_a_subscription_is_held_and_its_waits_are_no_tries(desk: Desk) -> None:
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url, rate_per_min=2)
        ids = [(await desk.tell(alert(alert_id=f"al_{number}")))[0] for number in range(5)]
        for seconds, count in ((0, 2), (59, 2), (1, 4), (60, 5)):
            await desk.work(seconds=seconds)
            assert len(receiver.received) == count
        assert {(await desk.outcome(delivery_id))[:2] for delivery_id in ids} == {(DeliveryOutcome.DELIVERED, 1)}


async def test_an_open_breaker_makes_no_tries_and_one_probe_closes_it(desk: Desk) -> None:
    async with Receiver(*[Answer(500)] * OPENS_AFTER) as receiver:
        await desk.subscribe(receiver.url)
        for number in range(OPENS_AFTER + 3):
            await desk.tell(alert(alert_id=f"al_{number}"))
        for _ in range(OPENS_AFTER):
            await desk.work(seconds=1)
        assert len(receiver.received) == OPENS_AFTER
        assert desk.metrics.breakers_open._value.get() == 1
        await desk.work(seconds=OPEN_S - 2)
        assert len(receiver.received) == OPENS_AFTER
        await desk.work(seconds=2)
        assert len(receiver.received) == OPENS_AFTER + 1
        while await desk.deliverer.send_due():
            await desk.deliverer.settle_running()
        assert {item.outcome for item in (await desk.queue.page()).deliveries} == {DeliveryOutcome.DELIVERED}


async def test_days_of_nothing_but_failures_disable_and_a_success_between_does_not(desk: Desk) -> None:
    async with Receiver(Answer(500), Answer(200), Answer(500), Answer(500)) as receiver:
        held = await desk.subscribe(receiver.url)
        days_s = FAILING.total_seconds()
        await desk.tell(alert(1))
        await desk.work()
        first = await desk.subscriptions.get(held.id)
        assert first is not None
        assert first.failing_since == desk.clock.now()
        await desk.work(seconds=days_s)
        assert await desk.subscriptions.get(held.id) == held
        await desk.tell(alert(2))
        await desk.work()
        await desk.work(seconds=days_s)
        last = await desk.subscriptions.get(held.id)
        assert last is not None
        assert (last.enabled, last.disabled_reason) == (False, "every try since 2026-11-28 12:00 UTC has failed")
    assert desk.metrics.subscriptions_disabled.labels("failing")._value.get() == 1


async def test_who_asks_for_our_own_troubles_hears_that_another_is_told_no_more(desk: Desk) -> None:
    async with Receiver(Answer(410)) as gone, Receiver() as other, Receiver() as operator:
        held = await desk.subscribe(gone.url, "gone")
        await desk.subscribe(other.url, "other")
        await desk.subscribe(operator.url, "operator", match=Match(subjects=["system:*"]))
        desk.deliverer._clock = _now()
        await desk.tell(alert())
        for _ in range(3):
            await desk.work()
        assert [item.kind for item in other.received] == ["alert.firing"]
        (heard,) = operator.received
        assert heard.kind == "subscription.disabled"
        assert heard.json["data"] == {
            "subscription_id": held.id,
            "subscription": "gone",
            "summary": "The subscription gone is told no more: the receiver answered 410.",
        }
        assert heard.verified_by(desk.key)


async def test_what_a_receiver_missed_while_it_was_given_up_can_be_sent_once_it_is_back(desk: Desk) -> None:
    async with Receiver(Answer(410)) as receiver:
        held = await desk.subscribe(receiver.url)
        await desk.tell(alert(1))
        await desk.work()
        for sequence in (2, 3):
            await desk.tell(alert(sequence, status=AlertStatus.UPDATED))
            await desk.work()
        assert len(receiver.received) == 1
        assert [item.outcome for item in (await desk.queue.page()).deliveries] == [DeliveryOutcome.GONE] * 3
        await desk.subscriptions.put(held)
        assert await desk.queue.retry_missing(held.id) == 3
        for _ in range(3):
            await desk.work(seconds=1)
        assert sorted(item.sequence for item in receiver.received[1:]) == [1, 2, 3]
        assert len({item.headers["webhook-id"] for item in receiver.received}) == 3


async def test_who_is_disabled_by_hand_has_nothing_kept(desk: Desk) -> None:
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url, enabled=False)
        assert await desk.tell(alert()) == []


async def test_who_does_not_lead_sends_nothing(desk: Desk) -> None:
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url)
        await desk.tell(alert())
        desk.leading = False
        await desk.work()
        assert receiver.received == []
        desk.leading = True
        await desk.work()
        assert len(receiver.received) == 1


async def test_hanging_receivers_do_not_delay_another_and_their_number_is_bounded(desk: Desk) -> None:
    count = 40
    async with AsyncExitStack() as stack:
        hanging = [await stack.enter_async_context(Receiver(*[Answer(hang=True)] * 99)) for _ in range(count)]
        fast = await stack.enter_async_context(Receiver())
        for number, receiver in enumerate(hanging):
            await desk.subscribe(receiver.url, f"slow{number}")
        await desk.subscribe(fast.url, "fast")
        for number in range(10):
            await desk.tell(alert(alert_id=f"al_{number}"))
        running = asyncio.create_task(desk.deliverer.run())
        await until(lambda: len(fast.received) == 10, within_s=10, every_s=0.01)
        assert sum(len(receiver.received) for receiver in hanging) <= FEW_AT_ONCE * count
        desk.clock.advance(timedelta(seconds=2))
        await desk.tell(alert(alert_id="al_99"))
        await until(lambda: len(fast.received) == 11, within_s=10, every_s=0.01)
        await end(running)
        assert sum(len(receiver.received) for receiver in hanging) <= FEW_AT_ONCE * count


async def test_a_deliverer_that_is_stopped_gives_back_what_it_could_not_end(desk: Desk) -> None:
    async with Receiver(Answer(hang=True)) as receiver:
        await desk.subscribe(receiver.url)
        await desk.tell(alert())
        running = asyncio.create_task(desk.deliverer.run())
        await until(lambda: receiver.received, within_s=10, every_s=0.01)
        await end(running)
        (delivery,) = (await desk.queue.page()).deliveries
        assert (delivery.attempts, delivery.outcome) == (0, None)
        assert [item.delivery.delivery_id for item in await desk.queue.claim({delivery.subscription_id: 1})] == [delivery.delivery_id]


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
