"""The two forms for Prometheus' programs, as they go out; facts are those of a running Alertmanager 0.25."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from alerts.channels import alertmanager, alertmanager_webhook
from alerts.channels.alertmanager_form import annotations_of
from alerts.channels.channel import Message, Sender, checked
from alerts.notify.groups import Notice, NoticeReason
from alerts.notify.labels import fingerprint_of, identity_of
from alerts.notify.quiet import QuietHours
from alerts.subscriptions import Subscription
from opinion.errors import ConfigError, DeliveryGone, DeliveryUnavailable
from opinion.records import AlertStatus, Lane, Severity
from tests.support.channel_stands import subscription
from tests.support.notices import DISABLED, NOTICES, SUMMARY, SUMMARY_ZH, TEST, ended_alert, evidence, many_alerts, notice, whole_alert
from tests.support.records import NOON

MINUTE = timedelta(minutes=1)
URL = "http://alertmanager.test:9093"
LABELS = {"alertname": "NegativeOpinion", "subject": "entity:XDEM:HSRY", "subject_kind": "entity", "market": "XDEM"}


def desk(**changes: Any) -> Subscription:
    return subscription("alertmanager", **({"url": URL} | changes))


class Manager:
    """What an Alertmanager was sent, and whether it answers."""

    def __init__(self) -> None:
        self.pushed: list[list[dict[str, Any]]] = []
        self.status = 200
        self.sender = Sender(httpx.AsyncClient(transport=httpx.MockTransport(self._answer)), allow_private=True)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert (request.method, str(request.url)) == ("POST", URL + "/api/v2/alerts")
        if self.status == 200:
            self.pushed.append(json.loads(request.content))
        return httpx.Response(self.status, stream=httpx.ByteStream(b""))

    async def send(self, told: Notice, *, at: datetime | None = None) -> None:
        await alertmanager.send(self.sender, desk(), Message(id="msg", body=alertmanager.render(told, desk()), at=at or told.at))


@pytest.mark.parametrize(
    ("labels", "fingerprint"),
    [
        ({}, 0xCBF29CE484222325),
        ({"name": "garland, briggs", "fear": "love is not enough"}, 5799056148416392346),
        ({"alertname": "YuqingTest", "team": "risk"}, 0x0F0F343CA65EA75B),
        (LABELS | {"team": "risk"}, 0x8093F01E025C50FE),
    ],
)
def test_a_fingerprint_is_alertmanagers(labels: dict[str, str], fingerprint: int) -> None:
    assert fingerprint_of(labels) == fingerprint


def test_labels_stay_over_the_life_of_an_alert() -> None:
    lives = [
        whole_alert(),
        whole_alert(2, severity=Severity.CRITICAL, lane=Lane.COUNT, status=AlertStatus.UPDATED, subject_name="Huasui", evidence=[evidence(9)], acknowledged_by="Li Na"),
        ended_alert(alert_id="al_2"),
    ]
    assert [identity_of(alert) for alert in lives] == [LABELS] * 3


def test_what_is_on_is_valid_for_four_pushes() -> None:
    pushed = json.loads(alertmanager.render(notice(whole_alert()), desk()))
    assert pushed["over"] == []
    (alert,) = pushed["on"]
    assert alert["labels"] == LABELS
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-23T12:00:00Z", "2026-11-23T12:05:00Z")
    assert alert["generatorURL"] == "https://yuqing.example/alerts/al_1"
    assert alertmanager.CHANNEL.resend is not None
    assert 4 * alertmanager.CHANNEL.resend == alertmanager.VALID


def test_what_is_over_ends_when_it_ended() -> None:
    pushed = json.loads(alertmanager.render(notice(ended_alert()), desk()))
    assert pushed["on"] == []
    assert [alert["endsAt"] for alert in pushed["over"]] == ["2026-11-23T14:00:00Z"]


def test_no_alert_begins_after_its_end_or_ends_in_the_future() -> None:
    """In a replay the clock of the events runs ahead of the wall clock."""
    ahead = ended_alert(started_at=NOON + timedelta(hours=5), ended_at=NOON + timedelta(hours=6))
    (alert,) = json.loads(alertmanager.render(notice(ahead, at=NOON), desk()))["over"]
    assert (alert["startsAt"], alert["endsAt"]) == ("2026-11-23T12:00:00Z", "2026-11-23T12:00:00Z")


def test_of_two_alerts_on_a_subject_the_newer_is_pushed() -> None:
    older, newer = ended_alert(), whole_alert(alert_id="al_2", started_at=NOON + timedelta(hours=8))
    pushed = json.loads(alertmanager.render(notice(newer, older), desk()))
    assert [alert["annotations"]["alert_id"] for alert in pushed["on"] + pushed["over"]] == ["al_2"]


def test_annotations_tell_what_changes() -> None:
    found = annotations_of(whole_alert(acknowledged_by="Li Na"), desk())
    assert found["summary"] == SUMMARY
    assert found["summary_zh"] == SUMMARY_ZH
    assert {key: found[key] for key in ("severity", "lane", "alert_id", "sequence", "story", "negative", "total", "acknowledged_by")} == {
        "severity": "high",
        "lane": "share",
        "alert_id": "al_1",
        "sequence": "1",
        "story": "st_1",
        "negative": "41",
        "total": "58",
        "acknowledged_by": "Li Na",
    }
    assert found["description"].splitlines()[1] == "华穗乳业召回婴幼儿配方奶粉 (news.example, 2026-11-23 11:50 UTC) https://news.example/2?a=1&b=2"
    assert found["console"] == "https://yuqing.example/alerts/al_1"
    assert all(found.values())


@pytest.mark.parametrize(("language", "summary"), [("en", {"summary": SUMMARY}), ("zh", {"summary": SUMMARY_ZH}), ("both", {"summary": SUMMARY, "summary_zh": SUMMARY_ZH})])
def test_summaries_are_in_the_subscriptions_language(language: str, summary: dict[str, str]) -> None:
    found = annotations_of(whole_alert(), desk(language=language))
    assert {key: value for key, value in found.items() if key.startswith("summary")} == summary


def test_the_option_adds_labels_for_routes() -> None:
    (alert,) = json.loads(alertmanager.render(notice(whole_alert()), desk(options={"labels": "team=risk, site=hk"})))["on"]
    assert alert["labels"] == LABELS | {"team": "risk", "site": "hk"}


async def test_a_push_that_comes_after_its_end_is_not_made() -> None:
    manager = Manager()
    told = notice(whole_alert())
    with pytest.raises(DeliveryGone, match="outdated"):
        await manager.send(told, at=told.at + alertmanager.VALID)
    await manager.send(told, at=told.at + alertmanager.VALID - timedelta(seconds=1))
    assert len(manager.pushed) == 1


async def test_an_alert_that_ended_is_not_put_on_again_by_a_late_push() -> None:
    manager = Manager()
    manager.status = 503
    first = notice(whole_alert(), at=NOON)
    with pytest.raises(DeliveryUnavailable):
        await manager.send(first)
    manager.status = 200
    await manager.send(notice(ended_alert(), at=NOON + timedelta(seconds=2)))
    with pytest.raises(DeliveryGone):
        await manager.send(first, at=NOON + timedelta(seconds=5))
    assert [alert["annotations"]["sequence"] for push in manager.pushed for alert in push] == ["3"]


async def test_an_end_is_pushed_however_late_but_not_over_a_new_alert() -> None:
    manager = Manager()
    over = notice(ended_alert())
    await manager.send(over, at=over.at + timedelta(hours=5))
    again = notice(whole_alert(alert_id="al_2", started_at=over.at + timedelta(hours=6)), at=over.at + timedelta(hours=6))
    await manager.send(again)
    with pytest.raises(DeliveryGone):
        await manager.send(over, at=over.at + timedelta(hours=7))


async def test_of_a_late_push_what_is_not_outdated_is_made() -> None:
    manager = Manager()
    one, two = many_alerts(2)
    both = notice(one, two, at=NOON)
    await manager.send(notice(one, at=NOON + MINUTE))
    await manager.send(both, at=NOON + timedelta(seconds=90))
    assert [[alert["labels"]["subject"] for alert in push] for push in manager.pushed] == [["entity:XDEM:0000"], ["entity:XDEM:0001"]]


async def test_a_test_is_an_alert_that_ends_by_itself() -> None:
    manager = Manager()
    await manager.send(TEST)
    ((alert,),) = manager.pushed
    assert alert["labels"] == {"alertname": "YuqingTest"}
    assert alert["annotations"]["summary"].startswith("This is a test.")
    assert alert["endsAt"] == "2026-11-23T12:05:00Z"


@pytest.mark.parametrize("url", [URL, URL + "/", URL + "/api/v2/alerts", URL + "/api/v2/alerts/"])
def test_the_address_of_an_alertmanager_is_enough(url: str) -> None:
    assert alertmanager.address_of(url) == URL + "/api/v2/alerts"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": URL + "/?a=b"}, "without a query"),
        ({"group_by": ["market"]}, "Alertmanager's own"),
        ({"repeat_interval_s": 60.0}, "Alertmanager's own"),
        ({"quiet_hours": QuietHours(start="22:00", end="07:00")}, "Alertmanager's own"),
        ({"options": {"labels": "team"}}, "labels"),
        ({"options": {"labels": "1team=x"}}, "labels"),
        ({"options": {"labels": "subject=x"}}, "none of alertname, subject"),
        ({"options": {"bearer": "a", "username": "b", "password": "c"}}, "either"),
        ({"options": {"username": "b"}}, "password"),
        ({"options": {"username": "a:b", "password": "c"}}, "colon"),
        ({"options": {"bearer": "a\r\nx: y"}}, "printable"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        checked(desk(**changes))


async def test_credentials_are_sent_and_not_kept() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    sender = Sender(httpx.AsyncClient(transport=httpx.MockTransport(answer)), allow_private=True)
    for options in ({"bearer": "token"}, {"username": "yuqing", "password": "hush"}):
        held = desk(options=options)
        body = alertmanager.render(notice(whole_alert()), held)
        assert b"hush" not in body
        assert b"token" not in body
        await alertmanager.send(sender, held, Message(id="m", body=body, at=NOON + MINUTE))
    assert seen == ["Bearer token", "Basic eXVxaW5nOmh1c2g="]


def hook(**changes: Any) -> Subscription:
    return subscription("alertmanager_webhook", **({"url": "http://hook.test/x"} | changes))


def test_a_webhook_has_alertmanagers_form() -> None:
    body = json.loads(alertmanager_webhook.render(notice(whole_alert(), ended_alert(alert_id="al_2", subject="topic:Macro")), hook()))
    assert list(body) == ["version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels", "commonAnnotations", "externalURL", "alerts"]
    assert (body["version"], body["status"], body["receiver"], body["truncatedAlerts"]) == ("4", "firing", "desk", 0)
    assert body["externalURL"] == "https://yuqing.example"
    first, second = body["alerts"]
    assert list(first) == ["status", "labels", "annotations", "startsAt", "endsAt", "generatorURL", "fingerprint"]
    assert (first["status"], second["status"]) == ("firing", "resolved")
    assert (first["endsAt"], second["endsAt"]) == ("0001-01-01T00:00:00Z", "2026-11-23T14:00:00Z")
    assert first["labels"] == LABELS | {"severity": "high"}
    assert body["commonLabels"] == {"alertname": "NegativeOpinion", "severity": "high"}


def test_fingerprint_and_group_of_an_alert_stay_while_its_severity_changes() -> None:
    lives = [whole_alert(), whole_alert(2, severity=Severity.CRITICAL), ended_alert(severity=Severity.CRITICAL)]
    bodies = [json.loads(alertmanager_webhook.render(notice(alert), hook())) for alert in lives]
    assert {body["alerts"][0]["fingerprint"] for body in bodies} == {f"{fingerprint_of(LABELS):016x}"}
    assert {body["groupKey"] for body in bodies} == {'{}:{alertname="NegativeOpinion", market="XDEM", subject="entity:XDEM:HSRY", subject_kind="entity"}'}
    assert [body["alerts"][0]["labels"]["severity"] for body in bodies] == ["high", "critical", "critical"]
    assert bodies[-1]["status"] == "resolved"


def test_a_group_has_its_labels() -> None:
    body = json.loads(alertmanager_webhook.render(notice(*many_alerts(3), labels={"market": 'X"D'}), hook()))
    assert body["groupLabels"] == {"market": 'X"D'}
    assert body["groupKey"] == '{}:{market="X\\"D"}'


def test_alerts_over_the_cap_are_counted() -> None:
    body = json.loads(alertmanager_webhook.render(notice(*many_alerts(5), reason=NoticeReason.DIGEST), hook(options={"max_alerts": "2"})))
    assert (len(body["alerts"]), body["truncatedAlerts"]) == (2, 3)
    assert len(json.loads(alertmanager_webhook.render(notice(*many_alerts(200)), hook()))["alerts"]) == alertmanager_webhook.MOST_ALERTS


@pytest.mark.parametrize("value", ["0", "-1", "x", "10001", "١٠", "9" * 30])
def test_a_cap_is_a_number(value: str) -> None:
    with pytest.raises(ConfigError, match="max_alerts"):
        checked(hook(options={"max_alerts": value}))


def test_an_alert_on_sources_is_one_of_another_name() -> None:
    (alert,) = json.loads(alertmanager.render(NOTICES["blind"], desk()))["on"]
    assert alert["labels"] == {"alertname": "SourceLost", "subject": "language:zh", "subject_kind": "language"}
    assert alert["annotations"]["summary"] == "Blind for Chinese."
    assert not {"negative", "ratio", "score"} & set(alert["annotations"])


def test_another_receivers_end_is_an_alert_of_its_own() -> None:
    (alert,) = json.loads(alertmanager.render(DISABLED, desk()))["on"]
    assert alert["labels"] == {"alertname": "YuqingSubscriptionDisabled", "subscription": "other"}
    assert alert["annotations"]["summary"] == DISABLED.summary
