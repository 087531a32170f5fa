"""微博 Weibo: posts that a search on m.weibo.cn finds, with a session that the operator supplies.

Wire format as of 2026-11-23, as public clients encode it; not tried against the live site. Hot lists are ranks, not texts, and are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec

from opinion.errors import PageChanged, SourceError, SourceRateLimited, SourceWalled
from opinion.records import DocumentKind, Engagement, Precision
from opinion.settings import Feed
from scrapers.build import Item, documents_of, exchange_symbol
from scrapers.dates import read_date
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.wire import BEIJING, When, beijing, item_of, json_of

NAME = "weibo"
ADAPTER_VERSION = 1
ADDRESS = "https://m.weibo.cn/api/container/getIndex"
PAGE = "https://m.weibo.cn/status/"
MOST_NESTED = 4
"""Groups of cards within groups that are followed; real ones are one deep."""

_POST, _GROUP = 9, 11
_LOGIN = -100
_TOO_OFTEN = "100005"
_EXACT = re.compile(r"\w{3} (?P<month>\w{3}) (?P<day>\d{1,2}) (?P<clock>\d\d:\d\d:\d\d) (?P<zone>[+-]\d{4}) (?P<year>\d{4})", re.ASCII)
_AGO = re.compile(r"(?P<minutes>\d{1,2})\s*分[钟鐘]前")
_DAY = re.compile(r"(?P<day>今天|昨天)\s*(?P<hour>\d{1,2}):(?P<minute>\d\d)")
_MORE = re.compile(r"""<a[^>]*href=["'][^"']*/status/[^"']*["'][^>]*>\s*全文\s*</a>""")
_MENTION = re.compile(r"<a[^>]*>\s*@[^<]*</a>", re.IGNORECASE)
_CASHTAG = re.compile(r"\$[^$\s<>]{1,20} ?(?P<code>s[hz]\d{6}|bj\d{6}|hk\d{5})\$", re.ASCII | re.IGNORECASE)


class _User(msgspec.Struct):
    id: str | int | None = None


class _Reposted(msgspec.Struct):
    id: str | int | None = None


class _Post(msgspec.Struct):
    id: str | int
    text: str | None = None  # HTML
    created_at: str | None = None
    is_long_text: Any = msgspec.field(name="isLongText", default=None)
    user: _User | None = None  # null where the account or the post is gone
    reposts_count: Any = None  # a number, or words like 100万+
    comments_count: Any = None
    attitudes_count: Any = None
    retweeted_status: _Reposted | None = None
    promotion: Any = None  # there only in advertisements


class _Card(msgspec.Struct):
    card_type: int | None = None
    mblog: Any = None
    card_group: Any = None


class _Data(msgspec.Struct):
    cards: list[Any] | None = None


