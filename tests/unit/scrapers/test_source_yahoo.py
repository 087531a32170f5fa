from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceRateLimited, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.yahoo import ADDRESS, SOURCE, parse
from tests.support.records import NOON

GUID = "feedca00-5a5a-3b3b-9c9c-0123456789ab"
ITEM = (
    f'<title>T</title><guid isPermaLink="false">{GUID}</guid><link>https://finance.yahoo.com/news/t-1.html?.tsrc=rss</link>'
    "<pubDate>Mon, 23 Nov 2026 17:30:00 +0800</pubDate><description>An extract.</description>"
)


def feed(symbols: str = "AAPL") -> Feed:
    return fitted(Feed(source="yahoo", options={"symbols": SecretStr(symbols)}))[1]


def read(body: str, *, url: str = ADDRESS, symbols: str = "AAPL") -> Parsed:
    return parse(Response(url=url, body=body.encode(), fetched_at=NOON), feed=feed(symbols))


def rss(*items: str) -> str:
    inside = "".join(f"<item>{item}</item>" for item in items)
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>c</title>{inside}</channel></rss>'


def only(item: str = ITEM, *, url: str = ADDRESS, symbols: str = "AAPL") -> Document:
    (document,) = read(rss(item), url=url, symbols=symbols).documents
    return document


@pytest.mark.parametrize(
    ("symbols", "asked"),
    [
        ("AAPL,MSFT", "AAPL,MSFT"),
        ("aapl, msft\nAAPL", "AAPL,MSFT"),
        ("AAPL，0700.HK,", "AAPL,0700.HK"),
        ("^GSPC,BTC-USD", "%5EGSPC,BTC-USD"),
        ("A&B", "A%26B"),
    ],
)
def test_the_request_is_the_documented_one(symbols: str, asked: str) -> None:
    request = SOURCE.request(feed(symbols), now=NOON)
    assert request.url == f"https://feeds.finance.yahoo.com/rss/2.0/headline?s={asked}&region=US&lang=en-US"
    assert (request.headers, request.form) == ({}, None)


@pytest.mark.parametrize("symbols", ["", " , ", "，"])
def test_symbols_that_name_none_are_refused_at_the_start(symbols: str) -> None:
    with pytest.raises(ConfigError, match="symbols"):
        feed(symbols)


def test_it_is_off_without_symbols() -> None:
    with pytest.raises(ConfigError, match="symbols"):
        fitted(Feed(source="yahoo"))


def test_a_headline_is_a_document_of_this_source() -> None:
    found = only()
    assert (found.source, found.native_id, found.doc_id) == ("yahoo", GUID, doc_id_of("yahoo", GUID))
    assert (found.title, found.text, found.kind, found.publisher) == ("T", "An extract.", DocumentKind.NEWS, "finance.yahoo.com")
    assert found.published_at == datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
    assert found.extra["adapter_version"] == 1
    assert found.symbols == []  # it does not say on which


def test_the_id_does_not_depend_on_the_symbols_or_the_address() -> None:
    ids = {only(url=url, symbols=symbols).doc_id for url in (ADDRESS, "https://finance.yahoo.com/rss/") for symbols in ("AAPL", "MSFT,AAPL")}
    assert ids == {doc_id_of("yahoo", GUID)}


def test_an_edited_headline_keeps_its_id() -> None:
    edited = only(ITEM.replace("<title>T<", "<title>U<"))
    assert (edited.doc_id, edited.title) == (only().doc_id, "U")
    assert edited.content_hash != only().content_hash


def test_an_article_of_another_site_is_of_its_host() -> None:
    assert only(ITEM.replace("https://finance.yahoo.com/", "https://www.adviser.example/")).publisher == "www.adviser.example"


def test_an_item_occurs_once() -> None:
    found = read(rss(ITEM, ITEM))
    assert ([document.title for document in found.documents], [problem.reason for problem in found.problems]) == (["T"], ["duplicate"])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("Too Many Requests", SourceRateLimited),
        ("Edge: Too Many Requests", SourceRateLimited),
        ("Forbidden", PageChanged),
        ("{}", PageChanged),
        ("", PageChanged),
        (rss("<title>Yahoo! Finance: RSS feed not found</title><link>https://finance.yahoo.com/x</link>"), PageChanged),
        ('<html><form class="consent-form"></form></html>', SourceWalled),
        ("<html>gone</html>", PageChanged),
    ],
)
def test_errors_inside_an_answer_of_200(body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(body)


def test_news_of_too_many_requests_is_news() -> None:
    assert only(ITEM.replace("<title>T<", "<title>Too many requests for consent.yahoo.com<")).title == "Too many requests for consent.yahoo.com"


def test_an_empty_feed_is_an_empty_list() -> None:
    assert read(rss()) == Parsed([])
