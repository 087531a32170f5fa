from __future__ import annotations

import msgspec
import pytest

from alerts.channels.channel import all_channels
from alerts.compose import MOST_BYTES
from alerts.erasing import ERASED_TITLE, quoted, without
from alerts.notify.groups import Notice, NoticeReason
from alerts.plain import plain_of
from alerts.subscriptions import Subscription
from opinion.codec import encode
from opinion.records import Alert
from tests.support.notices import evidence
from tests.support.records import NOON, alert

GONE = "feed:1"
OPTIONS = {"chat": {"target": "json://desk.example"}, "email": {"to": "desk@desk.example", "from": "yuqing@desk.example", "server": "mail.desk.example"}}


def surge() -> Alert:
    return alert(evidence=[evidence(1, why=["fell"]), evidence(2)])


def test_of_an_erased_document_nothing_is_left_but_that_it_told() -> None:
    shown = without(surge(), {GONE, "feed:other"})
    first, second = shown.evidence
    assert first == evidence(1, title=ERASED_TITLE, url=None, why=[], erased=True)
    assert second == evidence(2)
    assert msgspec.structs.replace(shown, evidence=[]) == alert(evidence=[])
    for word in (b"product 1", b"news.example/1", b"fell"):
        assert word not in encode(first)


def test_an_alert_that_quotes_nothing_erased_is_left_as_it_is() -> None:
    told = surge()
    assert without(told, {"feed:other"}) is told
    assert without(told, ()) is told


def test_erasing_twice_is_erasing_once_and_what_is_erased_is_quoted_no_more() -> None:
    shown = without(surge(), {GONE})
    assert without(shown, {GONE}) == shown
    assert quoted([shown, surge()]) == {GONE, "feed:2"}
    assert quoted([shown]) == {"feed:2"}


def test_it_says_so_in_both_languages_and_stays_small_enough_for_a_webhook() -> None:
    assert "deleted" in ERASED_TITLE
    assert "已删除" in ERASED_TITLE
    longest = alert(evidence=[evidence(number, title="x", url=None, why=[]) for number in range(5)])
    assert len(encode(without(longest, {item.doc_id for item in longest.evidence}))) < MOST_BYTES


def notice(*alerts: Alert) -> Notice:
    return Notice(subscription_id="sub_1", labels={}, reason=NoticeReason.FIRST, alerts=list(alerts), at=NOON)


@pytest.mark.parametrize("name", sorted(all_channels()))
def test_a_plain_message_of_any_channel_tells_of_the_alert_and_quotes_nothing(name: str) -> None:
    channel, subscription = all_channels()[name], Subscription(id="sub_1", name="desk", url="https://desk.example/hook", channel=name, options=OPTIONS.get(name, {}))
    plain = plain_of(notice(surge()), subscription, channel=channel)
    assert plain is not None
    assert plain.doc_ids == quoted([surge()])
    assert plain.body == channel.render(notice(alert()), subscription) != channel.render(notice(surge()), subscription)
    assert b"product" not in plain.body


def test_a_message_without_documents_needs_none() -> None:
    channel = all_channels()["webhook"]
    assert plain_of(notice(alert()), Subscription(id="sub_1", name="desk"), channel=channel) is None
