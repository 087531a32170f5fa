from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from opinion.names import Names
from opinion.records import Counts, PaneKind
from opinion.redis_client import connect
from opinion.watermark import Mark
from opinion.windows import Applied, WindowStore
from tests.support.records import NEGATIVE, NEUTRAL, NOON, POSITIVE, scored

pytestmark = pytest.mark.integration
SUBJECT = "topic:Macro"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis, names: Names) -> WindowStore:
    return WindowStore(redis, names)


async def total(store: WindowStore, subject: str = SUBJECT) -> Counts:
    return sum((pane.counts for pane in await store.panes(subject)), Counts())


async def test_documents_are_counted_in_their_minute_and_register(store: WindowStore) -> None:
    batch = [scored(1), scored(61, sentiment=POSITIVE), scored(62, sentiment=NEUTRAL, kind="social")]
    assert await store.apply("t-0", [Applied(i, item) for i, item in enumerate(batch)]) == 3
    panes = await store.panes(SUBJECT)
    assert [pane.start_at for pane in panes] == [NOON, NOON + timedelta(minutes=1)]
    assert panes[0].kinds == {PaneKind.NEWS: Counts(documents=1, total=1, negative=1, polarity_e6=-860_000, clear=1)}
    assert panes[1].kinds[PaneKind.NEWS].positive == 1
    assert panes[1].kinds[PaneKind.SOCIAL].neutral == 1


async def test_redelivery_counts_once(store: WindowStore) -> None:
    batch = [Applied(offset, scored(offset)) for offset in range(10)]
    await store.apply("t-0", batch)
    before = await store.canonical(SUBJECT)
    assert await store.apply("t-0", batch[4:]) == 0
    assert await store.canonical(SUBJECT) == before


async def test_same_document_at_a_later_offset_counts_once(store: WindowStore) -> None:
    await store.apply("t-0", [Applied(0, scored(1))])
    before = await store.canonical(SUBJECT)
    again = scored(1, fetched_at=NOON + timedelta(hours=3))
    await store.apply("t-0", [Applied(1, again)])
    assert await store.canonical(SUBJECT) == before


async def test_reprint_at_one_publisher_is_a_document_but_no_telling(store: WindowStore) -> None:
    await store.apply("t-0", [Applied(n, scored(n, story="st_same")) for n in range(5)])
    counts = await total(store)
    assert (counts.documents, counts.total, counts.negative) == (5, 1, 1)


async def test_same_story_at_three_publishers_is_three_tellings_of_one_story(store: WindowStore) -> None:
    await store.apply("t-0", [Applied(n, scored(n, story="st_same", publisher=f"p{n}.example")) for n in range(3)])
    assert (await total(store)).negative == 3
    breadth = await store.breadth(SUBJECT, start_at=NOON, end_at=NOON + timedelta(minutes=15))
    assert (breadth.stories, breadth.publishers, breadth.authors) == (1, 3, 0)


async def test_edit_of_a_counted_document_does_not_count_again(store: WindowStore) -> None:
    await store.apply("t-0", [Applied(0, scored(1, story="st_a"))])
    await store.apply("t-0", [Applied(1, scored(1, story="st_b", op="update", version=2))])
    assert (await total(store)).total == 1


async def test_uncounted_documents_leave_no_trace(store: WindowStore) -> None:
    old = scored(1)
    stale = type(old)(**{field: getattr(old, field) for field in old.__struct_fields__} | {"counted": False})
    assert await store.apply("t-0", [Applied(0, stale)]) == 0
    assert await store.panes(SUBJECT) == []


@pytest.mark.parametrize("seed", range(8))
async def test_panes_do_not_depend_on_interleaving_or_redelivery(store: WindowStore, names: Names, redis: Redis, seed: int) -> None:
    order = random.Random(seed)
    stories = [f"st_{order.randrange(12)}" for _ in range(60)]
    items = [
        scored(n * 7, sentiment=order.choice([NEGATIVE, NEUTRAL, POSITIVE]), story=stories[n], publisher=f"p{order.randrange(3)}.example", subjects=(SUBJECT, "entity:XNAS:AAPL"))
        for n in range(60)
    ]
    partitions = [[Applied(i, item) for i, item in enumerate(items[p::3])] for p in range(3)]
    results = []
    for run in range(2):
        run_store = WindowStore(redis, Names(f"{names.namespace}-{seed}-{run}"))
        done = [0, 0, 0]
        while any(done[p] < len(partitions[p]) for p in range(3)):
            p = order.choice([p for p in range(3) if done[p] < len(partitions[p])])
            size = order.randrange(1, 6)
            back = order.randrange(0, 4)
            await run_store.apply(f"t-{p}", partitions[p][max(0, done[p] - back) : done[p] + size])
            done[p] = min(len(partitions[p]), done[p] + size)
        results.append([await run_store.canonical(SUBJECT), await run_store.canonical("entity:XNAS:AAPL")])
    assert results[0] == results[1]
    assert len(results[0][0]) > 100


