from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from redis.asyncio import Redis

from opinion.names import Names, digest
from opinion.records import Pane, ScoredDocument
from opinion.redis_client import connect
from opinion.windows import Applied, WindowStore
from tests.support.journeys import journeys
from tests.support.records import DOUBTFUL, NEGATIVE, NEUTRAL, NOON, POSITIVE, scored

pytestmark = pytest.mark.integration
SUBJECT, OTHER = "topic:Macro", "entity:XNAS:AAPL"
HOUR_S, DAY_S = 3600, 86400
NOON_S = int(NOON.timestamp())
FIRST_HOUR = NOON_S // HOUR_S
MANY = [f"entity:SIM:{number}" for number in range(1100)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis, names: Names) -> WindowStore:
    return WindowStore(redis, names)


def summed(panes: list[Pane]) -> dict[int, tuple[int, int, int]]:
    """Hour since 1970 -> (total, negative, clearly negative), of hours that hold tellings."""
    totals, negatives, clear = Counter[int](), Counter[int](), Counter[int]()
    for pane in panes:
        hour = int(pane.start_at.timestamp()) // HOUR_S
        totals[hour] += pane.counts.total
        negatives[hour] += pane.counts.negative
        clear[hour] += pane.counts.clear
    return {hour: (totals[hour], negatives[hour], clear[hour]) for hour in sorted(totals) if totals[hour]}


def counted(panes: list[Pane]) -> list[tuple[int, int, int, int]]:
    return [(int(pane.start_at.timestamp()), pane.counts.total, pane.counts.negative, pane.counts.clear) for pane in panes if pane.counts.total]


