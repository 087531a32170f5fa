from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from alerts.leader import Leadership, lead
from opinion.names import Names
from opinion.redis_client import connect
from opinion.tasks import end
from tests.support.workers import until

pytestmark = pytest.mark.integration
LEASE_S = 0.6


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


class Alerter:
    """Somebody who would lead, and what it does then."""

    def __init__(self, redis: Redis, names: Names) -> None:
        self.leadership = Leadership(redis, names, lease_s=LEASE_S)
        self.working = 0
        self.begun = 0
        self.fails = False

    async def run(self) -> None:
        await lead(self.leadership, lambda: [("work", self._work())])

    def _work(self) -> Coroutine[Any, Any, None]:
        async def work() -> None:
            self.begun += 1
            if self.fails:
                self.fails = False
                raise RuntimeError("a mishap")
            self.working += 1
            try:
                await asyncio.Event().wait()
            finally:
                self.working -= 1

        return work()


async def test_one_leads_and_another_takes_over_when_it_dies(redis: Redis, names: Names) -> None:
    first, second = Alerter(redis, names), Alerter(redis, names)
    one = asyncio.create_task(first.run())
    await until(lambda: first.working, within_s=5, every_s=0.01)
    two = asyncio.create_task(second.run())
    await asyncio.wait({two}, timeout=2 * LEASE_S)
    assert (first.working, second.working) == (1, 0)
    await end(one)  # without giving the lease up
    assert first.working == 0
    await until(lambda: second.working, within_s=5, every_s=0.01)
    assert second.leadership.token == first.leadership.token + 1
    await end(two)


async def test_who_finds_the_lease_taken_stops_its_work(redis: Redis, names: Names) -> None:
    first = Alerter(redis, names)
    task = asyncio.create_task(first.run())
    await until(lambda: first.working, within_s=5, every_s=0.01)
    await redis.set(names.leader, "another")
    await until(lambda: not first.working, within_s=5, every_s=0.01)
    assert not first.leadership.leading
    await end(task)


async def test_work_that_fails_is_begun_anew(redis: Redis, names: Names) -> None:
    first = Alerter(redis, names)
    first.fails = True
    task = asyncio.create_task(first.run())
    await until(lambda: first.working, within_s=5, every_s=0.01)
    assert first.begun == 2
    await end(task)


async def test_a_silence_of_redis_that_is_shorter_than_the_lease_interrupts_nothing(redis: Redis, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Alerter(redis, names)
    task = asyncio.create_task(first.run())
    await until(lambda: first.working, within_s=5, every_s=0.01)
    asked = 0
    whole = redis.eval

    async def silent_once(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RedisConnectionError("no answer")
        return await whole(*arguments)

    monkeypatch.setattr(redis, "eval", silent_once)
    await until(lambda: asked >= 3, within_s=5, every_s=0.01)
    assert (first.begun, first.working) == (1, 1)
    await end(task)