async def test_partitions_applied_together_count_as_apart(store: WindowStore, names: Names, redis: Redis) -> None:
    batches = {f"t-{p}": [Applied(n, scored(n * 11 + p, story=f"st_{n % 4}", subjects=(SUBJECT, f"topic:{p}"))) for n in range(20)] for p in range(3)}
    apart = WindowStore(redis, Names(f"{names.namespace}-apart"))
    new = sum([await apart.apply(partition, batch) for partition, batch in batches.items()])
    assert await store.apply_all(batches) == new == 120
    assert await store.apply_all(batches) == 0
    for subject in (SUBJECT, "topic:0", "topic:1", "topic:2"):
        assert await store.canonical(subject) == await apart.canonical(subject)


async def test_evidence_is_the_negative_documents_of_the_window(store: WindowStore) -> None:
    await store.apply("t-0", [Applied(0, scored(1)), Applied(1, scored(2, sentiment=POSITIVE)), Applied(2, scored(4000))])
    found = await store.evidence(SUBJECT, start_at=NOON, end_at=NOON + timedelta(hours=1))
    assert [item.title for item in found] == ["Headline 1"]


async def test_posts_are_told_from_the_press(store: WindowStore) -> None:
    batch = [scored(1), scored(2), scored(3, kind="social", author_hash="one"), scored(4, kind="social", author_hash="one")]
    await store.apply("t-0", [Applied(offset, item) for offset, item in enumerate(batch)])
    found = await store.breadth(SUBJECT, start_at=NOON, end_at=NOON + timedelta(minutes=1))
    assert (found.authors, found.authored) == (1, 2)


async def test_shared_tellings_are_the_negative_ones_that_count_for_both(store: WindowStore) -> None:
    both = [scored(number, subjects=(SUBJECT, "entity:A")) for number in range(3)]
    rest = [scored(10), scored(11, subjects=("entity:A",)), scored(12, sentiment=NEUTRAL, subjects=(SUBJECT, "entity:A")), scored(13, subjects=("entity:B",))]
    await store.apply("t-0", [Applied(offset, item) for offset, item in enumerate([*both, *rest])])
    assert await store.shared(SUBJECT, ["entity:A", "entity:B", "entity:C"], start_at=NOON, end_at=NOON + timedelta(minutes=1)) == {"entity:A": 3}
    assert await store.shared(SUBJECT, [], start_at=NOON, end_at=NOON + timedelta(minutes=1)) == {}


async def test_changed_subjects_are_reported_once_read(store: WindowStore) -> None:
    await store.apply("t-0", [Applied(0, scored(1, subjects=("topic:A", "topic:B")))])
    stamp, subjects = await store.changed_since(0)
    assert subjects == ["topic:A", "topic:B"]
    assert (await store.changed_since(stamp + 10_000_000))[1] == []


async def test_lost_script_cache_is_loaded_again(store: WindowStore, redis: Redis) -> None:
    await store.apply("t-0", [Applied(0, scored(1))])
    await redis.script_flush()
    assert await store.apply("t-0", [Applied(1, scored(2))]) == 1


async def test_marks_are_read_back(store: WindowStore) -> None:
    mark = Mark("t-0", 5, 1, 2, 3)
    await store.report([mark])
    assert await store.marks() == [mark]


def test_script_names_its_keys_under_the_subject() -> None:
    text = Path("opinion/windows.lua").read_text()
    assert "KEYS[2]" not in text


async def test_panes_of_quarters_that_begin_later_are_not_read(store: WindowStore) -> None:
    await store.apply("s-0", [Applied(number, scored(900 * number)) for number in range(4)])
    (subject,) = {subject for item in [scored(0)] for subject in item.subjects if subject.startswith("topic:")}
    starts = [pane.start_at for pane in await store.panes(subject, since=NOON + timedelta(minutes=15), until=NOON + timedelta(minutes=45))]
    assert starts == [NOON + timedelta(minutes=15), NOON + timedelta(minutes=30)]
