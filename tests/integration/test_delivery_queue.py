from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from alerts.delivery_queue import AT_ONCE, KEEP, LEASE_S, Claimed, DeliveryQueue
from opinion.clock import ManualClock
from opinion.names import Names
from opinion.records import Delivery, DeliveryOutcome
from opinion.redis_client import connect
from tests.support.records import NOON

pytestmark = pytest.mark.integration
DESK, WALL = "sub_desk", "sub_wall"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def queue(redis: Redis, names: Names, clock: ManualClock) -> DeliveryQueue:
    return DeliveryQueue(redis, names, clock=clock)


def delivery(number: int, clock: ManualClock, *, subscription: str = DESK, alert: str = "", line: str = "") -> Delivery:
    now = clock.now()
    return Delivery(delivery_id=f"msg_{number:06}", alert_id=alert or f"al_{number}", sequence=1, subscription_id=subscription, line=line, created_at=now, due_at=now)


async def add(queue: DeliveryQueue, *deliveries: Delivery) -> None:
    for item in deliveries:
        assert await queue.add(item, item.delivery_id.encode())


async def claimed(queue: DeliveryQueue, subscription: str = DESK, *, most: int = 100) -> list[Claimed]:
    return await queue.claim({subscription: most})


async def claimed_ids(queue: DeliveryQueue, subscription: str = DESK, *, most: int = 100) -> list[str]:
    return [item.delivery.delivery_id for item in await claimed(queue, subscription, most=most)]


async def end(queue: DeliveryQueue, item: Claimed, clock: ManualClock, outcome: DeliveryOutcome = DeliveryOutcome.DELIVERED, *, again_s: float | None = None) -> bool:
    due_at = None if again_s is None else clock.now() + timedelta(seconds=again_s)
    after = replace(item.delivery, attempts=item.delivery.attempts + 1, outcome=outcome, due_at=due_at, settled_at=None if again_s else clock.now())
    return await queue.update(item, after)


async def test_what_was_queued_before_is_not_queued_again(queue: DeliveryQueue, clock: ManualClock) -> None:
    one = delivery(1, clock)
    assert await queue.add(one, b"first")
    assert not await queue.add(one, b"second")
    (item,) = await claimed(queue)
    assert (item.delivery, item.body) == (one, b"first")
    await end(queue, item, clock)
    assert not await queue.add(one, b"third")
    assert await queue.ready(most=10) == []
    assert await queue.waiting() == (0, 0.0)


async def test_receivers_are_ready_by_how_long_something_is_due_and_can_be_left_alone(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, delivery(1, clock, subscription=WALL))
    clock.advance(timedelta(seconds=1))
    await add(queue, delivery(2, clock))
    assert await queue.ready(most=10) == [WALL, DESK]
    await queue.leave_alone({WALL: 5, "sub_unknown": 5})
    assert await queue.ready(most=10) == [DESK]
    clock.advance(timedelta(seconds=5))
    assert await queue.ready(most=10) == [DESK, WALL]
    await queue.leave_alone({WALL: 60})
    await add(queue, delivery(3, clock, subscription=WALL))
    assert set(await queue.ready(most=10)) == {DESK, WALL}


async def test_claim_takes_no_more_than_asked_and_comes_back_after_its_lease(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, *[delivery(number, clock) for number in range(3)])
    assert await claimed_ids(queue, most=2) == ["msg_000000", "msg_000001"]
    assert await claimed_ids(queue) == ["msg_000002"]
    assert await claimed_ids(queue) == []
    clock.advance(timedelta(seconds=LEASE_S + 1))
    assert len(await claimed_ids(queue)) == 3


async def test_outcome_of_a_claim_that_another_has_taken_over_is_not_kept(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, delivery(1, clock))
    (stale,) = await claimed(queue)
    clock.advance(timedelta(seconds=LEASE_S + 1))
    (later,) = await claimed(queue)
    assert await end(queue, later, clock)
    assert not await end(queue, stale, clock, DeliveryOutcome.UNAVAILABLE, again_s=5)
    found = await queue.get("msg_000001")
    assert found is not None
    assert found.outcome == DeliveryOutcome.DELIVERED
    assert await queue.ready(most=10) == []


async def test_what_is_given_back_can_be_claimed_at_once(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, delivery(1, clock))
    items = await claimed(queue)
    await queue.give_back(items)
    assert await claimed_ids(queue) == ["msg_000001"]
    await queue.give_back(items)  # no longer theirs to give
    assert await claimed_ids(queue) == []


async def test_later_ones_of_a_line_wait_for_the_first_try_of_those_before(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, *[delivery(number, clock, line="al_1") for number in (3, 1, 2)], delivery(4, clock, line="al_2"))
    first, other = await claimed(queue)
    assert (first.delivery.delivery_id, other.delivery.delivery_id) == ("msg_000003", "msg_000004")
    assert await claimed_ids(queue) == []
    assert (await queue.waiting())[0] == 4
    await end(queue, other, clock)
    await end(queue, first, clock, DeliveryOutcome.UNAVAILABLE, again_s=300)
    (second,) = await claimed(queue)
    assert second.delivery.delivery_id == "msg_000001"
    clock.advance(timedelta(seconds=LEASE_S + 1))  # its sender died
    (again,) = await claimed(queue)
    assert again.delivery.delivery_id == "msg_000001"
    await end(queue, again, clock)
    assert await claimed_ids(queue) == ["msg_000002"]


