from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Engagement, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.telegram import SOURCE, count, parse
from tests.support.records import NOON

TEXT = '<div class="tgme_widget_message_text js-message_text">{}</div>'
TIME = '<a class="tgme_widget_message_date" href="https://t.me/Chan/101"><time datetime="{}" class="time">10:00</time></a>'


def feed(channel: str = "Chan") -> Feed:
    return fitted(Feed(source="telegram", options={"channel": SecretStr(channel)}))[1]


def read(body: str, *, key: bytes = b"") -> Parsed:
    return parse(Response(url="https://t.me/s/Chan", body=body.encode(), fetched_at=NOON), feed=feed(), author_key=key)


def page(*posts: str) -> str:
    return f'<!DOCTYPE html><html><body><section class="tgme_channel_history">{"".join(posts)}</section></body></html>'


def post(inside: str, *, name: str = "Chan/101", kind: str = "") -> str:
    return f'<div class="tgme_widget_message_wrap"><div class="tgme_widget_message{kind}" data-post="{name}">{inside}</div></div>'


def only(inside: str, *, name: str = "Chan/101", key: bytes = b"") -> Document:
    (document,) = read(page(post(inside, name=name)), key=key).documents
    return document


@pytest.mark.parametrize("channel", ["ExampleFin", "@ExampleFin", " t.me/ExampleFin ", "https://t.me/ExampleFin", "https://t.me/s/ExampleFin/"])
def test_the_request_is_the_preview_of_the_channel(channel: str) -> None:
    asked = SOURCE.request(feed(channel), now=NOON)
    assert (asked.url, asked.headers, asked.form) == ("https://t.me/s/ExampleFin", {}, None)
    assert asked.page  # robots.txt is asked


@pytest.mark.parametrize("channel", ["", "abc", "-1001234567", "+invitation", "a/../b", "name?q=1", "https://x.example/name", "频道频道频道"])
def test_what_names_no_channel_is_refused_at_the_start(channel: str) -> None:
    with pytest.raises(ConfigError, match="channel"):
        feed(channel)


def test_it_is_off_without_a_channel() -> None:
    with pytest.raises(ConfigError, match="channel"):
        fitted(Feed(source="telegram"))


def test_a_post_is_a_document() -> None:
    found = only(TEXT.format("One &amp; two<br/>P &lt; E") + '<span class="tgme_widget_message_views">1.2K</span>' + TIME.format("2026-11-23T18:00:05+08:00"))
    assert (found.doc_id, found.native_id, found.kind) == (doc_id_of("telegram", "chan/101"), "chan/101", DocumentKind.SOCIAL)
    assert (found.text, found.title, found.url, found.publisher) == ("One & two\nP < E", "", "https://t.me/Chan/101", "t.me/chan")
    assert (found.published_at, found.published_precision) == (datetime(2026, 11, 23, 10, 0, 5, tzinfo=UTC), Precision.SECOND)
    assert (found.engagement, found.parent_id) == (Engagement(views=1200), None)


def test_a_title_in_front_is_the_title() -> None:
    found = only(TEXT.format("【示例银行】净利润增长１２％"))
    assert (found.title, found.text, found.lang) == ("示例银行", "净利润增长１２％", "zh-Hans")


def test_the_text_that_it_replies_to_is_not_its_own() -> None:
    reply = '<a class="tgme_widget_message_reply" href="https://t.me/Chan/99"><div class="tgme_widget_message_text js-message_reply_text">Theirs</div></a>'
    found = only(reply + TEXT.format("Ours"))
    assert (found.text, found.parent_id) == ("Ours", "chan/99")
    alone = read(page(post(reply)))
    assert (alone.documents, [problem.reason for problem in alone.problems]) == ([], ["empty"])


