from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio import Redis

from opinion.bus import Producer, create_topics
from opinion.codec import encode
from opinion.names import Names
from opinion.records import Counts, Document
from opinion.redis_client import connect
from opinion.settings import Settings
from opinion.windows import WindowStore
from tests.support.records import NOON, document
from tests.support.workers import environment, totals, until, worker
from yuqing.dead import read_letters

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

REPLAYED = 20_000
KILLS = 3
SUBJECTS = ["entity:XNAS:AAPL"]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


def replayed(number: int) -> Document:
    """Document N of the replay: a third bad, every seventh a reprint of an earlier one, one subject for all."""
    source = number - 3 if number % 7 == 6 else number
    tone = ("bad", "good", "so")[source % 3]
    at = NOON + timedelta(seconds=number // 4)
    words = f"The {tone} story of company {source} with enough words to be a story of its own, number {source}."
    return document(number, title="", text=words, publisher=f"p{number % 5}.example", symbols=["XNAS:AAPL"], published_at=at, fetched_at=at + timedelta(seconds=5))


async def publish(kafka: str, names: Names, values: list[tuple[bytes | None, bytes]]) -> None:
    await create_topics(kafka, names, partitions=4, replication=1)
    producer = Producer(kafka)
    for begin in range(0, len(values), 1000):
        await producer.send_all(names.documents, values[begin : begin + 1000])
    await producer.stop()


async def counted(store: WindowStore) -> int:
    return (await totals(store, SUBJECTS)).documents


async def all_panes(store: WindowStore) -> dict[str, bytes]:
    _, subjects = await store.changed_since(0)
    return {subject: await store.canonical(subject) for subject in subjects}


async def test_killed_workers_lose_and_double_nothing(kafka_address: str, redis_url: str, redis: Redis, names: Names) -> None:
    values: list[tuple[bytes | None, bytes]] = [(item.doc_id.encode(), encode(item)) for item in map(replayed, range(REPLAYED))]
    results: list[dict[str, bytes]] = []
    for run, kills in enumerate((0, KILLS)):
        own = Names(f"{names.namespace}-{run}")
        store = WindowStore(redis, own)
        await publish(kafka_address, own, values)
        variables = environment(kafka=kafka_address, redis_url=redis_url, names=own)
        for kill in range(kills):
            async with worker(variables) as process:
                goal = REPLAYED * (kill + 1) // (kills + 2)
                await until(lambda store=store, goal=goal: _reached(store, goal), within_s=60)  # type: ignore[misc]
                process.send_signal(signal.SIGKILL)
                await process.wait()
        async with worker(variables):
            await until(lambda store=store: _reached(store, REPLAYED), within_s=90)  # type: ignore[misc]
            await until(lambda own=own: _drained(redis, own), within_s=60)  # type: ignore[misc]
        results.append(await all_panes(store))
        assert await counted(store) == REPLAYED
    assert results[0] == results[1]
    assert len(results[0]) > 3


async def _reached(store: WindowStore, goal: int) -> bool:
    return await counted(store) >= goal


async def _drained(redis: Redis, names: Names) -> bool:
    marks = await WindowStore(redis, names).marks()
    return len(marks) == 8 and all(mark.behind == 0 for mark in marks)


async def test_bad_records_become_dead_letters_and_the_stream_goes_on(kafka_address: str, redis_url: str, redis: Redis, names: Names) -> None:
    good = [document(n, text=f"A good story number {n} that has words enough", symbols=["XNAS:AAPL"]) for n in range(20)]
    bad: list[tuple[bytes | None, bytes]] = [
        (None, b"\xff\xfe nonsense"),
        (b"k", b'{"schema": 2}'),
        (b"k", b'{"schema": 1}'),
        (b"k", encode(document(900, title="", text="\x00"))),
        (b"k", encode(document(901, text="poison"))),
    ]
    huge = document(950, title="", text="跌" * 1_000_000, symbols=["XNAS:AAPL"])
    values = [(item.doc_id.encode(), encode(item)) for item in good]
    await publish(kafka_address, names, [*values[:10], *bad, *values[10:], (huge.doc_id.encode(), encode(huge))])
    store = WindowStore(redis, names)
    async with worker(environment(kafka=kafka_address, redis_url=redis_url, names=names)):
        await until(lambda: _reached(store, 21), within_s=60)
        await until(lambda: _drained(redis, names), within_s=30)
    letters = await read_letters(Settings(kafka=kafka_address, redis=redis_url, namespace=names.namespace))
    assert sorted(letter.reason for letter in letters) == ["empty_document", "invalid_record", "poison_text", "undecodable", "unknown_schema"]
    assert (await totals(store, SUBJECTS)).documents == 21


async def test_worker_stops_when_asked(kafka_address: str, redis_url: str, redis: Redis, names: Names) -> None:
    item = document(1, text="A good story with words enough", symbols=["XNAS:AAPL"])
    await publish(kafka_address, names, [(item.doc_id.encode(), encode(item))])
    async with worker(environment(kafka=kafka_address, redis_url=redis_url, names=names)) as process:
        await until(lambda: _reached(WindowStore(redis, names), 1), within_s=60)
        process.terminate()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    assert await totals(WindowStore(redis, names), SUBJECTS) == Counts(documents=1, total=1, positive=1, polarity_e6=860_000)


async def test_a_worker_that_cannot_start_ends_instead_of_hanging(kafka_address: str, redis_url: str, names: Names, tmp_path: Path) -> None:
    (tmp_path / "faust").touch()  # where Faust wants a folder
    async with worker(environment(kafka=kafka_address, redis_url=redis_url, names=names, YUQING_DATA_DIR=str(tmp_path))) as process, asyncio.timeout(60):
        assert await process.wait() == 1
