from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceWalled
from opinion.records import Document, DocumentKind, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.ths import ADDRESS, SOURCE, parse
from tests.support.records import NOON

URL = "https://news.10jqka.com.cn/20261123/c672900001.shtml"


def feed(**options: str) -> Feed:
    return fitted(Feed(source="ths", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(body: str | bytes, **headers: str) -> Parsed:
    raw = body if isinstance(body, bytes) else body.encode()
    return parse(Response(url=ADDRESS, headers=headers, body=raw, fetched_at=NOON), feed=feed())


def listed(*rows: Any) -> str:
    return json.dumps({"code": "200", "data": {"list": rows}}, ensure_ascii=False)


def only(**fields: Any) -> Document:
    (document,) = read(listed({"url": URL, "title": "标题", "digest": "正文"} | fields)).documents
    return document


@pytest.fixture
def elsewhere() -> Iterator[None]:
    """A machine whose clock is not in UTC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "America/New_York")
        time.tzset()
        yield
    time.tzset()


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert (asked.url, asked.form) == ("https://news.10jqka.com.cn/tapp/news/push/stock?page=1&tag=&track=website", None)
    assert list(asked.headers) == ["referer"]
    assert "tag=-21101&" in SOURCE.request(feed(tag="-21101"), now=NOON).url


def test_an_epoch_is_read_as_one_whatever_the_zone_of_the_machine(elsewhere: None) -> None:
    found = only(rtime="1795435110")
    assert (found.published_at, found.published_precision) == (datetime(2026, 11, 23, 11, 58, 30, tzinfo=UTC), Precision.SECOND)
    assert only(rtime=1795435110).published_at == found.published_at


@pytest.mark.parametrize("raw", ["1795435110000", "1795521510", "昨天", "0"])
def test_a_time_that_cannot_be_is_kept_as_it_came(raw: str) -> None:
    found = only(rtime=raw)
    assert (found.published_at, found.extra["published_raw"]) == (None, raw)


def test_the_number_in_the_address_is_the_id_else_the_address() -> None:
    assert only().native_id == "672900001"
    assert only(url=URL.replace("https", "http") + "?x=1").doc_id == only(title="别的").doc_id
    assert only(url="//news.10jqka.com.cn/a/b.html?utm_source=x").native_id == "https://news.10jqka.com.cn/a/b.html"


def test_only_shares_whose_exchange_is_said_are_symbols() -> None:
    stocks = [{"stockCode": "600519", "stockMarket": "17"}, {"stockCode": "300750", "stockMarket": 33}, {"stockCode": "NVDA", "stockMarket": "185"}, {"stockCode": "000001"}]
    assert only(stock=stocks).symbols == ["XSHG:600519", "XSHE:300750"]


@pytest.mark.parametrize("wrong", ["", "600519", {"a": 1}, [1], 7])
def test_wrong_trimmings_cost_no_text(wrong: Any) -> None:
    found = only(stock=wrong, tags=wrong)
    assert (found.title, found.symbols, found.labels) == ("标题", [], {})


def test_a_title_in_brackets_is_a_title_and_said_once() -> None:
    assert (only(title="", digest="【央行】净投放").title, only(title="", digest="【央行】净投放").text) == ("央行", "净投放")
    assert only(title="央行", digest="【央行】净投放").text == "净投放"
    assert only(title="别的", digest="【央行】净投放").text == "【央行】净投放"
    assert only().kind is DocumentKind.FLASH


def test_national_charset_is_read_whatever_the_label_says() -> None:
    body = listed({"url": URL, "title": "沪深两市成交额连续三日超过一万亿元"})
    (found,) = read(body.encode("gb18030"), **{"content-type": "application/json; charset=gb2312"}).documents
    assert found.title == "沪深两市成交额连续三日超过一万亿元"
    assert read(body.encode(), **{"content-type": "application/json; charset=gb2312"}).documents[0].title == found.title


def test_an_empty_list_is_an_outcome_and_no_list_is_an_error() -> None:
    assert read(listed()) == Parsed([])
    for body in ('{"code": "500", "data": null}', '{"code": "500"}', '{"code": "500", "data": {"list": null}}'):
        with pytest.raises(PageChanged, match="500"):
            read(body)
    with pytest.raises(SourceWalled):
        read("<!DOCTYPE html><html></html>")


def test_one_bad_row_does_not_cost_the_others() -> None:
    found = read(
        listed({"title": "无地址"}, {"url": URL, "title": "好"}, {"url": URL, "title": "好"}, {"url": URL.replace("1.s", "2.s")}, {"url": "javascript:void(0)", "title": "x"})
    )
    assert [document.title for document in found.documents] == ["好"]
    assert [problem.reason for problem in found.problems] == ["invalid", "duplicate", "empty", "invalid"]
