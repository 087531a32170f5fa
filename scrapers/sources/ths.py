"""同花顺 10jqka: short news of the stock market, as the push list of news.10jqka.com.cn gives it.

Wire format as of 2026-11-23, as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from opinion.errors import PageChanged
from opinion.records import DocumentKind
from opinion.settings import Feed
from scrapers.build import Item, documents_of, exchange_symbol, titled
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.text import one_line
from scrapers.urls import absolute_url, canonical_url
from scrapers.wire import epoch, item_of, json_of

NAME = "ths"
ADAPTER_VERSION = 1
ADDRESS = "https://news.10jqka.com.cn/tapp/news/push/stock"

_MARKETS = {"17": "sh", "33": "sz"}
"""Numbers of the exchanges (general knowledge, not documented); shares of all others are left out."""
_NUMBER = re.compile(r"/c(\d+)\.s?html", re.ASCII)


class _Stock(msgspec.Struct, rename="camel"):
    stock_code: str = ""
    stock_market: str | int = ""


class _Tag(msgspec.Struct):
    name: str = ""


class _Row(msgspec.Struct):
    url: str
    title: str | None = None
    digest: str | None = None
    rtime: int | float | str | None = None  # s since 1970
    stock: Any = None  # trimmings: what is wrong with them costs no text
    tags: Any = None


class _Data(msgspec.Struct):
    rows: list[Any] | None = msgspec.field(name="list", default=None)


class _Answer(msgspec.Struct):
    code: str | int | None = None
    data: _Data | None = None


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest page; `tag` narrows it to one kind of news."""
    query = urlencode({"page": "1", "tag": feed.option("tag"), "track": "website"})
    return Ask(url=f"{ADDRESS}?{query}", headers={"referer": "https://news.10jqka.com.cn/realtimenews.html"})


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The news of a page: title and digest.

    Errors:
        PageChanged: no list; with the number of the site's error.
        SourceWalled: a web page instead of data.
    """
    answer = json_of(response, _Answer)
    if answer.data is None or answer.data.rows is None:
        raise PageChanged(f"no list of news; code {answer.code}")
    return documents_of(_items(answer.data.rows, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _items(rows: list[Any], response: Response) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        native_id = "" if isinstance(row, str) else _native_id(row.url)
        if isinstance(row, str) or not native_id:
            yield Problem("invalid", row if isinstance(row, str) else "neither number nor address")
            continue
        at, precision = epoch(row.rtime, fetched_at=response.fetched_at)
        title, text = titled(row.title, row.digest)
        yield Item(
            native_id=native_id,
            title=title,
            text=text,
            url=absolute_url(row.url, base=ADDRESS),
            published_at=at,
            precision=precision,
            published_raw="" if row.rtime is None else str(row.rtime),
            symbols=_symbols(row.stock),
            labels=_labels(row.tags),
        )


def _native_id(url: str) -> str:
    """The number in the address of the news; the address where it has none."""
    found = _NUMBER.search(url)
    return found[1] if found else canonical_url(absolute_url(url, base=ADDRESS) or "") or ""


def _symbols(raw: Any) -> list[str]:
    stocks = item_of(raw or [], list[_Stock])
    if isinstance(stocks, str):
        return []
    found = (exchange_symbol(market + stock.stock_code) for stock in stocks if (market := _MARKETS.get(str(stock.stock_market), "")))
    return [symbol for symbol in found if symbol]


def _labels(raw: Any) -> dict[str, Any]:
    tags = item_of(raw or [], list[_Tag])
    names = [] if isinstance(tags, str) else [name for tag in tags if (name := one_line(tag.name))]
    return {"channels": names} if names else {}


MANNERS = Manners(
    stability="amber",
    interval_s=30,
    kind=DocumentKind.FLASH,
    publisher="10jqka.com.cn",
    terms="the site's terms for programs were not read; the texts are the site's: title and digest only",
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
    options={"tag": "number of one kind of news, e.g. -21101 (what the site calls important); default: all"},
)
SOURCE = Source(NAME, ("10jqka", "tonghuashun", "同花顺"), parse, MANNERS, ask)