def told(order: random.Random, *, count: int) -> list[ScoredDocument]:
    """Documents of eight days in no order: few stories and publishers, so that many are told again, often at an earlier time."""
    return [
        scored(
            order.randrange(8 * DAY_S),
            sentiment=order.choice([NEGATIVE, DOUBTFUL, NEUTRAL, POSITIVE]),
            story=f"st_{order.randrange(9)}",
            publisher=f"p{order.randrange(2)}.example",
            kind=order.choice(["news", "social"]),
            subjects=(SUBJECT, OTHER),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(6))
async def test_hours_are_the_sums_of_the_panes_whatever_the_order(store: WindowStore, seed: int) -> None:
    order = random.Random(seed)
    partitions = [told(order, count=150) for _ in range(2)]
    done = [0, 0]
    while any(done[p] < 150 for p in (0, 1)):
        p = order.choice([p for p in (0, 1) if done[p] < 150])
        begin, end = max(0, done[p] - order.randrange(4)), done[p] + order.randrange(1, 12)
        await store.apply(f"t-{p}", [Applied(begin + offset, item) for offset, item in enumerate(partitions[p][begin:end])])
        done[p] = min(end, 150)
    panes, hours = await store.panes_of([SUBJECT, OTHER], since=None), await store.hours_of([SUBJECT, OTHER], first_hour=FIRST_HOUR)
    for subject in (SUBJECT, OTHER):
        assert hours[subject] == summed(panes[subject])
        assert len({hour // 168 for hour in hours[subject]}) == 2
    assert sum(total for total, *_ in hours[SUBJECT].values()) < 300


async def test_a_telling_that_moves_to_an_earlier_hour_moves_its_sum(store: WindowStore) -> None:
    late, early = scored(2 * HOUR_S, story="st_same"), scored(5, sentiment=NEUTRAL, story="st_same")
    await store.apply("t-0", [Applied(0, late)])
    assert (await store.hours_of([SUBJECT], first_hour=0))[SUBJECT] == {}
    assert (await store.hours_of([SUBJECT], first_hour=FIRST_HOUR))[SUBJECT] == {FIRST_HOUR + 2: (1, 1, 1)}
    await store.apply("t-1", [Applied(0, early)])
    assert (await store.hours_of([SUBJECT], first_hour=FIRST_HOUR))[SUBJECT] == {FIRST_HOUR: (1, 0, 0)}
    assert (await store.counts_of([SUBJECT], since=None))[SUBJECT] == [(NOON_S, 1, 0, 0), (NOON_S + 2 * HOUR_S, 0, 0, 0)]


async def test_hours_begin_at_the_one_asked_for(store: WindowStore) -> None:
    await store.apply("t-0", [Applied(n, scored(n * HOUR_S, sentiment=NEUTRAL if n % 2 else NEGATIVE)) for n in range(6)])
    assert await store.hours_of([SUBJECT, "topic:Silent"], first_hour=FIRST_HOUR + 4) == {SUBJECT: {FIRST_HOUR + 4: (1, 1, 1), FIRST_HOUR + 5: (1, 0, 0)}, "topic:Silent": {}}


async def test_weeks_written_before_clear_negatives_were_told_apart_are_read(store: WindowStore, redis: Redis, names: Names) -> None:
    await redis.bitfield(names.hours(SUBJECT, FIRST_HOUR // 168)).set("i32", f"#{2 * (FIRST_HOUR % 168)}", 7).execute()
    await store.apply("t-0", [Applied(0, scored(HOUR_S)), Applied(1, scored(HOUR_S + 60, sentiment=DOUBTFUL))])
    assert (await store.hours_of([SUBJECT], first_hour=FIRST_HOUR))[SUBJECT] == {FIRST_HOUR: (7, 0, 0), FIRST_HOUR + 1: (2, 2, 1)}


async def test_hours_of_five_weeks_are_there(store: WindowStore) -> None:
    await store.apply("t-0", [Applied(week, scored(week * 7 * DAY_S)) for week in range(6)])
    assert list((await store.hours_of([SUBJECT], first_hour=FIRST_HOUR))[SUBJECT]) == [FIRST_HOUR + 168 * week for week in range(6)]


async def test_counts_are_those_of_the_panes(store: WindowStore) -> None:
    batch = told(random.Random(7), count=200)
    await store.apply("t-0", [Applied(offset, item) for offset, item in enumerate(batch)])
    for since in (None, NOON + timedelta(days=3)):
        counts, panes = await store.counts_of([SUBJECT, OTHER], since=since), await store.panes_of([SUBJECT, OTHER], since=since)
        for subject in (SUBJECT, OTHER):
            assert [row for row in counts[subject] if row[1]] == counted(panes[subject])
            assert panes[subject] == await store.panes(subject, since=since)


async def test_keys_live_as_long_as_they_are_read(store: WindowStore, redis: Redis, names: Names) -> None:
    await store.apply("t-0", [Applied(0, scored(1))])
    (told_key, *_) = [key async for key in redis.scan_iter(names.subject_base(SUBJECT) + "told:*")]
    keys = {
        "hours": names.hours(SUBJECT, FIRST_HOUR // 168),
        "panes": names.quarter(SUBJECT, NOON_S),
        "index": names.quarters(SUBJECT),
        "tellings": told_key.decode(),
        "sketch": names.sketch(SUBJECT, "stories", NOON_S),
        "evidence": names.evidence(SUBJECT),
    }
    lives_days = {name: await redis.ttl(key) / DAY_S for name, key in keys.items()}
    assert lives_days == pytest.approx({"hours": 36, "panes": 9, "index": 9, "tellings": 4, "sketch": 2, "evidence": 2}, abs=0.01)


async def test_quarters_leave_the_index_once_their_panes_are_gone(store: WindowStore, redis: Redis, names: Names) -> None:
    await store.apply("t-0", [Applied(n, scored(n * 900)) for n in range(4)])
    await redis.delete(*(names.quarter(SUBJECT, NOON_S + 900 * n) for n in range(2)))  # as expiry does
    await store.apply("t-0", [Applied(4, scored(4 * 900))])
    assert await redis.zrange(names.quarters(SUBJECT), 0, -1) == [str(NOON_S + 900 * n).encode() for n in range(2, 5)]


async def test_what_was_told_lies_in_packed_hashes(store: WindowStore, redis: Redis, names: Names) -> None:
    batch = [scored(n, story="st_" + digest(str(n), chars=24), publisher=f"p{n}.example") for n in range(1500)]
    await store.apply("t-0", [Applied(offset, item) for offset, item in enumerate(batch)])
    keys = [key async for key in redis.scan_iter(names.subject_base(SUBJECT) + "told:*")]
    assert len(keys) == 16
    assert {await redis.object("encoding", key) for key in keys} <= {b"ziplist", b"listpack"}


async def test_many_subjects_are_read_in_few_journeys(store: WindowStore) -> None:
    for start in range(0, 1100, 100):
        await store.apply("t-0", [Applied(number, scored(number, subjects=(MANY[number],))) for number in range(start, start + 100)])
    with journeys() as seen:
        counts = await store.counts_of(MANY, since=NOON)
    assert seen.count == 3
    with journeys() as seen:
        hours = await store.hours_of(MANY, first_hour=FIRST_HOUR)
    assert seen.count == 3
    with journeys() as seen:
        panes = await store.panes_of(MANY, since=NOON)
    assert seen.count == 6
    for number, subject in enumerate(MANY):
        assert counts[subject] == counted(panes[subject]) == [(NOON_S + number // 60 * 60, 1, 1, 1)]
        assert hours[subject] == {FIRST_HOUR: (1, 1, 1)}
    assert await store.counts_of([], since=None) == {}
    assert await store.panes_of([], since=None) == {}
