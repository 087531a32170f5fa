from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from opinion.metrics import WorkerMetrics
from streams.monitor import Monitor

TOPIC = TP("documents", 0)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def monitor(registry: CollectorRegistry) -> Monitor:
    return Monitor(WorkerMetrics(registry), topics=["documents", "scored"])


def message() -> Any:
    return SimpleNamespace(time_in=None)


async def test_records_are_counted_by_topic_from_zero_on(monitor: Monitor, registry: CollectorRegistry) -> None:
    for offset in range(3):
        monitor.on_message_in(TOPIC, offset, message())
    found = {topic: registry.get_sample_value("yuqing_consumer_records_total", {"topic": topic}) for topic in ("documents", "scored")}
    assert found == {"documents": 3, "scored": 0}


async def test_a_record_of_another_topic_is_passed_on_and_not_counted(monitor: Monitor, registry: CollectorRegistry) -> None:
    monitor.on_message_in(TP("others", 0), 0, message())
    assert monitor.messages_received_total == 1
    assert registry.get_sample_value("yuqing_consumer_records_total", {"topic": "others"}) is None


async def test_acknowledgements_are_timed(monitor: Monitor, registry: CollectorRegistry) -> None:
    monitor.on_commit_completed(None, monitor.on_commit_initiated(None))
    assert registry.get_sample_value("yuqing_consumer_commit_duration_seconds_count") == 1
    assert 0 <= (registry.get_sample_value("yuqing_consumer_commit_duration_seconds_sum") or -1) < 5


async def test_shares_of_partitions_are_counted(monitor: Monitor, registry: CollectorRegistry) -> None:
    monitor.on_rebalance_start(SimpleNamespace(rebalancing_count=1))
    assert registry.get_sample_value("yuqing_consumer_rebalances_total") == 1


async def test_what_faust_itself_keeps_goes_on(monitor: Monitor) -> None:
    monitor.on_message_in(TOPIC, 7, message())
    assert (monitor.messages_received_total, monitor.tp_read_offsets[TOPIC]) == (1, 7)
