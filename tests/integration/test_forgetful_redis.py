"""A Redis that dies may forget its last second or two. What was counted then is counted again, before anything newer, and nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from opinion.bus import Producer
from opinion.clock import SystemClock
from opinion.codec import encode
from opinion.erased import ErasedIds, scored_deletion
from opinion.metrics import WorkerMetrics
from opinion.names import Names
from opinion.redis_client import BeganAnew, Runs, connect
from opinion.tasks import end
from opinion.windows import WindowStore
from streams.aggregate import AggregateStep
from streams.batches import Incoming, see_through
from streams.dead import DeadLetters
from tests.support.dying_servers import failed_and_restarted, killed_and_restarted, written_bytes
from tests.support.records import NOON, scored
from tests.support.workers import totals, until
from yuqing.embedded.redis import EmbeddedRedis

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

SUBJECTS = ["topic:Macro"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    found = EmbeddedRedis(tmp_path / "redis")
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    client = connect(server.address)
    yield client
    await client.aclose()


class Counter:
    """A step that counts, with a client that nobody else uses, and what looks on."""

    def __init__(self, address: str, redis: Redis, names: Names) -> None:
        self.runs = Runs()
        self._redis = redis
        self.client = connect(address, runs=self.runs)
        self.store = WindowStore(redis, names)
        self.erased = ErasedIds(redis, names)
        metrics, clock = WorkerMetrics(CollectorRegistry()), SystemClock()
        dead = DeadLetters(Producer("127.0.0.1:1"), names, clock=clock, metrics=metrics)
        self.step = AggregateStep(WindowStore(self.client, names), erased=self.erased, dead=dead, clock=clock, metrics=metrics, runs=self.runs)

    async def count(self, first: int, last: int) -> None:
        await see_through(self.step, [Incoming("scored", 0, number, b"k", encode(scored(number))) for number in range(first, last)], on_retry=lambda _: None)

    async def documents(self) -> int:
        await self._redis.connection_pool.disconnect()  # those of before are dead
        return (await totals(self.store, SUBJECTS)).documents


@pytest.fixture
async def counter(server: EmbeddedRedis, redis: Redis, names: Names) -> AsyncIterator[Counter]:
    found = Counter(server.address, redis, names)
    yield found
    await found.client.aclose()


async def test_what_redis_forgot_is_counted_again_before_anything_newer(server: EmbeddedRedis, counter: Counter) -> None:
    await counter.count(0, 10)
    kept_bytes = written_bytes(server)
    await counter.count(10, 30)
    await counter.step.run([Incoming("scored", 0, 30, b"k", encode(scored_deletion(scored(5).document, at=NOON)))])
    await failed_and_restarted(server, kept_bytes=kept_bytes, down_s=0)
    assert await counter.documents() == 10
    await counter.count(31, 32)
    assert await counter.documents() == 31
    assert counter.runs.anew == 1
    assert await counter.erased.among([scored(5).document.doc_id]) == {scored(5).document.doc_id}
    await counter.count(31, 32)  # as after a redelivery
    assert await counter.documents() == 31


async def test_a_redis_that_forgot_nothing_counts_nothing_twice(server: EmbeddedRedis, counter: Counter) -> None:
    await counter.count(0, 10)
    before = await counter.store.canonical(SUBJECTS[0])
    for _ in range(2):
        await killed_and_restarted(server, down_s=0)
        await counter.count(9, 10)
    assert await counter.documents() == 10
    assert await counter.store.canonical(SUBJECTS[0]) == before
    assert counter.runs.anew == 2


async def test_it_is_noticed_while_nothing_comes(server: EmbeddedRedis, counter: Counter) -> None:
    kept_bytes = written_bytes(server)
    await counter.count(0, 10)
    watching = asyncio.create_task(counter.step.watch())
    await failed_and_restarted(server, kept_bytes=kept_bytes, down_s=1.5)  # it is looked for while it is away, too
    await until(lambda: _is(counter, 10), within_s=20)
    await end(watching)


async def _is(counter: Counter, number: int) -> bool:
    return await counter.documents() == number


async def test_the_first_command_to_another_run_fails_and_is_not_sent(server: EmbeddedRedis) -> None:
    runs = Runs()
    client = connect(server.address, runs=runs)
    await client.set("a", "1")
    await client.connection_pool.disconnect()
    await client.incr("a")  # another connection to the same run
    await killed_and_restarted(server, down_s=0)
    await client.connection_pool.disconnect()
    with pytest.raises(BeganAnew, match="Redis began anew"):
        await client.incr("a")
    assert await client.get("a") == b"2"
    assert runs.anew == 1
    await client.aclose()
