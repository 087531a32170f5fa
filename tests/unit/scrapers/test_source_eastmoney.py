from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.eastmoney import ADDRESS, SOURCE, parse
from tests.support.records import NOON


def feed(**options: str) -> Feed:
    return fitted(Feed(source="eastmoney", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(body: str | bytes, *, key: bytes = b"") -> Parsed:
    raw = body if isinstance(body, bytes) else body.encode()
    return parse(Response(url=ADDRESS, body=raw, fetched_at=NOON), feed=feed(), author_key=key)


def listed(*rows: Any, **fields: Any) -> str:
    return json.dumps({"code": "1", "data": {"fastNewsList": rows}} | fields, ensure_ascii=False)


def legacy(*rows: Any) -> str:
    return "var ajaxResult=" + json.dumps({"rc": 1, "LivesList": rows}, ensure_ascii=False)


def only(**fields: Any) -> Document:
    (document,) = read(listed({"code": "202611230000000001", "title": "标题"} | fields)).documents
    return document


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert asked.url == ADDRESS + "?client=web&biz=web_724&fastColumn=102&sortEnd=&pageSize=50&req_trace=1795435200000"
    assert ADDRESS == "https://np-weblist.eastmoney.com/comm/web/getFastNewsList"
    assert (asked.headers, asked.form) == ({"referer": "https://kuaixun.eastmoney.com/"}, None)
    assert "fastColumn=103&" in SOURCE.request(feed(column="103"), now=NOON).url


def test_the_older_list_is_asked_for_where_it_is_wished() -> None:
    assert SOURCE.request(feed(form="legacy"), now=NOON).url == "https://newsapi.eastmoney.com/kuaixun/v1/getlist_102_ajaxResult_50_1_.html"
    assert SOURCE.request(feed(form="legacy", column="../1"), now=NOON).url.endswith("/getlist_..%2F1_ajaxResult_50_1_.html")
    with pytest.raises(ConfigError, match="list, legacy"):
        feed(form="old")


@pytest.mark.parametrize(
    ("raw", "at", "precision"),
    [
        ("2026-11-23 19:58:30", datetime(2026, 11, 23, 11, 58, 30, tzinfo=UTC), Precision.SECOND),
        ("2026-11-23 00:00:05", datetime(2026, 11, 22, 16, 0, 5, tzinfo=UTC), Precision.SECOND),
        ("2026-11-23 15:00", datetime(2026, 11, 23, 7, 0, tzinfo=UTC), Precision.MINUTE),
    ],
)
def test_a_clock_is_beijings(raw: str, at: datetime, precision: Precision) -> None:
    found = only(showTime=raw)
    assert (found.published_at, found.published_precision) == (at, precision)
    (old,) = read(legacy({"newsid": "1", "title": "标题", "showtime": raw})).documents
    assert (old.published_at, old.published_precision) == (at, precision)


@pytest.mark.parametrize("raw", [str(NOON + timedelta(hours=9)), "11-23 19:00", "昨天"])
def test_a_time_that_cannot_be_is_kept_as_it_came(raw: str) -> None:
    found = only(showTime=raw)
    assert (found.published_at, found.extra["published_raw"]) == (None, raw)


@pytest.mark.parametrize("code", [0, "0", "1", 1, None, 200, {}])
def test_the_list_decides_and_not_the_code(code: Any) -> None:
    assert len(read(listed({"code": "1", "title": "标题"}, code=code)).documents) == 1
    assert read(listed(code=code)) == Parsed([])


@pytest.mark.parametrize("data", [None, "", [], {}, {"fastNewsList": None}, {"fastNewsList": ""}])
def test_a_list_that_is_missing_is_a_changed_page(data: Any) -> None:
    with pytest.raises(PageChanged, match="code 9"):
        read(listed(data=data, code="9"))


def test_a_flash_is_the_same_in_both_lists() -> None:
    said = {"title": "标题", "summary": "【标题】正文"}
    (new,) = read(listed({"code": "202611230000000001", **said})).documents
    (old,) = read(legacy({"newsid": 202611230000000001, "title": "标题", "digest": "【标题】正文"})).documents
    assert new.doc_id == old.doc_id == doc_id_of("eastmoney", "202611230000000001")
    assert (new.title, new.text, new.url) == (old.title, old.text, old.url) == ("标题", "正文", "https://finance.eastmoney.com/a/202611230000000001.html")
    assert (new.kind, new.publisher) == (DocumentKind.FLASH, "eastmoney.com")
    assert read(legacy() + ";") == Parsed([])


def test_a_title_is_told_once() -> None:
    assert (only(title="", summary="【欧洲央行】正文").title, only(title=None, summary="【欧洲央行】正文").text) == ("欧洲央行", "正文")
    assert only(title="播报", summary="【欧洲央行】正文").text == "【欧洲央行】正文"
    assert only(title="标题", summary="标题").text == ""


@pytest.mark.parametrize(
    ("raw", "symbols"),
    [
        (["1.600519", "1.688981", "1.600519"], ["XSHG:600519", "XSHG:688981"]),
        (["0.000001", "0.300750", "0.200002"], ["XSHE:000001", "XSHE:300750", "XSHE:200002"]),
        (["0.430047", "0.830799", "0.920002"], ["XBSE:430047", "XBSE:830799", "XBSE:920002"]),
        (["116.00700", "105.AAPL", "106.BRK_A", "107.SPY"], ["XHKG:00700", "XNAS:AAPL", "XNYS:BRK_A", "XASE:SPY"]),
        (["90.BK0475", "100.HSI", "1.60051", "1.６００５１９", "600519", "", None, {"code": "600519"}, "1.600519 "], []),
        ("1.600519", []),
        (None, []),
    ],
)
def test_listings_are_those_whose_exchange_is_said(raw: Any, symbols: list[str]) -> None:
    assert only(stockList=raw).symbols == symbols


@given(st.lists(st.text() | st.integers() | st.none()))
def test_no_list_of_stocks_costs_a_text(raw: list[Any]) -> None:
    assert only(stockList=raw).title == "标题"


def test_a_bad_row_costs_only_itself() -> None:
    found = read(listed({"title": "坏"}, {"code": "../1", "title": "坏"}, 5, {"code": "2"}, {"code": "3", "title": "好"}, {"code": 3, "title": "好"}))
    assert [document.native_id for document in found.documents] == ["3"]
    assert sorted(problem.reason for problem in found.problems) == ["duplicate", "empty", "invalid", "invalid", "invalid"]


def test_a_web_page_is_a_wall() -> None:
    with pytest.raises(SourceWalled):
        read("<html><head><title>403</title></head></html>")
