from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from alerts.breaker import OPEN_S, OPENS_AFTER, Breaker
from alerts.channels.posting import refusal_of
from alerts.channels.webhook import render, sign
from alerts.deliver import SCHEDULE_S, Timetable
from alerts.notify.groups import Notice, NoticeReason
from alerts.subscriptions import Match, Subscription, key_bytes, matches, new_key, rotated, subscription_id
from opinion.errors import ConfigError, DeliveryError, DeliveryGone, DeliveryRateLimited, DeliveryRefused, DeliveryUnavailable
from opinion.records import AlertStatus, Severity
from tests.support.records import NOON, alert


def subscription(**changes: object) -> Subscription:
    fields = {"id": "sub_1", "name": "desk", "url": "https://desk.example/hook", "keys": [new_key()]} | changes
    return Subscription(**fields)  # type: ignore[arg-type]


@given(body=st.binary(max_size=200), keys=st.lists(st.binary(min_size=24, max_size=64), min_size=1, max_size=2))
def test_every_key_signs_so_that_an_independent_verifier_agrees(body: bytes, keys: list[bytes]) -> None:
    now = datetime.now(UTC)
    secrets = ["whsec_" + base64.b64encode(key).decode() for key in keys]
    signature = sign("msg_1", timestamp_s=int(now.timestamp()), body=body, keys=secrets)
    entries = signature.split(" ")
    assert len(entries) == len(secrets)
    for secret, entry in zip(secrets, entries, strict=True):
        assert entry == Webhook(secret).sign("msg_1", now, body.decode("latin-1")) or not body.isascii()


def test_schedule_is_the_specifications() -> None:
    assert [Timetable().wait_s(attempts) for attempts in range(len(SCHEDULE_S) + 1)] == [*SCHEDULE_S, None]


def test_retry_after_lengthens_but_never_shortens() -> None:
    assert Timetable().wait_s(2, asked_s=10) == SCHEDULE_S[2]
    assert Timetable().wait_s(1, asked_s=100) == 100


@given(st.integers(0, 9), st.floats(0, 1))
def test_jitter_only_adds_up_to_a_fifth(attempts: int, jitter: float) -> None:
    later = Timetable().wait_s(attempts, jitter=jitter)
    assert later is not None
    assert SCHEDULE_S[attempts] <= later <= SCHEDULE_S[attempts] * 1.2001


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (301, {}, DeliveryRefused),
        (400, {}, DeliveryRefused),
        (404, {}, DeliveryRefused),
        (410, {}, DeliveryGone),
        (429, {"retry-after": "30"}, DeliveryRateLimited),
        (429, {}, DeliveryRateLimited),
        (500, {}, DeliveryUnavailable),
        (503, {}, DeliveryUnavailable),
        (503, {"retry-after": "30"}, DeliveryRateLimited),
        (400, {"webhook-delivery": "abort-message"}, DeliveryGone),
    ],
)
def test_answers_have_a_meaning(status: int, headers: dict[str, str], error: type[DeliveryError]) -> None:
    assert type(refusal_of(status, httpx.Headers(headers), host="h", now=NOON)) is error


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_every_2xx_is_success(status: int) -> None:
    assert refusal_of(status, {}, host="h", now=NOON) is None


def test_breaker_opens_tries_once_and_closes() -> None:
    breaker = Breaker()
    for _ in range(OPENS_AFTER):
        assert breaker.closed
        breaker = breaker.after(succeeded=False, now_s=0)
    assert breaker.is_open(OPEN_S - 1)
    assert not breaker.is_open(OPEN_S)
    assert not breaker.closed
    assert breaker.after(succeeded=False, now_s=OPEN_S).is_open(OPEN_S + 1)
    assert breaker.after(succeeded=True, now_s=OPEN_S) == Breaker()


@pytest.mark.parametrize(
    ("match", "wanted"),
    [
        (Match(), True),
        (Match(subjects=["entity:XDEM:*"]), True),
        (Match(subjects=["topic:*", "entity:*"]), True),
        (Match(subjects=["topic:*"]), False),
        (Match(subjects=["ENTITY:*"]), False),
        (Match(severity_at_least=Severity.HIGH), True),
        (Match(severity_at_least=Severity.CRITICAL), False),
    ],
)
def test_subscriptions_match_by_subject_and_severity(match: Match, wanted: bool) -> None:
    assert matches(subscription(match=match), alert()) is wanted


def test_disabled_receivers_are_left_out() -> None:
    assert matches(subscription(), alert(status=AlertStatus.RESOLVED))
    assert not matches(subscription(enabled=False), alert())


def test_receivers_that_were_given_up_for_their_answers_are_kept_up_for_when_they_are_back() -> None:
    assert matches(subscription(enabled=False, disabled_reason="the receiver answered 410"), alert())


def test_rotation_keeps_the_key_before_and_no_more() -> None:
    first, second, third = new_key(), new_key(), new_key()
    assert rotated(rotated(subscription(keys=[first]), second), third).keys == [third, second]


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_!!!!", "whsec_" + base64.b64encode(bytes(10)).decode(), base64.b64encode(bytes(32)).decode()])
def test_keys_of_the_wrong_form_are_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        key_bytes(key)
    assert len(key) < 8 or key not in str(caught.value)


def test_keys_never_print() -> None:
    held = subscription()
    assert held.keys[0] not in repr(held)
    assert held.keys[0] not in f"{held!s}"


def test_body_has_the_contract_s_form() -> None:
    body = render(Notice(subscription_id="s", labels={}, reason=NoticeReason.FIRST, alerts=[alert()], at=NOON), subscription())
    assert body.startswith(b'{"type":"alert.firing","timestamp":"2026-11-23T12:00:00Z","data":{')
    assert len(body) < 20_000


def test_the_end_of_another_receiver_has_a_form_of_its_own() -> None:
    notice = Notice(subscription_id="s", labels={"subscription_id": "sub_2"}, reason=NoticeReason.DISABLED, alerts=[], at=NOON, summary="It is over.")
    assert render(notice, subscription()) == b'{"type":"subscription.disabled","timestamp":"2026-11-23T12:00:00Z","data":{"subscription_id":"sub_2","summary":"It is over."}}'


def test_ids_are_derived() -> None:
    assert subscription_id("desk") == subscription_id("desk") != subscription_id("desk2")
    assert timedelta(seconds=sum(SCHEDULE_S)) > timedelta(days=3)
