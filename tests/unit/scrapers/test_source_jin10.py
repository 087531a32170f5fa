from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceWalled
from opinion.names import doc_id_of
from opinion.records import Document, DocumentKind, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.jin10 import ADDRESS, SOURCE, parse
from tests.support.records import NOON


def feed(**options: str) -> Feed:
    return fitted(Feed(source="jin10", options={name: SecretStr(value) for name, value in options.items()}))[1]


def read(body: str | bytes, *, key: bytes = b"") -> Parsed:
    raw = body if isinstance(body, bytes) else body.encode()
    return parse(Response(url=ADDRESS, body=raw, fetched_at=NOON), feed=feed(), author_key=key)


def listed(*rows: Any) -> str:
    return "var newest = " + json.dumps(rows, ensure_ascii=False) + ";"


def row(content: str = "正文", **fields: Any) -> dict[str, Any]:
    return {"id": "20261123195830123800", "type": 0, "data": {"content": content}} | fields


def only(content: str = "正文", **fields: Any) -> Document:
    (document,) = read(listed(row(content, **fields))).documents
    return document


def test_the_request_is_the_documented_one() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert (asked.url, asked.form) == ("https://www.jin10.com/flash_newest.js?t=1795435200000", None)
    assert asked.headers == {"referer": "https://www.jin10.com/"}


@pytest.mark.parametrize(
    ("raw", "at"),
    [("2026-11-23 19:58:30", datetime(2026, 11, 23, 11, 58, 30, tzinfo=UTC)), ("2026-11-23 00:00:01", datetime(2026, 11, 22, 16, 0, 1, tzinfo=UTC)), ("2026-11-23 20:00:00", NOON)],
)
def test_a_clock_is_beijings(raw: str, at: datetime) -> None:
    assert (only(time=raw).published_at, only(time=raw).published_precision) == (at, Precision.SECOND)


@pytest.mark.parametrize("raw", ["2026-11-24 04:00:00", "19:49:00", "2026-11-23T11:56:00.000Z"])
def test_a_time_that_cannot_be_is_kept_as_it_came(raw: str) -> None:
    assert (only(time=raw).published_at, only(time=raw).extra["published_raw"]) == (None, raw)


@pytest.mark.parametrize("wrap", ["var newest = {};", "var newest={}", "newest = {} ;\n", "\ufefflet newest =\n{};"])
def test_the_assignment_is_stripped(wrap: str) -> None:
    body = wrap.replace("{}", json.dumps([row("分号];在正文里")]))
    assert [document.text for document in read(body).documents] == ["分号];在正文里"]


def test_figures_and_advertisements_are_dropped_without_a_word() -> None:
    figure = row(type=1, data={"name": "示例指数", "actual": "50.1"}, id="1")
    found = read(listed(figure, row(type="1", id="2"), row(channel=[1, 5], id="3"), row(channel=["5"], id="4"), row(channel=[1], id="5"), row(type=2, id="6")))
    assert ([document.native_id for document in found.documents], found.problems) == (["5", "6"], [])


@pytest.mark.parametrize("lock", [True, 1, "1"])
def test_what_is_for_subscribers_is_left_out_whatever_is_shown_instead(lock: Any) -> None:
    locked = row(data={"content": "看到这里请开通", "lock": lock, "vip_title": "标题"})
    found = read(listed(locked, row(id="2", data={"content": "正文", "lock": False})))
    assert ([document.native_id for document in found.documents], [problem.reason for problem in found.problems]) == (["2"], ["empty"])
    assert "开通" not in str(found)


def test_a_title_is_told_once_whatever_its_weight() -> None:
    for content in ("【标题】正文", "<b>【标题】正文</b>", '<span class="x"><b> 【标题】</b>正文</span>', "【<b>标题</b>】正文"):
        assert (only(content).title, only(content).text) == ("标题", "正文")
    other = only(data={"content": "【标题】正文", "title": "播报"})
    assert (other.title, other.text) == ("播报", "【标题】正文")
    assert only("<b>重要</b> &amp;lt;b&amp;gt;").text == "重要 &lt;b&gt;"


def test_labels_are_what_the_site_says() -> None:
    assert only(important=1, channel=[1, "3"]).labels == {"importance": 1, "channels": [1, 3]}
    assert only(important=None, channel="x").labels == {}
    assert only(important=0).labels == {"importance": 0}


def test_a_document_is_named_and_linked_by_its_number() -> None:
    found = only()
    assert found.doc_id == only("别的").doc_id == doc_id_of("jin10", "20261123195830123800")
    assert (found.url, found.publisher, found.kind, found.engagement) == ("https://flash.jin10.com/detail/20261123195830123800", "jin10.com", DocumentKind.FLASH, None)


def test_a_bad_row_costs_only_itself() -> None:
    found = read(listed({"data": {"content": "坏"}}, row(data="坏", id="1"), row("", id="2"), row(id="3"), row(id="3"), row(id="a/b"), 5))
    assert [document.native_id for document in found.documents] == ["3"]
    assert sorted(problem.reason for problem in found.problems) == ["duplicate", "empty", "invalid", "invalid", "invalid", "invalid"]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_no_row_whatever_costs_the_others(strange: Any) -> None:
    found = read(listed(strange, row()))
    assert [document.native_id for document in found.documents] == ["20261123195830123800"]


@pytest.mark.parametrize("body", ["", "window.location.href = '/verify';", 'var newest = {"status":200};', "var newest = [", "[{"])
def test_another_script_is_a_changed_page(body: str) -> None:
    with pytest.raises(PageChanged):
        read(body)


def test_an_empty_list_is_one_and_a_web_page_is_a_wall() -> None:
    assert read("var newest = [];") == Parsed([])
    with pytest.raises(SourceWalled):
        read("<html><script>location='/verify'</script></html>")
