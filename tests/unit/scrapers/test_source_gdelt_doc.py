from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceRateLimited, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.gdelt_doc import ADDRESS, LANGUAGES, SOURCE, language_of, parse
from tests.support.records import NOON


def feed(query: str = "bank") -> Feed:
    return fitted(Feed(source="gdelt_doc", options={"query": SecretStr(query)}))[1]


def read(body: str | bytes) -> Parsed:
    raw = body if isinstance(body, bytes) else body.encode()
    return parse(Response(url=ADDRESS, body=raw, fetched_at=NOON), feed=feed())


def only(**fields: Any) -> Document:
    row = {"url": "https://www.news.example/1", "title": "A title", "seendate": "20261123T113000Z", "language": "English"} | fields
    (document,) = read(json.dumps({"articles": [row]})).documents
    return document


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed("(bank OR lender) sourcelang:english"), now=datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC))
    assert asked.url.startswith("https://api.gdeltproject.org/api/v2/doc/doc?query=%28bank+OR+lender%29+")
    assert dict(parse_qsl(urlsplit(asked.url).query)) == {
        "query": "(bank OR lender) sourcelang:english",
        "mode": "artlist",
        "format": "json",
        "maxrecords": "250",
        "sort": "datedesc",
        "startdatetime": "20261122120005",
    }
    assert (asked.headers, asked.form) == ({}, None)


def test_it_is_off_without_a_query() -> None:
    with pytest.raises(ConfigError, match="query"):
        fitted(Feed(source="gdelt_doc"))


def test_an_article_is_a_document() -> None:
    found = only(sourcecountry="United States")
    assert (found.doc_id, found.kind, found.publisher) == (doc_id_of("gdelt_doc", "https://www.news.example/1"), DocumentKind.NEWS, "www.news.example")
    assert (found.published_at, found.published_precision) == (datetime(2026, 11, 23, 11, 30, tzinfo=UTC), Precision.MINUTE)
    assert (found.title, found.text, found.labels) == ("A title", "", {"country": "United States"})


@pytest.mark.parametrize("stamp", ["2026-11-23 11:30:00", "20261123T113000", "20261323T113000Z", "20261124T113000Z", "00000000T000000Z", "２０２６１１２３T113000Z"])
def test_stamps_of_another_form_or_of_tomorrow_are_kept_as_they_came(stamp: str) -> None:
    found = only(seendate=stamp)
    assert (found.published_at, found.published_precision, found.extra["published_raw"]) == (None, None, stamp)


@given(st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2026, 11, 23, 12, 0)))  # noqa: DTZ001 - hypothesis wants them naive
def test_a_stamp_is_the_instant_it_names(at: datetime) -> None:
    assert only(seendate=at.strftime("%Y%m%dT%H%M%SZ").rjust(16, "0")).published_at == at.replace(microsecond=0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "title", "lang"),
    [
        ("English", "Aktien", "en"),
        ("German", "Shares fall", "de"),
        ("NorwegianNynorsk", "", "nn"),
        ("Chinese", "股价下跌，资产缩水", "zh-Hans"),
        ("Chinese", "股價下跌，資產縮水", "zh-Hant"),
        ("Chinese", "GDP +5.2%", "zh"),
        ("Klingon", "Shares", ""),
        ("", "Shares", ""),
    ],
)
def test_names_of_languages_become_tags(name: str, title: str, lang: str) -> None:
    assert language_of(name, title) == lang


def test_a_language_that_is_not_named_is_found_from_the_text() -> None:
    assert only(language=None, title="股价下跌，资产缩水").lang == "zh-Hans"
    assert all(len(tag) == 2 for tag in LANGUAGES.values())


def test_escapes_that_json_does_not_know_cost_nothing() -> None:
    (found,) = read(rb"""{"articles":[{"url":"https://x.example/1","title":"Maker\'s R\&D \"up\" 3\%"}]}""").documents
    assert found.title == """Maker's R&D "up" 3%"""


def test_trackers_make_no_second_article() -> None:
    rows = [{"url": f"https://x.example/1?id=7{more}", "title": "T"} for more in ("", "&utm_source=a", "#top")]
    found = read(json.dumps({"articles": rows}))
    assert [document.native_id for document in found.documents] == ["https://x.example/1?id=7"]
    assert [problem.reason for problem in found.problems] == ["duplicate", "duplicate"]


@pytest.mark.parametrize("row", ["a", 7, None, {}, {"url": "ftp://x.example/1"}, {"url": None}, {"url": "https://x.example/1", "title": 7}])
def test_a_bad_row_costs_no_other(row: Any) -> None:
    found = read(json.dumps({"articles": [row, {"url": "https://x.example/2", "title": "T"}]}))
    assert ([document.title for document in found.documents], [problem.reason for problem in found.problems]) == (["T"], ["invalid"])


@pytest.mark.parametrize("body", ["{}", '{"articles":[]}', "\ufeff{}\n"])
def test_nothing_found_is_an_empty_list(body: str) -> None:
    assert read(body) == Parsed([])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("The specified phrase is too short.", PageChanged),
        ("Your query was too short or too long.", PageChanged),
        ("Please limit requests to one every 5 seconds or contact us.", SourceRateLimited),
        ("429 Too Many Requests", SourceRateLimited),
        ("Something else", PageChanged),
        ('{"status":"error"}', PageChanged),
        ('{"articles":{}}', PageChanged),
        ('{"articles":null}', PageChanged),
        ('{"articles":[', PageChanged),
        ("[]", PageChanged),
        ("", PageChanged),
        ("<html>limit requests</html>", SourceWalled),
    ],
)
def test_errors_inside_an_answer_of_200(body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(body)


def test_an_error_does_not_repeat_what_the_line_says() -> None:
    with pytest.raises(PageChanged) as raised:
        read("Your query was too short or too long: my secret query")
    assert str(raised.value) == "GDELT refuses the query: 'too short or too long'"