async def test_the_same_line_of_another_receiver_is_another(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, delivery(1, clock, line="al_1"), delivery(2, clock, line="al_1", subscription=WALL))
    assert await claimed_ids(queue) == ["msg_000001"]
    assert await claimed_ids(queue, WALL) == ["msg_000002"]


async def test_pages_are_newest_first_and_follow_each_other_without_gap(queue: DeliveryQueue, clock: ManualClock) -> None:
    for number in range(25):
        await add(queue, delivery(number, clock))
        if number % 5 == 0:
            clock.advance(timedelta(milliseconds=1))
    found: list[str] = []
    before = None
    while True:
        page = await queue.page(before=before, limit=4)
        found += [item.delivery_id for item in page.deliveries]
        before = page.before
        if before is None:
            break
        clock.advance(timedelta(milliseconds=1))
        await add(queue, delivery(1000 + len(found), clock))  # what is made meanwhile moves nothing
    everything = [item async for item in queue._listed(queue._names.deliveries_made(), before=None, at_once=AT_ONCE)]
    old = [item for item in everything if item.delivery_id < "msg_001000"]
    assert found == [item.delivery_id for item in old]
    assert sorted(found) == [f"msg_{number:06}" for number in range(25)]
    assert [item.created_at for item in old] == sorted((item.created_at for item in old), reverse=True)


async def test_pages_can_be_of_one_receiver_alert_and_outcome(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, delivery(1, clock, alert="al_1"), delivery(2, clock, alert="al_2"), delivery(3, clock, alert="al_1", subscription=WALL))
    await add(queue, replace(delivery(4, clock), alert_ids=["al_7", "al_1"]))
    first, second, _ = await claimed(queue)
    await end(queue, first, clock, DeliveryOutcome.UNAVAILABLE, again_s=5)
    await end(queue, second, clock, DeliveryOutcome.DELIVERED)

    async def ids(**wanted: str | DeliveryOutcome) -> list[str]:
        return [item.delivery_id[-1] for item in (await queue.page(**wanted)).deliveries]  # type: ignore[arg-type]

    assert await ids() == ["4", "3", "2", "1"]
    assert await ids(subscription=WALL) == ["3"]
    assert await ids(alert="al_1") == ["4", "3", "1"]
    assert await ids(alert="al_1", subscription=DESK) == ["4", "1"]
    assert await ids(outcome=DeliveryOutcome.UNAVAILABLE) == ["1"]
    assert await ids(outcome=DeliveryOutcome.DELIVERED, subscription=DESK) == ["2"]
    assert await ids(outcome=DeliveryOutcome.DELIVERED, subscription=WALL) == []
    assert await ids(outcome=DeliveryOutcome.DELIVERED, alert="al_1") == []
    clock.advance(timedelta(seconds=5))
    (again,) = await claimed(queue)
    await end(queue, again, clock, DeliveryOutcome.DELIVERED)
    assert await ids(outcome=DeliveryOutcome.UNAVAILABLE) == []
    assert await ids(outcome=DeliveryOutcome.DELIVERED) == ["2", "1"]


async def test_page_reads_no_more_than_it_shows_however_many_there_are(queue: DeliveryQueue, clock: ManualClock, redis: Redis, names: Names) -> None:
    count = 100_000
    for start in range(0, count, 20_000):
        rows = {f"msg_{number:06}": number for number in range(start, start + 20_000)}
        for key in (names.deliveries_made(), names.deliveries_made(subscription_id=DESK), names.deliveries_made(subscription_id=DESK, outcome="delivered")):
            await redis.zadd(key, rows)
    await add(queue, *[delivery(number, clock) for number in range(count, count + 103)])
    before = (await redis.info("stats"))["total_commands_processed"]
    page = await queue.page(limit=50)
    assert [item.delivery_id for item in page.deliveries][::49] == ["msg_100102", "msg_100053"]
    page = await queue.page(before=page.before, limit=50, subscription=DESK)
    assert [item.delivery_id for item in page.deliveries][::49] == ["msg_100052", "msg_100003"]
    assert (await queue.page(outcome=DeliveryOutcome.EXHAUSTED, subscription=DESK)).deliveries == []
    assert (await redis.info("stats"))["total_commands_processed"] - before < 250


async def test_retry_begins_the_schedule_anew_whatever_became_of_it(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, delivery(1, clock))
    (item,) = await claimed(queue)
    await end(queue, item, clock, DeliveryOutcome.EXHAUSTED)
    assert await queue.retry("msg_000001")
    (again,) = await claimed(queue)
    assert (again.delivery.attempts, again.delivery.settled_at, again.body) == (0, None, b"msg_000001")
    assert not await queue.retry("msg_000009")


