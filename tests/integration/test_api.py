from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from alerts.api.app import build_api
from alerts.api.parts import Parts
from alerts.channels.channel import Sender
from alerts.deliver import Deliverer
from opinion.clock import SystemClock
from opinion.metrics import AlerterMetrics
from tests.support.api import bearer
from tests.support.receiver import Receiver
from tests.support.records import alert

pytestmark = pytest.mark.integration
TOKEN = bearer()


async def _deliver(parts: Parts) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        sender = Sender(client, allow_private=True)
        deliverer = Deliverer(parts.queue, parts.subscriptions, sender=sender, clock=SystemClock(), metrics=AlerterMetrics(CollectorRegistry()))
        await deliverer.send_due()
        await deliverer.settle_running()


@pytest.fixture
async def api(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=build_api(parts))
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic aHVzaA=="}])
async def test_api_needs_the_token(api: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await api.get("/api/v1/alerts", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"


async def test_health_and_metrics_need_none(api: httpx.AsyncClient) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/"):
        assert (await api.get(path)).status_code == 200
    assert 'yuqing_alerts_firing{severity="critical"} 0.0' in (await api.get("/metrics")).text


async def test_alerts_can_be_listed_and_shown(api: httpx.AsyncClient, parts: Parts) -> None:
    await parts.alerts.save(alert())
    listed = (await api.get("/api/v1/alerts", params={"status": "firing"}, headers=TOKEN)).json()["alerts"]
    assert [item["subject_name"] for item in listed] == ["Huasui Dairy"]
    assert (await api.get("/api/v1/alerts/al_1", headers=TOKEN)).json()["window"]["negative"] == 41
    assert (await api.get("/api/v1/alerts/al_9", headers=TOKEN)).status_code == 404


async def test_secret_is_shown_once(api: httpx.AsyncClient) -> None:
    made = (await api.post("/api/v1/subscriptions", json={"name": "desk", "url": "https://desk.example/h"}, headers=TOKEN)).json()
    assert made["secret"].startswith("whsec_")
    for path in ("/api/v1/subscriptions", f"/api/v1/subscriptions/{made['id']}"):
        assert "whsec_" not in (await api.get(path, headers=TOKEN)).text


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"name": "x", "url": "ftp://x"}, "url"),
        ({"name": "x", "url": "https:///hook"}, "url"),
        ({"name": "x", "url": "https://x:port/hook"}, "url"),
        ({"name": "x", "url": "https://x/" + "x" * 2000}, "url"),
        ({"name": "x"}, "url"),
        ({"name": "x", "url": "https://x", "knid": 1}, "knid"),
        ({"name": "x", "url": "https://x", "match": {"severity_at_least": "bad"}}, "severity_at_least"),
        ({"name": "x", "url": "https://x", "secret": "short"}, "secret"),
    ],
)
async def test_wrong_subscription_names_the_key(api: httpx.AsyncClient, body: dict[str, Any], words: str) -> None:
    answer = await api.post("/api/v1/subscriptions", json=body, headers=TOKEN)
    assert answer.status_code in (409, 422)
    assert words in answer.json()["detail"]


async def test_subscription_can_be_changed_rotated_tested_removed(api: httpx.AsyncClient, parts: Parts) -> None:
    async with Receiver() as receiver:
        made = (await api.post("/api/v1/subscriptions", json={"name": "desk", "url": receiver.url}, headers=TOKEN)).json()
        path = f"/api/v1/subscriptions/{made['id']}"
        assert (await api.post("/api/v1/subscriptions", json={"name": "desk", "url": receiver.url}, headers=TOKEN)).status_code == 409
        assert (await api.patch(path, json={"match": {"subjects": ["topic:*"]}}, headers=TOKEN)).json()["match"]["subjects"] == ["topic:*"]
        fresh = (await api.post(f"{path}/rotate", headers=TOKEN)).json()["secret"]
        delivery = (await api.post(f"{path}/test", headers=TOKEN)).json()["delivery_id"]
        await _deliver(parts)
        assert receiver.received[0].verified_by(made["secret"])
        assert receiver.received[0].verified_by(fresh)
        (row,) = (await api.get("/api/v1/deliveries", params={"outcome": "delivered"}, headers=TOKEN)).json()["deliveries"]
        assert row["delivery_id"] == delivery
        assert (await api.post(f"/api/v1/deliveries/{delivery}/retry", headers=TOKEN)).status_code == 202
        assert (await api.delete(path, headers=TOKEN)).status_code == 204
        assert (await api.get(path, headers=TOKEN)).status_code == 404
