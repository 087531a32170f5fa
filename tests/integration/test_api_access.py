from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts.api.access import Access
from alerts.api.app import build_api
from alerts.api.parts import Parts
from alerts.live import Event
from opinion.codec import encode
from opinion.names import Names
from opinion.records import AlertStatus, Severity
from opinion.windows import Applied
from tests.support.api import TOKENS, api_parts, bearer, served_api
from tests.support.records import NOON, alert, scored

pytestmark = pytest.mark.integration

OPEN_PATHS = {"/healthz", "/readyz", "/metrics", "/", "/openapi.json"}


@pytest.fixture
async def api(parts: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=build_api(parts)), base_url="http://api", headers=bearer()) as client:
        yield client


def operations(parts: Parts) -> list[tuple[str, str]]:
    paths = build_api(parts).openapi()["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods if path not in OPEN_PATHS]


async def test_no_token_a_wrong_one_and_one_for_less_are_refused_everywhere(api: httpx.AsyncClient, parts: Parts) -> None:
    asked = operations(parts)
    assert len(asked) > 30
    for method, path in asked:
        place = path.replace("{", "").replace("}", "").replace(":path", "")
        for headers in ({"authorization": ""}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKENS['admin']}"}):
            assert (await api.request(method, place, headers=headers)).status_code == 401, (method, path)
        if method != "GET":
            refused = await api.request(method, place, headers=bearer("read"))
            assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json"), (method, path)
    for method, path in (
        ("POST", "/api/v1/subscriptions"),
        ("DELETE", "/api/v1/subscriptions/x"),
        ("PATCH", "/api/v1/subscriptions/x"),
        ("POST", "/api/v1/subscriptions/x/rotate"),
    ):
        assert (await api.request(method, path, headers=bearer("operate"))).status_code == 403


def test_every_token_is_compared_whole() -> None:
    access = Access("hush")
    assert access.caller("hus") is access.caller("hushh") is access.caller("") is access.caller("\udcff") is None
    assert access.caller("hush") is not None


def test_a_token_that_asks_too_often_waits_and_others_do_not() -> None:
    access = Access("hush", rate_per_min=60)
    caller = access.caller("hush")
    assert caller is not None
    assert [access.wait_s(caller, now_s=0.0) for _ in range(60)] == [0.0] * 60
    assert access.wait_s(caller, now_s=0.0) == pytest.approx(1.0)
    assert access.wait_s(caller, now_s=1.0) == 0.0


async def test_too_many_requests_say_when_to_come_back(redis_url: str, names: Names, tmp_path: Path) -> None:
    async with api_parts(redis_url, names, tmp_path, rate_per_min=2) as parts, httpx.AsyncClient(transport=httpx.ASGITransport(app=build_api(parts)), base_url="http://api") as api:
        answers = [await api.get("/api/v1/alerts", headers=bearer()) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 31


async def test_an_alert_is_acknowledged_once_and_everyone_sees_by_whom(api: httpx.AsyncClient, parts: Parts) -> None:
    await parts.alerts.save(alert())
    acked = (await api.post("/api/v1/alerts/al_1/ack", json={"note": "looking"}, headers=bearer("operate"))).json()
    assert (acked["acknowledged_by"], acked["notes"][0]["text"]) == ("operate", "looking")
    assert (await api.post("/api/v1/alerts/al_1/ack", json={"by": "bob"})).json()["acknowledged_by"] == "operate"
    assert (await api.get("/api/v1/alerts/al_1")).json()["acknowledged_by"] == "operate"
    assert (await api.post("/api/v1/alerts/al_1/assign", json={"to": "ann"})).json()["assigned_to"] == "ann"
    assert (await api.post("/api/v1/alerts/al_1/mute")).json()["muted"] is True
    assert (await api.post("/api/v1/alerts/al_1/unmute")).json()["muted"] is False
    assert (await api.post("/api/v1/alerts/al_9/ack")).status_code == 404
    await parts.alerts.save(alert(2, status=AlertStatus.RESOLVED, ended_at=NOON))
    assert (await api.post("/api/v1/alerts/al_1/ack")).status_code == 409
    assert (await api.post("/api/v1/alerts/al_1/note", json={"text": "was real"})).status_code == 200


async def test_alerts_are_paged_without_holes_even_where_many_changed_at_once(api: httpx.AsyncClient, parts: Parts) -> None:
    wanted = [f"al_{number:02}" for number in range(25)]
    for number, alert_id in enumerate(wanted):
        await parts.alerts.save(alert(alert_id=alert_id, updated_at=NOON + timedelta(seconds=number // 10)))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await api.get("/api/v1/alerts", params={"limit": "4", **cursor})).json()
        seen += [item["alert_id"] for item in page["alerts"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert sorted(seen) == wanted
    assert len((await api.get("/api/v1/alerts", params={"since": (NOON + timedelta(seconds=2)).isoformat()})).json()["alerts"]) == 5
    assert (await api.get("/api/v1/alerts", params={"cursor": "nonsense"})).status_code == 404


async def test_silences_are_made_listed_and_ended(api: httpx.AsyncClient) -> None:
    made = (await api.post("/api/v1/silences", json={"matchers": ['subject="topic:Macro"'], "duration_s": 600, "comment": "known"})).json()
    assert (made["state"], made["author"], made["matchers"]) == ("active", "admin", ['subject="topic:Macro"'])
    assert [item["id"] for item in (await api.get("/api/v1/silences", params={"state": "active"})).json()["silences"]] == [made["id"]]
    assert (await api.delete(f"/api/v1/silences/{made['id']}")).json()["state"] == "expired"
    assert (await api.get("/api/v1/silences", params={"state": "active"})).json()["silences"] == []
    assert (await api.post("/api/v1/silences", json={"matchers": ["subject=~.*"]})).status_code == 409
    assert (await api.post("/api/v1/silences", json={"matchers": ["nonsense"]})).status_code == 422


async def test_a_request_sent_again_under_its_key_does_nothing_twice(api: httpx.AsyncClient, parts: Parts) -> None:
    body: dict[str, Any] = {"matchers": ['severity="high"'], "comment": "once"}
    key = {"idempotency-key": "k1"}
    first = await api.post("/api/v1/silences", json=body, headers=key)
    again = await api.post("/api/v1/silences", json=body, headers=key)
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (201, first.json(), "true")
    assert len(await parts.silences.all()) == 1
    assert (await api.post("/api/v1/silences", json=body | {"comment": "twice"}, headers=key)).status_code == 422
    assert (await api.post("/api/v1/silences", json={"matchers": []}, headers={"idempotency-key": "k2"})).status_code == 422
    assert (await api.post("/api/v1/silences", json=body, headers={"idempotency-key": "k2"})).status_code == 201  # a refusal may be mended


async def test_nobody_overwrites_what_somebody_else_changed(api: httpx.AsyncClient) -> None:
    made = (await api.post("/api/v1/subscriptions", json={"name": "desk", "url": "https://desk.example/h"})).json()
    path = f"/api/v1/subscriptions/{made['id']}"
    seen = (await api.get(path)).headers["etag"]
    changed = await api.patch(path, json={"language": "zh", "quiet_hours": {"start": "22:00", "end": "07:00"}}, headers={"if-match": seen})
    assert (changed.status_code, changed.json()["quiet_hours"]["end"]) == (200, "07:00")
    assert (await api.patch(path, json={"language": "en"}, headers={"if-match": seen})).status_code == 412
    assert (await api.patch(path, json={"quiet_hours": None}, headers={"if-match": changed.headers["etag"]})).json()["quiet_hours"] is None
    assert (await api.delete(path, headers={"if-match": seen})).status_code == 412


async def test_what_people_say_is_kept(api: httpx.AsyncClient, parts: Parts) -> None:
    await parts.alerts.save(alert())
    await parts.archive.put(0, [(1, scored(1))])
    doc_id = scored(1).document.doc_id
    assert (await api.post("/api/v1/feedback", json={"alert_id": "al_1", "verdict": "false", "note": "old news"})).status_code == 201
    assert (await api.post("/api/v1/feedback", json={"doc_id": doc_id, "verdict": "wrong_sentiment", "correct": "neutral", "by": "ann"})).status_code == 201
    assert (await api.post("/api/v1/feedback", json={"alert_id": "al_9", "verdict": "true"})).status_code == 404
    rows = (await api.get("/api/v1/feedback")).json()["feedback"]
    assert [(row["verdict"], row["by"]) for row in rows] == [("wrong_sentiment", "ann"), ("false", "admin")]


async def test_documents_and_windows_show_what_was_counted(api: httpx.AsyncClient, parts: Parts) -> None:
    documents = [scored(number, subjects=("topic:Macro",)) for number in range(1, 6)]
    await parts.archive.put(0, list(enumerate(documents)))
    await parts.windows.apply("scored-0", [Applied(offset, item) for offset, item in enumerate(documents)])
    page = (await api.get("/api/v1/documents", params={"subject": "topic:Macro", "limit": 3})).json()
    assert [item["document"]["title"] for item in page["documents"]] == ["Headline 5", "Headline 4", "Headline 3"]
    rest = (await api.get("/api/v1/documents", params={"subject": "topic:Macro", "cursor": page["next"]})).json()
    assert [item["document"]["title"] for item in rest["documents"]] == ["Headline 2", "Headline 1"]
    assert (await api.get(f"/api/v1/documents/{documents[0].document.doc_id}")).json()["sentiment"]["negative"] == 0.9
    span = {"from": NOON.isoformat(), "to": (NOON + timedelta(minutes=10)).isoformat(), "step": "300"}
    shown = (await api.get("/api/v1/subjects/topic:Macro/windows", params=span)).json()
    assert [(point["total"], point["negative"]) for point in shown["windows"]] == [(5, 5), (0, 0)]
    assert [row["subject"] for row in (await api.get("/api/v1/subjects", params={"q": "macro"})).json()["subjects"]] == ["topic:Macro"]


def test_events_come_as_they_happen_and_missed_alerts_first(redis_url: str, names: Names, tmp_path: Path) -> None:
    with served_api(redis_url, names, tmp_path) as address, httpx.Client(trust_env=False, timeout=10) as client:
        assert client.get(f"{address}/api/v1/stream", headers=bearer() | {"last-event-id": "nonsense"}).status_code == 422
        with client.stream("GET", f"{address}/api/v1/stream", headers=bearer()) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert next(answer.iter_lines()) == "retry: 3000"


async def test_an_event_is_a_line_each(parts: Parts) -> None:
    from alerts.api.stream import lines_of  # noqa: PLC0415 - what the path streams

    parts.live.take(0, 0, encode(alert(1)))
    parts.live.take(0, 1, encode(alert(2)))
    lines = lines_of(parts, "0-1", {"alert", "reset"})
    assert [await anext(lines), await anext(lines)] == [b"retry: 3000\n\n", b"id: 0-2\nevent: alert\ndata: " + encode(alert(2)) + b"\n\n"]
    waiting = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    parts.live.heard(scored(1))  # not asked for
    parts.live.take(0, 2, b"{}")  # of another version: nothing says what it quotes
    assert await waiting == b"id: 0-3\nevent: reset\ndata: \n\n"
    await lines.aclose()
    assert Event("alert", b"{}").id == ""


async def test_a_receiver_s_alerts_are_ranked_by_what_its_people_took_on(api: httpx.AsyncClient, parts: Parts) -> None:
    made = (await api.post("/api/v1/subscriptions", json={"name": "desk", "url": "https://desk.example/h"})).json()
    for number in range(24):
        severity = Severity.CRITICAL if number % 2 else Severity.WARNING
        found = alert(alert_id=f"al_{number}", severity=severity)
        await parts.alerts.save(found)
        await parts.notifier.take(found)
        if number % 2:
            await api.post(f"/api/v1/alerts/al_{number}/ack")
        else:
            await api.post("/api/v1/feedback", json={"alert_id": f"al_{number}", "verdict": "false", "subscription": made["id"]})
    await parts.notifier.take(alert(alert_id="al_new", severity=Severity.CRITICAL))
    (newest,) = [item for item in (await parts.queue.page(limit=100)).deliveries if item.alert_id == "al_new"]
    told = json.loads(await parts.queue.body(newest.delivery_id))["data"]
    assert told["priority"] > 0.7
    assert told["priority_why"][0] == "+ severity"
