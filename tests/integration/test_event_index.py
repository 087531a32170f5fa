from __future__ import annotations

import asyncio

import pytest

from models.stories import MEMORY_MS
from models.story_index import RedisEventIndex
from models.story_link import Signature
from opinion.errors import StoreUnavailable
from opinion.names import Names
from opinion.redis_client import connect
from tests.support.meanings import signature

pytestmark = pytest.mark.integration

TEXT = "Halden Rail said it had won a 640 million euro order for 82 regional trains from the Carpathian transport authority, its largest in a decade."
FIRST, SECOND = ("d1", "st_a", signature(TEXT)), ("d2", "st_b", signature(TEXT[:120]))


async def test_two_workers_share_one_event(redis_url: str, names: Names) -> None:
    clients = connect(redis_url), connect(redis_url)
    first, second = (RedisEventIndex(client, names) for client in clients)
    assert await first.assign([FIRST]) == ["st_a"]
    assert await second.assign([SECOND, FIRST]) == ["st_a", "st_a"]
    assert await first.assign([("d3", "st_b", SECOND[2])]) == ["st_a"]
    for client in clients:
        await client.aclose()


async def test_workers_that_race_for_a_document_agree(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    batch = [(f"d{number}", f"st_{number % 7:x}", signature(f"Note {number} of desk {number % 3}", meaning=number % 5)) for number in range(40)]
    answers = await asyncio.gather(*(RedisEventIndex(client, names).assign(batch) for _ in range(4)))
    assert all(answer == answers[0] for answer in answers)
    assert await RedisEventIndex(client, names).assign(batch) == answers[0]
    await client.aclose()


async def test_a_server_that_forgot_its_scripts_is_told_again(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    index = RedisEventIndex(client, names)
    assert await index.assign([FIRST]) == ["st_a"]
    await client.script_flush()
    assert await index.assign([SECOND, FIRST]) == ["st_a", "st_a"]
    await client.aclose()


async def test_the_server_forgets_everything_within_two_days(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    await RedisEventIndex(client, names).assign([FIRST, SECOND])
    keys = [key async for key in client.scan_iter(f"{names.prefix}*")]
    assert len(keys) > 4
    lives = [await client.pttl(key) for key in keys]
    assert MEMORY_MS - 60_000 < min(lives) <= max(lives) <= MEMORY_MS
    await client.delete(*keys)  # as expiry does
    assert await RedisEventIndex(client, names).assign([SECOND]) == ["st_b"]
    await client.aclose()


async def test_of_a_forgotten_document_the_server_holds_digests_only(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    index = RedisEventIndex(client, names)
    await index.assign([FIRST, SECOND])
    await index.forget(["d1"])
    parts = {key.decode(): await client.get(key) or b"" async for key in client.scan_iter(f"{names.prefix}*")}
    assert [key for key in parts if FIRST[2].embedding in parts[key] and SECOND[2].embedding not in parts[key]] == []
    assert len([key for key in parts if ":d:" in key]) == 1
    assert max(len(value) for key, value in parts.items() if ":d:" not in key) <= 32
    await client.aclose()


async def test_keys_lie_in_the_hash_slot_of_their_bucket(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    await RedisEventIndex(client, names).assign([FIRST, SECOND])
    keys = [key.decode() async for key in client.scan_iter(f"{names.prefix}*")]
    assert [key for key in keys if not key.startswith(names.event_bucket(key))] == []
    await client.aclose()


async def test_a_document_takes_less_than_four_kilobytes_and_a_batch_five_round_trips(redis_url: str, names: Names) -> None:
    client = connect(redis_url)
    index = RedisEventIndex(client, names)
    await index.assign([FIRST])
    before = (await client.info("memory"))["used_memory"], (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    batch: list[tuple[str, str, Signature]] = []
    for number in range(2_000):
        text = f"Company Nr{number} Works said its unit Alpha{number} won a {1_000 + number * 37} euro order from Buyer{number}, up {number / 7:.2f}%, and more words follow."
        batch.append((f"doc{number}", f"st_{number:024x}", signature(text, meaning=number)))
    for at in range(0, len(batch), 50):
        await index.assign(batch[at : at + 50])
    after = (await client.info("memory"))["used_memory"], (await client.info("commandstats"))["cmdstat_evalsha"]["calls"]
    per_document = (after[0] - before[0]) / len(batch)
    assert 1_000 < per_document < 4_000, per_document
    assert (after[1] - before[1]) / (len(batch) / 50) <= 5 * 16
    await client.aclose()


async def test_a_missing_server_is_a_retryable_error(names: Names) -> None:
    client = connect("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable) as caught:
        await RedisEventIndex(client, names).assign([FIRST])
    assert caught.value.retryable
    await client.aclose()