class _Answer(msgspec.Struct):
    ok: int | None = None
    errno: str | int | None = None
    msg: str | None = None
    message: str | None = None
    data: Any = None


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest page of a search, with the operator's own session."""
    query = urlencode({"containerid": f"100103type=61&q={feed.option('query')}&t=0", "page_type": "searchall"})
    return Ask(url=f"{ADDRESS}?{query}", headers={"referer": "https://m.weibo.cn/", "cookie": feed.option("cookie")})


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The posts that were found, without advertisements.

    Errors:
        PageChanged: no list of cards; with the number of the site's error.
        SourceRateLimited: the site says that it is asked too often.
        SourceWalled: it wants a login, or shows a web page.
    """
    answer = json_of(response, _Answer)
    data = item_of(answer.data, _Data)
    if isinstance(data, str) or data.cards is None or answer.ok == _LOGIN:
        raise _refusal(answer)
    return documents_of(_items(data.cards, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _refusal(answer: _Answer) -> SourceError:
    said = f"{answer.msg or ''}{answer.message or ''}"
    if str(answer.errno) == _TOO_OFTEN or "频繁" in said:
        return SourceRateLimited(f"asked too often; error {answer.errno}")
    if answer.ok == _LOGIN or "登录" in said:
        return SourceWalled("a login is asked for: the cookie is refused or out of date")
    return PageChanged(f"no list of cards; ok {answer.ok}, error {answer.errno}")


def _posts(cards: list[Any], *, depth: int = 0) -> Iterator[Any]:
    """The posts of cards and of groups of cards."""
    for raw in cards:
        card = item_of(raw, _Card)
        if isinstance(card, str):
            continue  # a card of another kind: users, topics, buttons
        if card.card_type == _POST and card.mblog:
            yield card.mblog
        if card.card_type == _GROUP and isinstance(card.card_group, list) and depth < MOST_NESTED:
            yield from _posts(card.card_group, depth=depth + 1)


def _items(cards: list[Any], response: Response) -> Iterable[Item | Problem]:
    for raw in _posts(cards):
        post = item_of(raw, _Post)
        if isinstance(post, str):
            yield Problem("invalid", post)
            continue
        if post.promotion:
            continue
        at, precision = _when(post.created_at or "", fetched_at=response.fetched_at)
        parent = post.retweeted_status.id if post.retweeted_status else None
        yield Item(
            native_id=str(post.id),
            text=_MENTION.sub("@user ", _MORE.sub("", post.text or "")),  # only the link says where a name ends: Chinese goes on without a space
            url=f"{PAGE}{post.id}",  # not under the author's number, as on the site
            published_at=at,
            precision=precision,
            published_raw=post.created_at or "",
            author=str(post.user.id or "") if post.user else "",
            symbols=_symbols(post.text or ""),
            labels={"long_text": True} if post.is_long_text else {},
            engagement=_engagement(post),
            parent_id=None if parent is None else str(parent),
        )


def _when(raw: str, *, fetched_at: datetime) -> When:
    """The instant of a post: said with its zone, or as how long ago, which is true to the minute. "2小时前" is true to no unit of ours.

    >>> from datetime import UTC
    >>> _when("5分钟前", fetched_at=datetime(2026, 11, 23, 12, 0, 40, tzinfo=UTC))[0].isoformat()
    '2026-11-23T11:55:00+00:00'
    """
    raw = raw.strip()
    minute = fetched_at.replace(second=0, microsecond=0)
    if exact := _EXACT.fullmatch(raw):
        return read_date("{day} {month} {year} {clock} {zone}".format_map(exact.groupdict()), fetched_at=fetched_at)
    if raw in ("刚刚", "剛剛"):
        return minute, Precision.MINUTE
    if ago := _AGO.fullmatch(raw):
        return minute - timedelta(minutes=int(ago["minutes"])), Precision.MINUTE
    if day := _DAY.fullmatch(raw):
        date = minute.astimezone(BEIJING).date() - timedelta(days=day["day"] == "昨天")
        return beijing(f"{date} {int(day['hour'])}:{int(day['minute']):02}", fetched_at=fetched_at)
    return beijing(raw, fetched_at=fetched_at)


def _symbols(text: str) -> list[str]:
    """Shares that the author tagged, as `$贵州茅台 sh600519$`."""
    return [symbol for tag in _CASHTAG.finditer(text) if (symbol := exchange_symbol(tag["code"]))]


def _engagement(post: _Post) -> Engagement | None:
    found = Engagement(likes=_count(post.attitudes_count), reposts=_count(post.reposts_count), replies=_count(post.comments_count))
    return None if found == Engagement() else found


def _count(raw: Any) -> int | None:
    """A count that is said exactly; `100万+` is none."""
    found = item_of(raw, int)
    return None if isinstance(found, str) else found


MANNERS = Manners(
    stability="red",
    interval_s=300,
    kind=DocumentKind.SOCIAL,
    publisher="weibo.com",
    terms="reading by program needs the platform's leave (general knowledge; its terms were not read): the operator answers for it; authors are never kept",
    retention_days=30,
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
    options={"query": "what to search for", "cookie": "Cookie header of a session of your own; it is never made or renewed here"},
    needs=("cookie", "query"),
)
SOURCE = Source(NAME, ("微博",), parse, MANNERS, ask)
