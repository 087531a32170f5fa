"""股吧 Guba: titles of posts on one share, out of the page guba.eastmoney.com/list,<code>.html that is made for people.

Form of the page as of 2026-11-23, as public clients read it; not tried against the live site, which shows a slider to busy addresses: that is a wall, and stays one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec

from opinion.errors import PageChanged, SourceWalled
from opinion.records import DocumentKind, Engagement
from opinion.settings import Feed
from scrapers.build import Item, documents_of, exchange_symbol
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.sources.cninfo import listing
from scrapers.wire import beijing, item_of, text_of

NAME = "guba"
ADAPTER_VERSION = 1
ADDRESS = "https://guba.eastmoney.com/"

_LIST = re.compile(r"\barticle_list\s*=\s*(?=\{)")
_WALL = re.compile(r"验证|滑块|滑动|captcha|访问过于频繁|访问受限|请登录", re.IGNORECASE)
_SCRIPT = json.JSONDecoder(strict=False)


class _User(msgspec.Struct):
    user_id: str | int | None = None


class _Row(msgspec.Struct):
    post_id: int | str
    post_title: str | None = None
    post_content: str | None = None
    post_publish_time: str | None = None  # Beijing clock
    stockbar_code: str | None = None
    user_id: str | int | None = None
    post_user: _User | None = None
    post_click_count: int | None = None
    post_comment_count: int | None = None
    post_like_count: int | None = None
    post_forward_count: int | None = None


class _List(msgspec.Struct):
    re: list[Any]
    bar_code: str | None = None


def ask(feed: Feed, _now: datetime) -> Ask:
    """The first page of a bar; it is sorted by the last reply."""
    cookie = feed.option("cookie")
    return Ask(url=f"{ADDRESS}list,{quote(feed.option('code'), safe='')}.html", headers={"cookie": cookie} if cookie else {}, page=True)


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The posts of the bar; those that the page mixes in from others are left out.

    Errors:
        PageChanged: no list in the page.
        SourceWalled: a challenge or login page.
    """
    listed = _listed(text_of(response))
    bar = (listed.bar_code or feed.option("code")).lower()
    return documents_of(_items(listed.re, bar, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _listed(page: str) -> _List:
    """The list that a script of the page sets."""
    begin = _LIST.search(page)
    if begin is None:
        raise SourceWalled("a challenge or login page instead of posts") if _WALL.search(page) else PageChanged("no list of posts in the page")
    try:
        found, _ = _SCRIPT.raw_decode(page, begin.end())
    except (ValueError, RecursionError) as error:
        raise PageChanged("the list of posts is cut off or broken") from error
    listed = item_of(found, _List)
    if isinstance(listed, str):
        raise PageChanged(f"a list of posts of another form: {listed}")
    return listed


def _items(rows: list[Any], bar: str, response: Response) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        if isinstance(row, str):
            yield Problem("invalid", row)
            continue
        code = (row.stockbar_code or "").lower()
        if code != bar:  # another bar, or none: an advertisement
            continue
        at, precision = beijing(row.post_publish_time or "", fetched_at=response.fetched_at)
        symbol = listing(code) or exchange_symbol(code)
        yield Item(
            native_id=str(row.post_id),
            title=row.post_title or "",
            text=row.post_content or "",
            url=f"{ADDRESS}news,{quote(code, safe='')},{row.post_id}.html",
            published_at=at,
            precision=precision,
            published_raw=row.post_publish_time or "",
            author=_author(row),
            symbols=[symbol] if symbol else [],
            engagement=_engagement(row),
        )


def _author(row: _Row) -> str:
    user_id = row.user_id or (row.post_user.user_id if row.post_user else None)
    return str(user_id or "")


def _engagement(row: _Row) -> Engagement | None:
    found = Engagement(likes=row.post_like_count, reposts=row.post_forward_count, replies=row.post_comment_count, views=row.post_click_count)
    return None if found == Engagement() else found


MANNERS = Manners(
    stability="red",
    interval_s=300,
    kind=DocumentKind.SOCIAL,
    publisher="guba.eastmoney.com",
    terms="pages for people: the operator answers for reading them by program; titles only, authors never kept",
    tried="not tried live; form of the page as documented 2026-11-23 (client code read)",
    options={"code": "the bar, e.g. 600519, hk00700 or zssh000001", "cookie": "Cookie header of a session of your own, where the site asks for one"},
    needs=("code",),
)
SOURCE = Source(NAME, ("股吧",), parse, MANNERS, ask)
