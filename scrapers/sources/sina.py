"""新浪财经 Sina Finance: its news around the clock (7x24), as the feed of zhibo.sina.com.cn gives it, in JSON or JSONP.

Wire format as of 2026-11-23, as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from opinion.errors import PageChanged
from opinion.records import DocumentKind, Engagement
from opinion.settings import Feed
from scrapers.build import Item, bracketed, documents_of, exchange_symbol
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.text import one_line
from scrapers.urls import absolute_url
from scrapers.wire import SiteId, beijing, item_of, json_of

NAME = "sina"
ADAPTER_VERSION = 1
ADDRESS = "https://zhibo.sina.com.cn/api/zhibo/feed"
SITE = "https://finance.sina.com.cn/7x24/"
ROOM = "152"
"""The room of finance."""
PAGE_SIZE = "30"

_YES = (1, "1", True)


class _Stock(msgspec.Struct):
    market: str = ""  # cn, hk, us, ..
    symbol: str = ""


class _Ext(msgspec.Struct):
    docurl: str | None = None
    stocks: Any = None


class _Tag(msgspec.Struct):
    name: str = ""


class _Row(msgspec.Struct):
    id: SiteId  # the same in every room
    rich_text: str | None = None
    create_time: str | None = None  # Beijing
    creator: Any = None  # an editor's address; this and what follows are trimmings: what is wrong with them costs no text
    tag: Any = None
    ext: Any = None  # JSON as a string
    like_nums: Any = None
    is_focus: Any = None
    is_delete: Any = None


class _List(msgspec.Struct):
    rows: list[Any] | None = msgspec.field(name="list", default=None)


class _Data(msgspec.Struct):
    feed: _List | None = None


class _Status(msgspec.Struct):
    code: int | str | None = None


class _Result(msgspec.Struct):
    status: _Status | None = None
    data: Any = None  # [] or "" beside an error


class _Answer(msgspec.Struct):
    result: _Result | None = None


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest page of a room. Clients call the page's size by either name, the site's own page by both."""
    query = {"zhibo_id": feed.option("zhibo_id", ROOM), "page": "1", "page_size": PAGE_SIZE, "pagesize": PAGE_SIZE, "tag": "0", "dire": "f", "dpc": "1"}
    return Ask(url=f"{ADDRESS}?{urlencode(query)}")


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The news of a page, without what was deleted.

    Errors:
        PageChanged: no list; with the number of the site's error.
        SourceWalled: a web page instead of data.
    """
    result = json_of(response, _Answer).result or _Result()
    code = result.status.code if result.status else None
    data = item_of(result.data, _Data)
    if code not in (0, "0", None) or isinstance(data, str) or data.feed is None or data.feed.rows is None:
        raise PageChanged(f"no list of news; code {code}")
    return documents_of(_items(data.feed.rows, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _items(rows: list[Any], response: Response) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        if isinstance(row, str):
            yield Problem("invalid", row)
            continue
        if row.is_delete in _YES:
            continue
        at, precision = beijing(row.create_time or "", fetched_at=response.fetched_at)
        title, text = bracketed(row.rich_text or "")
        ext = _ext(row.ext)
        likes = item_of(row.like_nums, int)
        yield Item(
            native_id=str(row.id),
            title=title,
            text=text,
            url=absolute_url(ext.docurl or "", base=SITE),
            published_at=at,
            precision=precision,
            published_raw=row.create_time or "",
            author=row.creator if isinstance(row.creator, str) else "",
            symbols=_symbols(ext.stocks),
            engagement=None if isinstance(likes, str) else Engagement(likes=likes),
            labels=_labels(row),
        )


def _ext(raw: Any) -> _Ext:
    """The JSON inside the JSON; nothing where it is none."""
    try:
        return msgspec.json.decode(raw, type=_Ext, strict=False) if isinstance(raw, str) else msgspec.convert(raw, _Ext, strict=False)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _Ext()


def _symbols(raw: Any) -> list[str]:
    found = (item_of(stock, _Stock) for stock in (raw if isinstance(raw, list) else []))
    return [symbol for stock in found if not isinstance(stock, str) and (symbol := _symbol(stock))]


def _symbol(stock: _Stock) -> str | None:
    """The listing, where its exchange is said: an American one's is not."""
    code = stock.symbol.lower()
    return exchange_symbol(f"hk{code}" if stock.market == "hk" and not code.startswith("hk") else code)


def _labels(row: _Row) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    if row.is_focus in _YES:
        labels["importance"] = 1
    found = (item_of(tag, _Tag) for tag in (row.tag if isinstance(row.tag, list) else []))
    names = [name for tag in found if not isinstance(tag, str) and (name := one_line(tag.name))]
    if names:
        labels["channels"] = names
    return labels


MANNERS = Manners(
    stability="green",
    interval_s=30,
    kind=DocumentKind.FLASH,
    publisher="sina.com.cn",
    terms="no published terms for programs; the texts are the site's: what the list carries only",
    tried="not tried live; wire format as documented 2026-11-23 (client code read, partly general knowledge)",
    options={"zhibo_id": "number of the room: 152 finance (the default), 151 politics, 153 all, 155 market, 164 world, 242 sectors"},
)
SOURCE = Source(NAME, ("新浪", "新浪财经"), parse, MANNERS, ask)
