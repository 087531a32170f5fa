"""Debian's Alertmanager receives, groups and resolves what is pushed into it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from alerts.channels.channel import Sender, checked
from alerts.deliver import Deliverer
from alerts.delivery_queue import DeliveryQueue
from alerts.notifier import Notifier
from alerts.silence_store import SilenceStore
from alerts.subscriptions import Subscription, SubscriptionStore
from opinion.clock import ManualClock
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.records import Alert, AlertStatus, Severity
from opinion.redis_client import connect
from tests.support.alertmanager import running_alertmanager
from tests.support.receiver import Receiver
from tests.support.records import alert
from tests.support.workers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


MOMENT = timedelta(milliseconds=10)  # less than passes meanwhile: an end may not lie in Alertmanager's future


def notified(receiver: Receiver) -> list[tuple[str, set[str], set[str]]]:
    """What Alertmanager told, in order: group, subjects that are on, subjects that are over."""
    bodies: list[dict[str, Any]] = [json.loads(item.body) for item in receiver.received]
    return [(body["groupLabels"]["subject_kind"], _subjects(body, "firing"), _subjects(body, "resolved")) for body in bodies]


def _subjects(body: dict[str, Any], status: str) -> set[str]:
    return {item["labels"]["subject"] for item in body["alerts"] if item["status"] == status}


async def test_pushes_are_grouped_grow_without_a_second_alert_and_resolve(redis_url: str, names: Names, tmp_path: Path) -> None:
    redis, clock = connect(redis_url), ManualClock(datetime.now(UTC))
    subscriptions, queue = SubscriptionStore(redis, names), DeliveryQueue(redis, names, clock=clock)
    silences = SilenceStore(redis, names, clock=clock)
    notifier = Notifier(redis, names, queue=queue, subscriptions=subscriptions, silences=silences, inhibitions=[], clock=clock)

    def told(name: str, sequence: int, **changes: Any) -> Alert:
        at = clock.now()
        over = changes.get("status") == AlertStatus.RESOLVED
        return alert(sequence, alert_id=f"al_{name}", subject=name, started_at=began, updated_at=at, ended_at=at if over else None, **changes)

    async with Receiver() as receiver, httpx.AsyncClient(trust_env=False) as client:
        route = {"receiver": "desk", "group_by": ["subject_kind"], "group_wait": "1s", "group_interval": "2s", "repeat_interval": "1h"}
        configuration = {"route": route, "receivers": [{"name": "desk", "webhook_configs": [{"url": receiver.url, "send_resolved": True}]}]}
        async with running_alertmanager(tmp_path, configuration) as manager:
            deliverer = Deliverer(queue, subscriptions, sender=Sender(client, allow_private=True), clock=clock, metrics=AlerterMetrics(CollectorRegistry()))
            await subscriptions.put(checked(Subscription(id="sub_am", name="am", channel="alertmanager", url=manager.url)))
            began = clock.now()

            async def tell(*alerts: Alert) -> None:
                for one in alerts:
                    await notifier.take(one)
                await notifier.look()
                while await deliverer.send_due():  # one after the other: they tell of the same alerts
                    await deliverer.settle_running()

            await tell(told("entity:XNAS:AAPL", 1), told("entity:XNAS:MSFT", 1), told("topic:Macro", 1))
            await until(lambda: len(receiver.received) >= 2, within_s=30)
            assert sorted(notified(receiver), key=lambda found: found[0]) == [
                ("entity", {"entity:XNAS:AAPL", "entity:XNAS:MSFT"}, set()),
                ("topic", {"topic:Macro"}, set()),
            ]
            clock.advance(MOMENT)
            await tell(told("topic:Macro", 2, status=AlertStatus.UPDATED, severity=Severity.CRITICAL))  # the same alert there, told again with all others
            held = {item["labels"]["subject"]: item for item in await manager.alerts()}
            assert set(held) == {"entity:XNAS:AAPL", "entity:XNAS:MSFT", "topic:Macro"}
            assert held["topic:Macro"]["annotations"]["severity"] == "critical"
            clock.advance(MOMENT)
            await tell(told("entity:XNAS:AAPL", 2, status=AlertStatus.RESOLVED))
            await until(lambda: any("entity:XNAS:AAPL" in over for _, _, over in notified(receiver)), within_s=30)
    assert ("entity", {"entity:XNAS:MSFT"}, {"entity:XNAS:AAPL"}) in notified(receiver)
    assert all("topic:Macro" not in over for _, _, over in notified(receiver))
    await redis.aclose()
