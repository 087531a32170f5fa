"""One suite over both story indexes: what callers may rely on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.stories import MAX_TELLERS, MEMORY_MS, MemoryStoryIndex, RedisStoryIndex, StoryIndex
from opinion.names import Names
from opinion.redis_client import connect

NOW_MS = 1_795_000_000_000


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
async def index(request: pytest.FixtureRequest, names: Names) -> AsyncIterator[StoryIndex]:
    if request.param == "memory":
        yield MemoryStoryIndex()
        return
    client = connect(request.getfixturevalue("redis_url"))
    yield RedisStoryIndex(client, names)
    await client.aclose()


async def test_nothing_observed_is_nothing_answered(index: StoryIndex) -> None:
    assert await index.observe([]) == []


async def test_places_count_up_per_story_in_the_order_given(index: StoryIndex) -> None:
    batch = [("st_a", "d1", NOW_MS), ("st_b", "d2", NOW_MS), ("st_a", "d3", NOW_MS), ("st_a", "d4", NOW_MS)]
    assert await index.observe(batch) == [1, 1, 2, 3]
    assert await index.observe([("st_a", "d5", NOW_MS)]) == [4]


async def test_a_document_observed_again_keeps_its_place(index: StoryIndex) -> None:
    batch = [("st_a", f"d{number}", NOW_MS + number) for number in range(5)]
    first = await index.observe(batch)
    assert await index.observe(batch) == first
    assert await index.observe([*batch[3:], ("st_a", "new", NOW_MS)]) == [4, 5, 6]


async def test_a_document_twice_in_one_batch_is_one_telling(index: StoryIndex) -> None:
    assert await index.observe([("st_a", "d1", NOW_MS), ("st_a", "d1", NOW_MS), ("st_a", "d2", NOW_MS)]) == [1, 1, 2]


async def test_a_story_rested_for_two_days_begins_anew(index: StoryIndex) -> None:
    await index.observe([("st_a", "d1", NOW_MS), ("st_a", "d2", NOW_MS)])
    assert await index.observe([("st_a", "d3", NOW_MS + MEMORY_MS)]) == [3]
    assert await index.observe([("st_a", "d4", NOW_MS + 2 * MEMORY_MS + 1)]) == [1]


async def test_a_story_told_on_lives_on(index: StoryIndex) -> None:
    places = [(await index.observe([("st_a", f"d{day}", NOW_MS + day * MEMORY_MS // 2)]))[0] for day in range(8)]
    assert places == list(range(1, 9))


async def test_a_late_telling_joins_without_moving_the_clock_back(index: StoryIndex) -> None:
    await index.observe([("st_a", "d1", NOW_MS)])
    assert await index.observe([("st_a", "late", NOW_MS - MEMORY_MS)]) == [2]
    assert await index.observe([("st_a", "d2", NOW_MS + MEMORY_MS)]) == [3]


async def test_a_flood_is_counted_to_within_two_percent(index: StoryIndex) -> None:
    batch = [("st_a", f"d{number}", NOW_MS) for number in range(3 * MAX_TELLERS)]
    places = await index.observe(batch)
    assert places[:MAX_TELLERS] == list(range(1, MAX_TELLERS + 1))
    assert places[-1] == pytest.approx(3 * MAX_TELLERS, rel=0.02)
    again = await index.observe(batch)
    assert again[:MAX_TELLERS] == places[:MAX_TELLERS]
    assert max(again) == max(places)
