from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from opinion.errors import ConfigError, PageChanged, SourceRateLimited, SourceWalled
from opinion.records import Document, DocumentKind, Engagement, Precision
from opinion.settings import Feed
from scrapers.source import Parsed, Response, fitted
from scrapers.sources.weibo import ADDRESS, SOURCE, parse
from tests.support.records import NOON


def feed(query: str = "贵州茅台") -> Feed:
    return fitted(Feed(source="weibo", options={"query": SecretStr(query), "cookie": SecretStr("SUB=own")}))[1]


def read(answer: Any, *, fetched_at: datetime = NOON, key: bytes = b"") -> Parsed:
    body = answer if isinstance(answer, str) else json.dumps(answer)
    return parse(Response(url=ADDRESS, body=body.encode(), fetched_at=fetched_at), feed=feed(), author_key=key)


def found_cards(*cards: Any) -> dict[str, Any]:
    return {"ok": 1, "data": {"cards": cards}}


def card(**fields: Any) -> dict[str, Any]:
    return {"card_type": 9, "mblog": {"id": "1", "text": "站稳了"} | fields}


def only(*, fetched_at: datetime = NOON, key: bytes = b"", **fields: Any) -> Document:
    (document,) = read(found_cards(card(**fields)), fetched_at=fetched_at, key=key).documents
    return document


def test_the_request_is_the_search_with_the_operators_session() -> None:
    asked = SOURCE.request(feed("茅台&x=1"), now=NOON)
    assert asked.url == ADDRESS + "?containerid=100103type%3D61%26q%3D%E8%8C%85%E5%8F%B0%26x%3D1%26t%3D0&page_type=searchall"
    assert ADDRESS == "https://m.weibo.cn/api/container/getIndex"
    assert (asked.form, asked.headers) == (None, {"referer": "https://m.weibo.cn/", "cookie": "SUB=own"})


def test_it_is_off_until_session_and_query_are_given() -> None:
    assert SOURCE.manners.stability == "red"
    with pytest.raises(ConfigError, match="cookie"):
        fitted(Feed(source="weibo", options={"query": SecretStr("x")}))


@pytest.mark.parametrize(
    ("said", "at", "precision"),
    [
        ("Tue Feb 23 12:28:47 +0800 2021", datetime(2021, 2, 23, 4, 28, 47, tzinfo=UTC), Precision.SECOND),
        ("Mon Nov 23 06:59:59 -0500 2026", datetime(2026, 11, 23, 11, 59, 59, tzinfo=UTC), Precision.SECOND),
        ("刚刚", datetime(2026, 11, 23, 12, 0, tzinfo=UTC), Precision.MINUTE),
        ("5分钟前", datetime(2026, 11, 23, 11, 55, tzinfo=UTC), Precision.MINUTE),
        ("５分鐘前", datetime(2026, 11, 23, 11, 55, tzinfo=UTC), Precision.MINUTE),
        ("今天 09:05", datetime(2026, 11, 23, 1, 5, tzinfo=UTC), Precision.MINUTE),
        ("昨天 23:05", datetime(2026, 11, 22, 15, 5, tzinfo=UTC), Precision.MINUTE),
        ("2026-11-20", datetime(2026, 11, 19, 16, 0, tzinfo=UTC), Precision.DAY),
        ("2小时前", None, None),
        ("11-20", None, None),
        ("今天 23:59", None, None),
        ("Tue Foo 23 12:28:47 +0800 2021", None, None),
        ("昨天 25:99", None, None),
    ],
)
def test_times_are_exact_true_to_the_minute_or_not_given(said: str, at: datetime | None, precision: Precision | None) -> None:
    found = only(created_at=said, fetched_at=NOON + timedelta(seconds=40))
    assert (found.published_at, found.published_precision) == (at, precision)
    assert found.extra.get("published_raw") == (said if at is None else None)


def test_yesterday_is_that_of_beijing() -> None:
    after_midnight = datetime(2026, 11, 23, 16, 10, tzinfo=UTC)  # ten past midnight of the 24th
    assert only(created_at="昨天 23:05", fetched_at=after_midnight).published_at == datetime(2026, 11, 23, 15, 5, tzinfo=UTC)


@given(st.integers(min_value=1, max_value=59), st.integers(min_value=0, max_value=86_399))
def test_minutes_ago_are_counted_from_the_minute_of_fetching(minutes: int, second: int) -> None:
    fetched_at = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=second)
    at = only(created_at=f"{minutes}分钟前", fetched_at=fetched_at).published_at
    assert at is not None
    assert timedelta(minutes=minutes) <= fetched_at - at < timedelta(minutes=minutes + 1)


