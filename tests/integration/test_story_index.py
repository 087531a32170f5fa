from __future__ import annotations

import pytest

from models.stories import MEMORY_MS, RedisStoryIndex
from opinion.errors import StoreUnavailable
from opinion.names import Names
from opinion.redis_client import connect

pytestmark = pytest.mark.integration

NOW_MS = 1_795_000_000_000


async def test_two_workers_share_one_story(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    first, second = RedisStoryIndex(client, names), RedisStoryIndex(client, names)
    assert await first.observe([("st_a", "d1", NOW_MS)]) == [1]
    assert await second.observe([("st_a", "d2", NOW_MS), ("st_a", "d1", NOW_MS)]) == [2, 1]
    await client.aclose()


async def test_a_server_that_forgot_its_scripts_is_told_again(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    index = RedisStoryIndex(client, names)
    assert await index.observe([("st_a", "d1", NOW_MS)]) == [1]
    await client.script_flush()
    assert await index.observe([("st_a", "d1", NOW_MS), ("st_b", "d2", NOW_MS), ("st_a", "d3", NOW_MS)]) == [1, 1, 2]
    await client.aclose()


async def test_a_story_is_forgotten_by_the_server_two_days_after_its_last_telling(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    await RedisStoryIndex(client, names).observe([("st_a", "d1", NOW_MS)])
    assert MEMORY_MS - 60_000 < await client.pttl(names.story("st_a")) <= MEMORY_MS
    await client.aclose()


async def test_keys_of_one_story_share_a_hash_slot(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    await RedisStoryIndex(client, names).observe([("st_a", f"d{number}", NOW_MS) for number in range(1_500)])
    keys = [key.decode() async for key in client.scan_iter(f"{names.prefix}*")]
    assert sorted(keys) == [names.story("st_a"), f"{names.story('st_a')}:more"]
    assert {key[key.index("{") : key.index("}")] for key in keys} == {"{story:a"}
    await client.aclose()


async def test_a_missing_server_is_a_retryable_error(names: Names) -> None:
    client = connect("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable) as caught:
        await RedisStoryIndex(client, names).observe([("st_a", "d1", NOW_MS)])
    assert caught.value.retryable
    await client.aclose()