async def test_retry_leaves_alone_what_is_being_tried_or_has_its_turn_still_to_come(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, delivery(1, clock, line="al_1"), delivery(2, clock, line="al_1"))
    (item,) = await claimed(queue)
    assert await queue.retry("msg_000001")
    assert await queue.retry("msg_000002")
    assert await claimed_ids(queue) == []
    assert await end(queue, item, clock)
    assert await claimed_ids(queue) == ["msg_000002"]


async def test_all_of_a_receiver_since_an_instant_are_sent_again_oldest_first(queue: DeliveryQueue, clock: ManualClock) -> None:
    for number in (5, 4, 3, 2):
        await add(queue, delivery(number, clock), delivery(number + 10, clock, subscription=WALL))
        clock.advance(timedelta(minutes=1))
    for item in [*await claimed(queue), *await claimed(queue, WALL)]:
        await end(queue, item, clock, DeliveryOutcome.DELIVERED)
    assert await queue.retry_since(DESK, NOON + timedelta(minutes=1)) == 3
    assert await claimed_ids(queue) == ["msg_000004", "msg_000003", "msg_000002"]
    assert await claimed_ids(queue, WALL) == []


async def test_missing_are_those_that_ended_undelivered(queue: DeliveryQueue, clock: ManualClock) -> None:
    outcomes = [DeliveryOutcome.DELIVERED, DeliveryOutcome.GONE, DeliveryOutcome.EXHAUSTED, DeliveryOutcome.ADDRESS_REFUSED, DeliveryOutcome.UNAVAILABLE]
    await add(queue, *[delivery(number, clock) for number in range(len(outcomes))])
    for item, outcome in zip(await claimed(queue), outcomes, strict=True):
        await end(queue, item, clock, outcome, again_s=300 if outcome is DeliveryOutcome.UNAVAILABLE else None)
    assert await queue.retry_missing(DESK) == 3
    assert await queue.retry_missing(WALL) == 0
    assert sorted(await claimed_ids(queue)) == ["msg_000001", "msg_000002", "msg_000003"]


async def test_more_than_one_journey_of_deliveries_is_sent_again(queue: DeliveryQueue, clock: ManualClock) -> None:
    await add(queue, *[delivery(number, clock) for number in range(AT_ONCE + 20)])
    for item in await claimed(queue, most=AT_ONCE + 20):
        await end(queue, item, clock, DeliveryOutcome.GONE)
    assert await queue.retry_missing(DESK) == AT_ONCE + 20
    assert len(await claimed(queue, most=2000)) == AT_ONCE + 20


async def test_what_was_kept_long_enough_leaves_nothing_behind(queue: DeliveryQueue, clock: ManualClock, redis: Redis, names: Names) -> None:
    await add(queue, *[delivery(number, clock, line="al_1", alert="al_1") for number in (1, 2)])
    await add(queue, replace(delivery(3, clock), alert_ids=["al_8", "al_9"]))
    one, three = await claimed(queue)
    await end(queue, one, clock, DeliveryOutcome.DELIVERED)
    await end(queue, three, clock, DeliveryOutcome.REFUSED, again_s=5)
    assert await queue.forget() == (0, [])
    clock.advance(KEEP)
    assert await queue.forget(most=2) == (2, ["msg_000002"])
    assert await queue.forget() == (1, ["msg_000003"])
    assert [key async for key in redis.scan_iter(f"{names.prefix}*")] == []


async def test_a_settled_one_that_is_added_is_kept_and_sent_only_when_asked_for(queue: DeliveryQueue, clock: ManualClock) -> None:
    past = replace(delivery(1, clock, line="al_1"), due_at=None, settled_at=clock.now(), outcome=DeliveryOutcome.GONE)
    assert await queue.add(past, b"body")
    await add(queue, delivery(2, clock, line="al_1"))
    assert await claimed_ids(queue) == ["msg_000002"]
    assert [item.delivery_id for item in (await queue.page(outcome=DeliveryOutcome.GONE)).deliveries] == ["msg_000001"]
    assert await queue.waiting() == (1, 0.0)
    assert await queue.retry_missing(DESK) == 1
    assert await claimed_ids(queue) == ["msg_000001"]


async def test_what_was_settled_after_its_lists_were_saved_waits_no_more_once_they_are_mended(queue: DeliveryQueue, redis: Redis, names: Names, clock: ManualClock) -> None:
    await add(queue, *[delivery(number, clock, line="al_1") for number in (1, 2)], delivery(3, clock))
    lists = {key: await redis.dump(key) async for key in redis.scan_iter(match=f"{names.delivery_base}*") if b"}:d:" not in key}
    for item in await claimed(queue):
        await end(queue, item, clock)
    for key, saved in lists.items():
        assert saved is not None
        await redis.restore(key, 0, saved, replace=True)
    assert (await queue.waiting())[0] == 3
    assert await queue.mend() == 2
    assert (await queue.waiting())[0] == 1
    assert await claimed_ids(queue) == ["msg_000002"]
    assert await queue.mend() == 0
