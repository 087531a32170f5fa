from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from alerts.rules_file import RulesFile
from alerts.store import AlertStore
from alerts.tick import Tick
from opinion.bus import Producer, read_all
from opinion.clock import ManualClock
from opinion.codec import decode
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.records import Alert
from opinion.redis_client import connect
from opinion.windows import WindowStore
from tests.support.records import NOON
from tests.support.surging_day import SUBJECT, publish, surging_day
from tests.support.workers import environment, until, worker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


async def told(kafka: str, redis: Redis, names: Names) -> list[Alert]:
    """What an alerter that looks for the first time, six hours after the day, writes to Kafka."""
    producer = Producer(kafka)
    tick = Tick(
        RulesFile(None),
        store=WindowStore(redis, names),
        alerts=AlertStore(redis, names),
        producer=producer,
        redis=redis,
        names=names,
        clock=ManualClock(NOON + timedelta(hours=6)),
        metrics=AlerterMetrics(CollectorRegistry()),
        partitions=4,
        links="http://127.0.0.1:8600",
    )
    await tick.restore()
    await tick.run()
    await producer.stop()
    alerts = [decode(value, Alert) for value in await read_all(kafka, names.alerts)]
    return sorted(alerts, key=lambda alert: (alert.alert_id, alert.sequence))


async def drained(store: WindowStore) -> bool:
    marks = await store.marks()
    return len(marks) == 8 and all(mark.behind == 0 for mark in marks) and any(mark.event_ms for mark in marks if ".scored." in mark.partition)


async def test_the_same_replay_gives_byte_equal_panes_and_the_same_alerts(kafka_address: str, redis_url: str, redis: Redis, names: Names) -> None:
    panes: list[dict[str, bytes]] = []
    alerts: list[list[Alert]] = []
    for run in range(2):
        own = Names(f"{names.namespace}-{run}")
        store = WindowStore(redis, own)
        await publish(kafka_address, own, surging_day(NOON))
        async with worker(environment(kafka=kafka_address, redis_url=redis_url, names=own)):
            await until(lambda store=store: drained(store), within_s=60)  # type: ignore[misc]
            alerts.append(await told(kafka_address, redis, own))
        _, subjects = await store.changed_since(0)
        panes.append({subject: await store.canonical(subject) for subject in subjects})
    assert panes[0] == panes[1]
    assert alerts[0] == alerts[1]
    company = [alert for alert in alerts[0] if alert.subject == SUBJECT]
    assert [alert.status.value for alert in company][0 :: max(1, len(company) - 1)] == ["firing", "resolved"]
    assert len({alert.alert_id for alert in company}) == 1
