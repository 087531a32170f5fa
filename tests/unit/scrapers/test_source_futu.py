from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceWalled
from opinion.records import Document, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.futu import ADDRESS, SOURCE, parse
from tests.support.records import NOON


def feed(**options: str) -> Feed:
    return fitted(Feed(source="futu", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(body: str, **options: str) -> Parsed:
    return parse(Response(url=ADDRESS, body=body.encode(), fetched_at=NOON), feed=feed(**options))


def listed(*rows: Any) -> str:
    return json.dumps({"code": 0, "data": {"data": {"news": rows}}}, ensure_ascii=False)


def only(fields: dict[str, Any], **options: str) -> Document:
    (document,) = read(listed(fields), **options).documents
    return document


@pytest.fixture
def elsewhere() -> Iterator[None]:
    """A machine whose clock is not in UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def test_the_request_names_the_edition() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert (asked.url, asked.form) == ("https://news.futunn.com/news-site-api/main/get-flash-list?pageSize=50", None)
    assert asked.headers == {"referer": "https://news.futunn.com/main/live", "x-news-site-lang": "0"}
    assert [SOURCE.request(feed(edition=name), now=NOON).headers["x-news-site-lang"] for name in ("zh-Hant", "en", "EN")] == ["1", "2", "2"]


def test_an_epoch_as_text_or_number_is_the_instant(elsewhere: None) -> None:
    for raw in ("1795435110", 1795435110):
        found = only({"id": "1", "content": "x", "time": raw})
        assert (found.published_at, found.published_precision) == (datetime(2026, 11, 23, 11, 58, 30, tzinfo=UTC), Precision.SECOND)
    assert only({"id": "1", "content": "x", "time": "11:58"}).extra["published_raw"] == "11:58"


def test_the_id_is_the_number_said_or_in_the_address() -> None:
    url = "https://news.futunn.com/flash/19800001/title-of-it?level1=0"
    ids = {only(fields).native_id for fields in ({"id": "19800001", "content": "甲"}, {"id": 19800001, "content": "乙", "detailUrl": url}, {"detailUrl": url, "content": "丙"})}
    assert ids == {"19800001"}
    assert only({"detailUrl": "https://news.futunn.com/post/7?utm_source=a", "content": "x"}).native_id == "https://news.futunn.com/post/7"


def test_the_same_flash_in_another_language_is_another_text() -> None:
    flash = {"id": "1", "content": "x"}
    assert len({only(flash, edition=name).doc_id for name in ("zh-Hans", "zh-Hant", "en")}) == 3
    assert only(flash, edition="zh-Hans").doc_id == only(flash).doc_id


def test_title_and_text() -> None:
    found = only({"id": "1", "title": "", "content": "【港股收盘】恒指收涨0.42%"})
    assert (found.title, found.text) == ("港股收盘", "恒指收涨0.42%")
    found = only({"id": "1", "title": "港股收盘", "content": "【快讯】标普&amp;纳指"})
    assert (found.title, found.text) == ("港股收盘", "【快讯】标普&纳指")


def test_importance_is_what_the_site_says() -> None:
    assert only({"id": "1", "content": "x", "level": 1}).labels == {"importance": 1}
    assert only({"id": "1", "content": "x", "level": "?"}).labels == {}
    assert only({"id": "1", "content": "x"}).symbols == []


def test_an_empty_list_is_an_outcome_and_no_list_is_an_error() -> None:
    assert read(listed()) == Parsed([])
    for body in ('{"code": -7}', '{"code": -7, "data": {}}', '{"code": -7, "data": {"data": {"news": null}}}'):
        with pytest.raises(PageChanged, match="code -7"):
            read(body)
    with pytest.raises(SourceWalled):
        read("<html></html>")


def test_one_bad_row_does_not_cost_the_others() -> None:
    found = read(listed({"content": "x"}, {"id": "1", "content": ["x"]}, {"id": "2", "content": "好"}, {"id": "2", "content": "好"}, {"id": "3", "content": " "}))
    assert [document.native_id for document in found.documents] == ["2"]
    assert [problem.reason for problem in found.problems] == ["invalid", "invalid", "duplicate", "empty"]
