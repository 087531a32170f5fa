from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisAway

from alerts import measure as module
from alerts.measure import measure, show_disk, show_memory
from opinion.metrics import AlerterMetrics
from tests.support.workers import until


class Answers:
    """A Redis that says so much about its memory, one answer after the other, the last for ever."""

    def __init__(self, *answers: dict[str, int] | Exception) -> None:
        self.left = deque(answers)

    async def info(self, section: str) -> dict[str, int]:
        assert section == "memory"
        found = self.left.popleft() if len(self.left) > 1 else self.left[0]
        if isinstance(found, Exception):
            raise found
        return found


class Stand:
    """Metrics, and whoever measures."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = AlerterMetrics(self.registry)
        self.leads = True

    def of(self, name: str) -> Any:
        return self.registry.get_sample_value(f"yuqing_{name}")

    @contextlib.asynccontextmanager
    async def measured(self, redis: Answers, folder: Path) -> Any:
        task = asyncio.create_task(measure(cast("Redis", redis), folder, metrics=self.metrics, leading=lambda: self.leads))
        yield
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Stand:
    monkeypatch.setattr(module, "MEASURE_EVERY_S", 0.001)
    return Stand()


def test_the_limit_of_redis_is_its_own_else_that_of_its_machine(stand: Stand) -> None:
    show_memory({"used_memory": 5, "maxmemory": 10, "total_system_memory": 100}, stand.metrics)
    assert (stand.of("redis_memory_used_bytes"), stand.of("redis_memory_limit_bytes")) == (5, 10)
    show_memory({"used_memory": 6, "maxmemory": 0, "total_system_memory": 100}, stand.metrics)
    assert (stand.of("redis_memory_used_bytes"), stand.of("redis_memory_limit_bytes")) == (6, 100)


def test_the_disk_is_that_of_the_data_directory_even_before_it_is_made(stand: Stand, tmp_path: Path) -> None:
    show_disk(tmp_path / "not" / "yet", stand.metrics)
    assert 0 < stand.of("data_free_bytes") <= stand.of("data_size_bytes")


async def test_a_redis_that_is_away_for_a_while_costs_nothing_but_that_look(stand: Stand, tmp_path: Path) -> None:
    redis = Answers(RedisAway("gone"), {"used_memory": 7, "maxmemory": 9})
    async with stand.measured(redis, tmp_path):
        await until(lambda: stand.of("redis_memory_used_bytes") == 7, within_s=5, every_s=0.01)


async def test_an_alerter_that_loses_the_lead_shows_nothing_of_the_windows(stand: Stand, tmp_path: Path) -> None:
    stand.metrics.blind.set(1)
    async with stand.measured(Answers({"used_memory": 7, "maxmemory": 9}), tmp_path):
        await until(lambda: stand.of("alerter_leading") == 1, within_s=5, every_s=0.01)
        assert stand.of("detection_blind") == 1
        stand.leads = False
        await until(lambda: stand.of("alerter_leading") == 0, within_s=5, every_s=0.01)
        assert stand.of("detection_blind") == 0