@pytest.mark.parametrize(
    ("href", "parent"),
    [
        ("https://t.me/Other/55", "other/55"),
        ("https://t.me/Other/55?single", "other/55"),
        ("https://t.me/s/Other/55", "other/55"),
        ("https://t.me/Other", None),
        ("https://t.me/c/1234567/55", None),
        ("https://evil.example/https://t.me/Other/55", None),
        ("", None),
    ],
)
def test_a_post_that_was_passed_on_names_the_first(href: str, parent: str | None) -> None:
    forwarded = f'<div class="tgme_widget_message_forwarded_from"><a class="tgme_widget_message_forwarded_from_name" href="{href}">Other</a></div>'
    assert only(forwarded + TEXT.format("T")).parent_id == parent


def test_nobody_is_named() -> None:
    inside = (
        '<div class="tgme_widget_message_forwarded_from"><span class="tgme_widget_message_forwarded_from_name">Bob Example</span></div>'
        + TEXT.format('via <a href="https://t.me/somebody">@somebody</a>')
        + '<span class="tgme_widget_message_from_author">Ann Example</span>'
    )
    found = only(inside, key=b"k")
    assert found.text == "via @user"
    assert not any(name in str(found) for name in ("Bob", "Ann", "somebody"))
    assert found.author_hash is not None
    assert only(inside).author_hash is None


def test_the_time_of_a_post_is_not_the_length_of_its_video() -> None:
    found = only('<time class="message_video_duration">0:42</time>' + TEXT.format("T") + TIME.format("2026-11-23T10:00:00+00:00"))
    assert found.published_at == datetime(2026, 11, 23, 10, tzinfo=UTC)


@pytest.mark.parametrize("said", ["2026-11-23T10:00:00", "2026-11-24T10:00:00+00:00", "today"])
def test_times_that_cannot_be_trusted_are_kept_as_they_came(said: str) -> None:
    found = only(TEXT.format("T") + TIME.format(said))
    assert (found.published_at, found.extra["published_raw"]) == (None, said)


def test_what_telegram_tells_itself_is_left_out() -> None:
    assert read(page(post(TEXT.format("Channel created"), kind=" service_message"))) == Parsed([])


def test_a_bad_post_costs_no_other() -> None:
    found = read(page(post(TEXT.format("A"), name="-100/7"), post(""), post(TEXT.format("B"), name="Chan/2"), post(TEXT.format("C"), name="chan/2")))
    assert [document.text for document in found.documents] == ["B"]
    assert [problem.reason for problem in found.problems] == ["invalid", "empty", "duplicate"]


def test_a_page_that_broke_off_gives_its_whole_posts() -> None:
    whole = page(post(TEXT.format("A"), name="Chan/1"), post(TEXT.format("B is long"), name="Chan/2"))
    found = read(whole[: whole.index("long")])
    assert ([document.text for document in found.documents], [problem.reason for problem in found.problems]) == (["A"], ["truncated"])


def test_a_channel_without_posts_is_an_empty_list() -> None:
    assert read(page()) == Parsed([])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ('<html><body><div class="tgme_page">View in Telegram</div></body></html>', SourceWalled),
        ("<html><body>502 Bad Gateway</body></html>", PageChanged),
        ('{"ok":false}', PageChanged),
        (" ", PageChanged),
    ],
)
def test_a_page_without_preview_is_walled_and_any_other_has_changed(body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(body)


@pytest.mark.parametrize(
    ("shown", "number"), [("0", 0), ("12", 12), ("1.15K", 1150), ("2.3M", 2_300_000), ("1B", 1_000_000_000), ("", None), ("many", None), ("1.2k", None), ("-3", None)]
)
def test_short_numbers(shown: str, number: int | None) -> None:
    assert count(shown) == number


@given(st.integers(min_value=0, max_value=999_999))
def test_thousands_to_three_places_lose_nothing(number: int) -> None:
    assert count(f"{number / 1000:.3f}K") == number


def test_views_that_are_not_shown_are_unknown() -> None:
    assert only(TEXT.format("T")).engagement is None
    assert only(TEXT.format("T") + '<span class="tgme_widget_message_views">0</span>').engagement == Engagement(views=0)
