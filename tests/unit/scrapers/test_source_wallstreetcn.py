from __future__ import annotations

import json
from datetime import timedelta
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
from scrapers.sources.wallstreetcn import ADDRESS, SOURCE, parse
from tests.support.records import NOON


def feed(**options: str) -> Feed:
    return fitted(Feed(source="wallstreetcn", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(body: str | bytes, *, key: bytes = b"") -> Parsed:
    raw = body if isinstance(body, bytes) else body.encode()
    return parse(Response(url=ADDRESS, body=raw, fetched_at=NOON), feed=feed(), author_key=key)


def listed(*rows: Any, **fields: Any) -> str:
    return json.dumps({"code": 20000, "message": "OK", "data": {"items": rows}} | fields, ensure_ascii=False)


def only(**fields: Any) -> Document:
    (document,) = read(listed({"id": 7, "content_text": "正文"} | fields)).documents
    return document


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert (asked.url, asked.headers, asked.form) == ("https://api-one.wallstcn.com/apiv1/content/lives?channel=global-channel&limit=30", {}, None)
    assert "channel=us-stock-channel&" in SOURCE.request(feed(channel="us-stock-channel"), now=NOON).url
    assert "channel=a%26b&" in SOURCE.request(feed(channel="a&b"), now=NOON).url
    with pytest.raises(ConfigError):
        feed(kanal="x")


@given(ago=st.timedeltas(min_value=timedelta(minutes=-10), max_value=timedelta(days=9_000)))
def test_an_epoch_in_seconds_is_that_instant(ago: timedelta) -> None:
    at = (NOON - ago).replace(microsecond=0) if ago > timedelta(0) else NOON
    seconds = int(at.timestamp())
    found = only(display_time=seconds)
    assert (found.published_at, found.published_precision) == (at, Precision.SECOND)
    assert only(display_time=str(seconds)).published_at == at


@pytest.mark.parametrize("raw", [1795435110000, 1795521510, "昨天", 0])
def test_a_time_that_cannot_be_is_kept_as_it_came(raw: Any) -> None:
    found = only(display_time=raw)
    assert (found.published_at, found.published_precision, found.extra["published_raw"]) == (None, None, str(raw))


def test_the_number_is_the_id_whatever_the_text_and_however_it_is_written() -> None:
    assert only().doc_id == only(id="7", title="别的").doc_id == doc_id_of("wallstreetcn", "7")
    assert only().kind == DocumentKind.FLASH
    assert (only().publisher, only().engagement) == ("wallstreetcn.com", None)


@pytest.mark.parametrize("wrong", [None, "", "../7", "7\n", [], "七"])
def test_a_row_without_a_number_costs_only_itself(wrong: Any) -> None:
    found = read(listed({"id": wrong, "content_text": "坏"}, {"id": 8, "content_text": "好"}))
    assert [document.native_id for document in found.documents] == ["8"]
    assert [problem.reason for problem in found.problems] == ["invalid"]


def test_the_link_is_the_sites_own_else_made_of_the_number() -> None:
    assert only(uri="https://wallstreetcn.com/premium/7").url == "https://wallstreetcn.com/premium/7"
    assert only(uri="/livenews/7").url == only(uri="").url == only(uri="javascript:x").url == "https://wallstreetcn.com/livenews/7"


def test_what_goes_on_behind_the_fold_is_part_of_the_text() -> None:
    assert only(content="<p>前</p>", content_more="<p>后</p>").text == "前\n后"
    assert only(content_text="【题】前", content_more="<p>后</p>").text == "【题】前\n后"  # one character is no title
    found = only(content_text="【标题】前", content_more="<p>后</p>")
    assert (found.title, found.text) == ("标题", "前\n后")


def test_a_title_in_brackets_that_is_another_stays_in_the_text() -> None:
    found = only(title="盘前必读", content_text="【示例科技】挂牌")
    assert (found.title, found.text) == ("盘前必读", "【示例科技】挂牌")


def test_labels_are_what_the_site_says_and_trimmings_cost_no_text() -> None:
    assert only(score=2, channels=["global-channel"]).labels == {"importance": 2, "channels": ["global-channel"]}
    assert only(score="x", channels={}, author=[]).labels == only().labels == {}


def test_an_author_is_hashed_or_left_out() -> None:
    body = listed({"id": 7, "content_text": "正文", "author": {"display_name": "编辑"}})
    assert read(body).documents[0].author_hash is None
    assert "编辑" not in str(read(body, key=b"key").documents[0])
    assert read(body, key=b"key").documents[0].author_hash


def test_an_id_occurs_once() -> None:
    found = read(listed({"id": 7, "content_text": "一"}, {"id": "7", "content_text": "二"}))
    assert ([document.text for document in found.documents], found.problems[0].reason) == (["一"], "duplicate")


@pytest.mark.parametrize("data", [None, "", [], {}, {"items": None}, {"items": {}}])
def test_a_list_that_is_missing_is_a_changed_page(data: Any) -> None:
    with pytest.raises(PageChanged):
        read(listed(data=data))


def test_an_error_of_the_site_is_told_with_its_number_even_beside_a_list() -> None:
    with pytest.raises(PageChanged, match="60301"):
        read(listed({"id": 7, "content_text": "正文"}, code=60301))
    assert len(read(listed({"id": 7, "content_text": "正文"}, code="20000")).documents) == 1


def test_an_empty_list_is_one_and_a_web_page_is_a_wall() -> None:
    assert read(listed()) == Parsed([])
    with pytest.raises(SourceWalled):
        read("<!DOCTYPE html><title>验证</title>")
