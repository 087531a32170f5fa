from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.cls import ADDRESS, SOURCE, parse, signed
from tests.support.records import NOON


def feed(**options: str) -> Feed:
    return fitted(Feed(source="cls", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(body: str | bytes, *, key: bytes = b"") -> Parsed:
    raw = body if isinstance(body, bytes) else body.encode()
    return parse(Response(url=ADDRESS, body=raw, fetched_at=NOON), feed=feed(), author_key=key)


def listed(*rows: Any, errno: Any = 0) -> str:
    return json.dumps({"errno": errno, "msg": "", "data": {"roll_data": rows}}, ensure_ascii=False)


def only(**fields: Any) -> Document:
    (document,) = read(listed({"id": 7, "content": "正文"} | fields)).documents
    return document


def query(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def test_the_documented_vector_is_signed_so() -> None:
    assert signed({"app": "CailianpressWeb", "os": "web", "sv": "8.7.9"}) == "b02d8f7bc4c45eeb3e86904203597da2"


@given(st.dictionaries(st.text(), st.text()))
def test_the_sign_does_not_depend_on_the_order(asked: dict[str, str]) -> None:
    assert signed(asked) == signed(dict(reversed(asked.items())))


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert asked.url.startswith("https://www.cls.cn/v1/roll/get_roll_list?app=CailianpressWeb&category=&last_time=1795435200&os=web&refresh_type=1&rn=20&sv=8.4.6&sign=")
    assert (asked.headers, asked.form) == ({"referer": "https://www.cls.cn/telegraph"}, None)


def test_the_sign_is_over_all_that_is_asked() -> None:
    for options in ({}, {"category": "red"}, {"category": "港&美"}):
        asked = query(SOURCE.request(feed(**options), now=NOON).url)
        assert asked.pop("sign") == signed(asked)
        assert asked["category"] == options.get("category", "")
    assert SOURCE.request(feed(), now=NOON).url != SOURCE.request(feed(), now=NOON + timedelta(seconds=1)).url


@pytest.mark.parametrize("raw", [1795435110, "1795435110"])
def test_an_epoch_in_seconds_is_that_instant(raw: Any) -> None:
    found = only(ctime=raw)
    assert (found.published_at, found.published_precision) == (datetime(2026, 11, 23, 11, 58, 30, tzinfo=UTC), Precision.SECOND)


@pytest.mark.parametrize("raw", [1795435110000, 1795521510, "2026-11-23 19:58:30", 0])
def test_a_time_that_cannot_be_is_kept_as_it_came(raw: Any) -> None:
    found = only(ctime=raw)
    assert (found.published_at, found.extra["published_raw"]) == (None, str(raw))


def test_advertisements_are_dropped_without_a_word() -> None:
    rows = [{"id": number, "content": "正文", "is_ad": said} for number, said in enumerate([1, "1", True, 0, "0", None])]
    found = read(listed(*rows))
    assert ([document.native_id for document in found.documents], found.problems) == (["3", "4", "5"], [])


def test_a_title_is_told_once() -> None:
    assert (only(content="【标题】正文").title, only(content="【标题】正文").text) == ("标题", "正文")
    assert only(title="标题", content="【标题】正文").text == "正文"
    assert (only(title="播报", content="【标题】正文").title, only(title="播报", content="【标题】正文").text) == ("播报", "【标题】正文")
    assert only(content=None, brief="摘要").text == "摘要"


def test_labels_and_listings_are_what_the_site_says() -> None:
    stocks = [{"StockID": "sh600117"}, {"StockID": "hk00700"}, {"StockID": "usAAPL.O"}, {"StockID": None}, 5]
    found = only(level="A", subjects=[{"subject_name": "公司"}, {}, None], stock_list=stocks)
    assert (found.labels, found.symbols) == ({"importance": "A", "channels": ["公司"]}, ["XSHG:600117", "XHKG:00700"])
    assert (only(level=5, subjects="", stock_list={}).labels, only(stock_list={}).symbols) == ({}, [])


def test_a_document_is_named_and_linked_by_its_number() -> None:
    assert only().doc_id == only(id="7", content="别的").doc_id == doc_id_of("cls", "7")
    assert (only().url, only().publisher, only().kind) == ("https://www.cls.cn/detail/7", "cls.cn", DocumentKind.FLASH)


def test_a_bad_row_costs_only_itself() -> None:
    found = read(listed({"id": "../7", "content": "坏"}, "坏", {"id": 8}, {"id": 9, "content": "好"}, {"id": "9", "content": "好"}))
    assert [document.native_id for document in found.documents] == ["9"]
    assert sorted(problem.reason for problem in found.problems) == ["duplicate", "empty", "invalid", "invalid"]


@pytest.mark.parametrize("errno", [10012, "10012"])
def test_a_sign_that_is_refused_is_told_so(errno: Any) -> None:
    with pytest.raises(PageChanged, match="10012: the sign"):
        read(json.dumps({"errno": errno, "msg": "签名错误", "data": ""}))


def test_another_error_is_told_with_its_number_even_beside_a_list() -> None:
    with pytest.raises(PageChanged, match="errno 10001"):
        read(listed({"id": 7, "content": "正文"}, errno=10001))


@pytest.mark.parametrize("data", [None, "", [], {}, {"roll_data": None}])
def test_a_list_that_is_missing_is_a_changed_page(data: Any) -> None:
    with pytest.raises(PageChanged):
        read(json.dumps({"errno": 0, "data": data}))


def test_an_empty_list_is_one_and_a_web_page_is_a_wall() -> None:
    assert read(listed()) == Parsed([])
    with pytest.raises(SourceWalled):
        read("<!DOCTYPE html><title>404</title>")