def test_groups_of_cards_are_followed_but_not_for_ever() -> None:
    cards: list[Any] = [card()]
    for _ in range(3):
        cards = [{"card_type": 11, "card_group": cards}]
    assert len(read(found_cards(*cards)).documents) == 1
    for _ in range(200):
        cards = [{"card_type": 11, "card_group": cards}]
    assert read(found_cards(*cards)) == Parsed([])


def test_cards_of_other_kinds_are_no_posts() -> None:
    assert read(found_cards({"card_type": 10, "user": {"id": 1}}, {"card_type": 9}, {"card_type": 11, "card_group": None}, "x", None)) == Parsed([])


def test_advertisements_are_dropped() -> None:
    assert read(found_cards(card(promotion={"type": "ad"}))) == Parsed([])
    assert len(read(found_cards(card(promotion=None))).documents) == 1


def test_a_repost_names_what_it_reposts_even_where_that_is_gone() -> None:
    assert only(retweeted_status={"id": 5220000009, "user": None, "text": "已删除"}).parent_id == "5220000009"
    assert only().parent_id is None
    assert only(retweeted_status={"id": "5", "text": "别人的话"}).text == "站稳了"


def test_nobody_is_named() -> None:
    text = "<a href='/n/张三'>@张三</a>怎么看//<a href='/n/李四-2'>@李四-2</a>:看好"
    found = only(key=b"k", text=text, user={"id": 1000000001, "screen_name": "王五"})
    assert found.text == "@user 怎么看//@user :看好"
    assert found.author_hash is not None
    assert not any(name in json.dumps([found.text, found.url, found.labels, found.extra], ensure_ascii=False) for name in ("张三", "李四", "王五", "1000000001"))
    assert only(key=b"k", user=None).author_hash is None


def test_a_long_text_is_known_to_be_cut() -> None:
    found = only(text='很长的话 ...<a href="/status/1">全文</a>', isLongText=True)
    assert (found.text, found.labels) == ("很长的话 ...", {"long_text": True})
    assert only().labels == {}


def test_shares_are_those_tagged() -> None:
    assert only(text='<a href="x">$贵州茅台 sh600519$</a>好 $腾讯控股 hk00700$ $茅台$ $100').symbols == ["XSHG:600519", "XHKG:00700"]


@pytest.mark.parametrize(("said", "likes"), [(3, 3), ("3", 3), ("100万+", None), (None, None)])
def test_counts_are_numbers_or_unknown(said: Any, likes: int | None) -> None:
    assert only(attitudes_count=said, comments_count=0).engagement == Engagement(likes=likes, replies=0)
    assert only().engagement is None


def test_pictures_may_be_of_either_form() -> None:
    assert only(pics=[{"pid": "a"}]).doc_id == only(pics={"0": {"pid": "a"}}).doc_id
    assert (only().url, only().kind) == ("https://m.weibo.cn/status/1", DocumentKind.SOCIAL)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"ok": -100, "errno": "20003", "url": "https://passport.weibo.com/"}, SourceWalled),
        ({"ok": -100, "data": {"cards": []}}, SourceWalled),
        ({"ok": 0, "message": "请先登录"}, SourceWalled),
        ({"ok": 0, "errno": 100005, "msg": "x"}, SourceRateLimited),
        ({"ok": 0, "msg": "请求过于频繁，歇歇吧"}, SourceRateLimited),
        ({"ok": 0, "errno": "7"}, PageChanged),
        ({"ok": 1, "data": {}}, PageChanged),
        ({"ok": 1, "data": "x"}, PageChanged),
        ("<!DOCTYPE html><form></form>", SourceWalled),
    ],
)
def test_a_refusal_is_known_for_what_it_is(answer: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(answer)


def test_nothing_found_is_an_outcome() -> None:
    assert read({"ok": 0, "msg": "这里还没有内容", "data": {"cards": []}}) == Parsed([])


def test_one_bad_row_does_not_cost_the_others() -> None:
    found = read(found_cards({"card_type": 9, "mblog": {"text": "x"}}, card(), card(text="改过的"), card(id=2, text="<i></i>")))
    assert [document.native_id for document in found.documents] == ["1"]
    assert [problem.reason for problem in found.problems] == ["invalid", "duplicate", "empty"]
