from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Engagement, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.sina import ADDRESS, SOURCE, parse
from tests.support.records import NOON


def feed(**options: str) -> Feed:
    return fitted(Feed(source="sina", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(body: str | bytes, *, key: bytes = b"") -> Parsed:
    raw = body if isinstance(body, bytes) else body.encode()
    return parse(Response(url=ADDRESS, body=raw, fetched_at=NOON), feed=feed(), author_key=key)


def listed(*rows: Any, status: Any = None) -> str:
    return json.dumps({"result": {"status": status or {"code": 0, "msg": "OK"}, "data": {"feed": {"list": rows}}}}, ensure_ascii=False)


def only(**fields: Any) -> Document:
    (document,) = read(listed({"id": 7, "rich_text": "正文"} | fields)).documents
    return document


def ext(**fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=True)


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert asked.url == "https://zhibo.sina.com.cn/api/zhibo/feed?zhibo_id=152&page=1&page_size=30&pagesize=30&tag=0&dire=f&dpc=1"
    assert (asked.headers, asked.form) == ({}, None)
    assert "?zhibo_id=164&" in SOURCE.request(feed(zhibo_id="164"), now=NOON).url


@pytest.mark.parametrize(
    ("raw", "at", "precision"),
    [
        ("2026-11-23 19:58:30", datetime(2026, 11, 23, 11, 58, 30, tzinfo=UTC), Precision.SECOND),
        ("2026-11-23 00:05:09", datetime(2026, 11, 22, 16, 5, 9, tzinfo=UTC), Precision.SECOND),
        ("2026-11-23 20:10:00", NOON + timedelta(minutes=10), Precision.SECOND),
        ("2026-11-23 19:58", datetime(2026, 11, 23, 11, 58, tzinfo=UTC), Precision.MINUTE),
    ],
)
def test_a_clock_is_beijings(raw: str, at: datetime, precision: Precision) -> None:
    found = only(create_time=raw)
    assert (found.published_at, found.published_precision) == (at, precision)


@pytest.mark.parametrize("raw", ["2026-11-23 20:10:01", "0000-00-00 00:00:00", "2026-13-01 00:00:00", "刚刚", "1795435110"])
def test_a_time_that_cannot_be_is_kept_as_it_came(raw: str) -> None:
    found = only(create_time=raw)
    assert (found.published_at, found.extra["published_raw"]) == (None, raw)


@pytest.mark.parametrize("wrap", ["try{jQuery1_2({});}catch(e){{}};", "cb({})", "window.cb({});", "\ufeff{}"])
def test_jsonp_is_unwrapped(wrap: str) -> None:
    body = listed({"id": 7, "rich_text": "括号)和}catch(e){}; 都在正文里"})
    found = read(wrap.replace("{}", body, 1).replace("{{}}", "{}"))
    assert [document.text for document in found.documents] == ["括号)和}catch(e){}; 都在正文里"]


def test_what_was_deleted_is_dropped_without_a_word() -> None:
    rows = [{"id": number, "rich_text": "正文", "is_delete": said} for number, said in enumerate([1, "1", True, 0, "0", None])]
    found = read(listed(*rows))
    assert ([document.native_id for document in found.documents], found.problems) == (["3", "4", "5"], [])


def test_the_json_inside_the_json_gives_link_and_listings() -> None:
    stocks = [{"market": "cn", "symbol": "sh600519"}, {"market": "hk", "symbol": "00700"}, {"market": "hk", "symbol": "hk00005"}, {"market": "us", "symbol": "aapl"}, "x", {}]
    found = only(ext=ext(docurl="https://finance.sina.cn/a.d.html", stocks=stocks))
    assert (found.url, found.symbols) == ("https://finance.sina.cn/a.d.html", ["XSHG:600519", "XHKG:00700", "XHKG:00005"])
    assert only(ext={"docurl": "//finance.sina.cn/b", "stocks": None}).url == "https://finance.sina.cn/b"


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", '{"docurl":5}', [], None, 5, "[" * 100_000])
def test_a_broken_extension_costs_no_text(broken: Any) -> None:
    found = only(ext=broken)
    assert (found.text, found.url, found.symbols) == ("正文", None, [])


@given(st.text())
def test_no_extension_whatever_costs_a_text(raw: str) -> None:
    assert only(ext=raw).text == "正文"


def test_labels_and_likes_are_what_the_site_says() -> None:
    assert only(is_focus="1", tag=[{"id": 1, "name": "公司"}, {"id": 2}, 3]).labels == {"importance": 1, "channels": ["公司"]}
    assert only(is_focus=0, tag="").labels == {}
    assert only(like_nums="12").engagement == Engagement(likes=12)
    assert only(like_nums="").engagement is None
    assert only().engagement is None


def test_an_id_is_the_number_whatever_the_room_and_occurs_once() -> None:
    assert only(zhibo_id=152).doc_id == only(zhibo_id=153, id="7").doc_id == doc_id_of("sina", "7")
    assert only().kind == DocumentKind.FLASH
    found = read(listed({"id": 7, "rich_text": "一"}, {"id": 7, "rich_text": "二"}, {"rich_text": "三"}, {"id": 8, "rich_text": " "}))
    assert [problem.reason for problem in found.problems] == ["duplicate", "invalid", "empty"]


def test_an_author_is_hashed() -> None:
    (found,) = read(listed({"id": 7, "rich_text": "正文", "creator": "ann@staff.example"}), key=b"key").documents
    assert found.author_hash
    assert "ann@" not in str(found)


@pytest.mark.parametrize("data", ["[]", '""', "null", "{}", '{"feed":{}}', '{"feed":{"list":null}}'])
def test_a_list_that_is_missing_is_a_changed_page(data: str) -> None:
    with pytest.raises(PageChanged):
        read(f'{{"result":{{"status":{{"code":0}},"data":{data}}}}}')


def test_an_error_of_the_site_is_told_with_its_number() -> None:
    with pytest.raises(PageChanged, match="code 11"):
        read(listed({"id": 7, "rich_text": "正文"}, status={"code": 11}))


def test_an_empty_list_is_one_and_a_web_page_is_a_wall() -> None:
    assert read(listed()) == Parsed([])
    with pytest.raises(SourceWalled):
        read("<html><body>404</body></html>")
