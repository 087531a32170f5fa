from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.google_news import ADDRESS, SOURCE, parse, split
from tests.support.records import NOON

LINK = "https://news.google.com/rss/articles/CBMiAbc?oc=5"
GUID = '<guid isPermaLink="false">CBMiAbc</guid>'


def feed(query: str = "bank", **options: str) -> Feed:
    return fitted(Feed(source="google_news", options={name: SecretStr(value) for name, value in ({"query": query} | options).items()}))[1]


def read(*items: str) -> Parsed:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return raw(f'<?xml version="1.0"?><rss version="2.0"><channel><title>c</title>{inside}</channel></rss>')


def raw(body: str) -> Parsed:
    return parse(Response(url=ADDRESS, body=body.encode(), fetched_at=NOON), feed=feed())


def only(item: str) -> Document:
    (document,) = read(item).documents
    return document


@pytest.mark.parametrize(
    ("edition", "rest"),
    [
        ("en-US", "&hl=en-US&gl=US&ceid=US:en"),
        ("en-GB", "&hl=en-GB&gl=GB&ceid=GB:en"),
        ("zh-CN", "&hl=zh-CN&gl=CN&ceid=CN:zh-Hans"),
        ("zh-TW", "&hl=zh-TW&gl=TW&ceid=TW:zh-Hant"),
        ("zh-HK", "&hl=zh-HK&gl=HK&ceid=HK:zh-Hant"),
    ],
)
def test_the_request_is_the_documented_one(edition: str, rest: str) -> None:
    asked = SOURCE.request(feed("example bank", edition=edition), now=NOON)
    assert asked.url == f"https://news.google.com/rss/search?q=example+bank+when:1h{rest}"
    assert (asked.headers, asked.form) == ({}, None)


def test_the_edition_of_the_united_states_is_the_default() -> None:
    assert SOURCE.request(feed(), now=NOON) == SOURCE.request(feed(edition="en-US"), now=NOON)


@pytest.mark.parametrize("query", ["bank when:7d", "after:2026-11-01 bank", "before:2026-11-01"])
def test_a_query_may_say_of_when(query: str) -> None:
    assert dict(parse_qsl(urlsplit(SOURCE.request(feed(query), now=NOON).url).query))["q"] == query


@pytest.mark.parametrize("edition", ["english", "zh", "zh-XX", "en-us", "de-DE", "en-US&x=1", ""])
def test_an_edition_that_there_is_not_is_refused_at_the_start(edition: str) -> None:
    with pytest.raises(ConfigError, match="edition"):
        feed(edition=edition)


def test_it_is_off_without_a_query() -> None:
    with pytest.raises(ConfigError, match="query"):
        fitted(Feed(source="google_news"))


def test_a_headline_is_a_document() -> None:
    found = only(
        f"<title>Shares slip - Example Post</title><link>{LINK}</link>{GUID}<pubDate>Mon, 23 Nov 2026 11:42:07 GMT</pubDate>"
        '<description>&lt;a href="x"&gt;Shares slip&lt;/a&gt;</description><source url="https://www.post.example">Example Post</source>'
    )
    assert (found.doc_id, found.native_id, found.url) == (doc_id_of("google_news", "CBMiAbc"), "CBMiAbc", LINK)
    assert (found.title, found.text) == ("Shares slip", "")  # headline only
    assert (found.publisher, found.labels) == ("www.post.example", {"publisher": "Example Post"})
    assert (found.published_at, found.published_precision) == (datetime(2026, 11, 23, 11, 42, 7, tzinfo=UTC), Precision.SECOND)


def test_the_id_is_the_token_with_or_without_guid() -> None:
    without = only(f"<title>T - P</title><link>{LINK}</link>")
    assert without.doc_id == only(f"<title>T - P</title><link>{LINK}</link>{GUID}").doc_id
    assert only(f"<title>Other words - P</title><link>{LINK}</link>{GUID}").doc_id == without.doc_id


def test_what_has_neither_guid_nor_link_costs_no_other() -> None:
    found = read("<title>A - P</title>", f"<title>B - P</title>{GUID}", f"<title>C - P</title>{GUID}")
    assert [document.title for document in found.documents] == ["B"]
    assert sorted(problem.reason for problem in found.problems) == ["duplicate", "invalid"]


@pytest.mark.parametrize(
    ("title", "publisher", "headline", "name"),
    [
        ("A - B - Post", "", "A - B", "Post"),
        ("A - B - Post", "Post", "A - B", "Post"),
        ("A - Post - UK", "Post - UK", "A", "Post - UK"),
        ("A - Daily", "Weekly", "A - Daily", "Weekly"),
        ("A", "", "A", ""),
        (" - Post", "", " - Post", ""),
        ("A - " + "b" * 81, "", "A - " + "b" * 81, ""),
        ("Self-made", "", "Self-made", ""),
    ],
)
def test_a_title_is_headline_and_publisher(title: str, publisher: str, headline: str, name: str) -> None:
    assert split(title, publisher=publisher) == (headline, name)


words = st.from_regex(r"\A[A-Za-z0-9\u4e00-\u9fff]{1,12}\Z")


@given(st.lists(words, min_size=1), st.lists(words, min_size=1, max_size=3))
def test_no_dash_in_either_confuses_a_publisher_that_is_named(headline: list[str], publisher: list[str]) -> None:
    name = " - ".join(publisher)
    assert split(f"{' - '.join(headline)} - {name}", publisher=name) == (" - ".join(headline), name)


@pytest.mark.parametrize("date", ["2026-11-23 11:42:07", "Mon, 23 Nov 2026 11:42:07 CST", "Wed, 25 Nov 2026 11:42:07 GMT"])
def test_dates_that_cannot_be_trusted_are_kept_as_they_came(date: str) -> None:
    found = only(f"<title>T - P</title>{GUID}<pubDate>{date}</pubDate>")
    assert (found.published_at, found.extra["published_raw"]) == (None, date)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("<html>detected unusual traffic</html>", SourceWalled),
        ('<html><form action="https://consent.google.com/save"></html>', SourceWalled),
        ("<html>An error</html>", PageChanged),
        ("{}", PageChanged),
        ("", PageChanged),
    ],
)
def test_refusals(body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        raw(body)


def test_news_of_a_consent_page_is_news() -> None:
    assert only(f"<title>What consent.google.com asks - P</title>{GUID}").title == "What consent.google.com asks"


def test_a_feed_that_broke_off_gives_its_whole_items() -> None:
    found = raw(f'<rss version="2.0"><channel><item><title>A - P</title>{GUID}</item><item><title>B')
    assert ([document.title for document in found.documents], [problem.reason for problem in found.problems]) == (["A"], ["truncated"])
