from __future__ import annotations

import asyncio
import json
from contextlib import aclosing

import pytest
from structlog.testing import capture_logs

from alerts.live import Live
from opinion.bus import Producer, create_topics
from opinion.codec import encode
from opinion.names import Names
from opinion.tasks import end
from tests.support.records import alert
from tests.support.workers import until

pytestmark = pytest.mark.integration


async def test_alerts_are_heard_though_their_topic_is_not_known_yet(kafka_address: str, names: Names) -> None:
    live = Live()
    with capture_logs() as logs:
        hearing = asyncio.create_task(live.run(kafka_address, names.alerts))
        await until(lambda: logs, within_s=20)
    assert "wait for Kafka" in logs[0]["event"]
    await create_topics(kafka_address, names, partitions=2, replication=1)
    producer = Producer(kafka_address)
    await producer.send_all(names.alerts, [(b"al_1", encode(alert()))])
    async with aclosing(live.listen("0-0")) as events:
        event = await asyncio.wait_for(anext(events), timeout=20)
    assert (event.kind, json.loads(event.data)["alert_id"]) == ("alert", "al_1")
    await end(hearing)
    await producer.stop()
