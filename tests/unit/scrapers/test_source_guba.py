from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.records import Document, DocumentKind, Engagement, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.guba import ADDRESS, SOURCE, parse
from tests.support.records import NOON


def feed(code: str = "600519", **options: str) -> Feed:
    given = options | {"code": code}
    return fitted(Feed(source="guba", options={name: SecretStr(value) for name, value in given.items()}))[1]


def read(page: str, *, code: str = "600519", key: bytes = b"") -> Parsed:
    return parse(Response(url=ADDRESS, body=page.encode(), fetched_at=NOON), feed=feed(code), author_key=key)


def listed(*rows: Any, **fields: Any) -> str:
    return f"<html><script>var article_list={json.dumps({'re': rows} | fields, ensure_ascii=False)};    var other_list={{}};</script></html>"


def post(**fields: Any) -> dict[str, Any]:
    return {"post_id": 1, "post_title": "回调到位了吗", "post_publish_time": "2026-11-23 19:41:05", "stockbar_code": "600519"} | fields


def only(*, key: bytes = b"", code: str = "600519", **fields: Any) -> Document:
    (document,) = read(listed(post(stockbar_code=code) | fields), code=code, key=key).documents
    return document


def test_the_request_is_the_page_of_the_bar() -> None:
    asked = SOURCE.request(feed(), now=NOON)
    assert (asked.url, asked.form, asked.headers) == ("https://guba.eastmoney.com/list,600519.html", None, {})
    assert SOURCE.request(feed(cookie="qgqp_b_id=1"), now=NOON).headers == {"cookie": "qgqp_b_id=1"}
    assert SOURCE.request(feed("a/../b"), now=NOON).url == "https://guba.eastmoney.com/list,a%2F..%2Fb.html"


def test_it_is_off_until_a_bar_is_named() -> None:
    assert SOURCE.manners.stability == "red"
    with pytest.raises(ConfigError, match="code"):
        fitted(Feed(source="guba"))


def test_a_post_is_as_the_page_says() -> None:
    found = only(post_click_count=9, post_comment_count=0, post_content="还行")
    assert (found.published_at, found.published_precision) == (datetime(2026, 11, 23, 11, 41, 5, tzinfo=UTC), Precision.SECOND)
    assert (found.title, found.text, found.kind) == ("回调到位了吗", "还行", DocumentKind.SOCIAL)
    assert found.url == "https://guba.eastmoney.com/news,600519,1.html"
    assert found.engagement == Engagement(replies=0, views=9)
    assert only().engagement is None


def test_posts_of_other_bars_and_of_none_are_left_out() -> None:
    found = read(listed(post(stockbar_code="000001"), post(), {"post_id": 3, "post_title": "开户送好礼"}))
    assert [document.native_id for document in found.documents] == ["1"]
    assert found.problems == []


@given(st.lists(st.sampled_from(["600519", "000001", "zssh000001", "", None]), max_size=12))
def test_exactly_the_posts_of_the_bar_are_kept(bars: list[str | None]) -> None:
    rows = [post(post_id=number, stockbar_code=bar) for number, bar in enumerate(bars)]
    found = read(listed(*rows)).documents
    assert [document.native_id for document in found] == [str(number) for number, bar in enumerate(bars) if bar == "600519"]


def test_the_page_knows_its_bar_better_than_the_option() -> None:
    assert len(read(listed(post(), bar_code="600519"), code="unused").documents) == 1
    assert read(listed(post()), code="unused").documents == []


@pytest.mark.parametrize(
    ("bar", "symbols"), [("600519", ["XSHG:600519"]), ("hk00700", ["XHKG:00700"]), ("HK00700", ["XHKG:00700"]), ("zssh000001", []), ("usaapl", []), ("bk0910", [])]
)
def test_a_bar_of_a_share_is_its_symbol(bar: str, symbols: list[str]) -> None:
    assert only(code=bar).symbols == symbols


def test_text_that_looks_like_the_end_of_the_list_is_text() -> None:
    assert only(post_title="}]};    var other_list={").title == "}]}; var other_list={"


def test_authors_are_hashed_wherever_they_stand_and_never_named() -> None:
    found = only(key=b"k", user_id="9900777", user_nickname="甲某", post_title="@甲某 好")
    assert found.author_hash is not None
    assert found.author_hash == only(key=b"k", post_user={"user_id": 9900777}).author_hash
    assert found.title == "@user 好"


def test_a_wall_is_a_wall_and_another_page_is_another_page() -> None:
    with pytest.raises(SourceWalled):
        read("<html>请按住滑块，拖动到最右边</html>")
    for page in ("<html><div id='app'></div></html>", "<script>var article_list={'re':[]}</script>", listed(post())[:120], '<script>var article_list={"rc":0};</script>'):
        with pytest.raises(PageChanged):
            read(page)
    assert read(listed()) == Parsed([])


def test_one_bad_row_does_not_cost_the_others() -> None:
    found = read(listed({"post_title": "x", "stockbar_code": "600519"}, post(), post(), post(post_id=2, post_title=""), post(post_id=3, post_publish_time="0000-00-00 00:00:00")))
    assert [(document.native_id, document.published_at is None) for document in found.documents] == [("1", False), ("3", True)]
    assert [problem.reason for problem in found.problems] == ["invalid", "duplicate", "empty"]
