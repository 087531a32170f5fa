"""东方财富 Eastmoney: its flashes around the clock (7x24), as np-weblist.eastmoney.com lists them, or the older list of newsapi.eastmoney.com.

Wire format as of 2026-11-23, as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from opinion.clock import epoch_ms
from opinion.errors import ConfigError, PageChanged
from opinion.records import DocumentKind
from opinion.settings import Feed
from scrapers.build import Item, documents_of, titled
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.wire import SiteId, beijing, item_of, json_of

NAME = "eastmoney"
ADAPTER_VERSION = 1
ADDRESS = "https://np-weblist.eastmoney.com/comm/web/getFastNewsList"
LEGACY_ADDRESS = "https://newsapi.eastmoney.com/kuaixun/v1/getlist_{column}_ajaxResult_50_1_.html"
COLUMN = "102"
"""The column of all flashes."""
FORMS = ("list", "legacy")

_STOCK = re.compile(r"(?P<market>\d{1,3})\.(?P<code>[A-Za-z0-9._-]{1,12})", re.ASCII)
_MARKETS = {"1": "XSHG", "105": "XNAS", "106": "XNYS", "107": "XASE", "116": "XHKG"}
"""Numbers of the exchanges (general knowledge; 116 is documented). 0 holds Shenzhen and Beijing, 90 and others no shares."""
_MAINLAND = re.compile(r"\d{6}", re.ASCII)
_SHENZHEN = ("00", "15", "20", "30", "39")
"""Beginnings of Shenzhen's codes: A, funds, B, ChiNext, indices; Beijing's begin with 4, 8 and 92."""


class _Row(msgspec.Struct):
    code: SiteId
    title: str | None = None
    summary: str | None = None
    shown: str | None = msgspec.field(name="showTime", default=None)  # Beijing
    stocks: Any = msgspec.field(name="stockList", default=None)  # trimmings: what is wrong with them costs no text


class _LegacyRow(msgspec.Struct):
    code: SiteId = msgspec.field(name="newsid")
    title: str | None = None
    summary: str | None = msgspec.field(name="digest", default=None)
    shown: str | None = msgspec.field(name="showtime", default=None)  # Beijing
    stocks: Any = None


class _Data(msgspec.Struct):
    rows: list[Any] | None = msgspec.field(name="fastNewsList", default=None)


class _Answer(msgspec.Struct):
    code: Any = None  # clients disagree on which one is success: the list decides
    data: Any = None  # null or "" beside an error
    rows: list[Any] | None = msgspec.field(name="LivesList", default=None)  # of the older list


def check(feed: Feed) -> None:
    """Nothing, where the options are of a form that can be asked.

    Errors:
        ConfigError: `form` is none of ours.
    """
    if feed.option("form", FORMS[0]) not in FORMS:
        raise ConfigError(f"source {NAME}: option `form` is one of {', '.join(FORMS)}")


def ask(feed: Feed, now: datetime) -> Ask:
    """The newest flashes of a column; with `form` legacy, of the older list."""
    column = feed.option("column", COLUMN)
    headers = {"referer": "https://kuaixun.eastmoney.com/"}
    if feed.option("form") == "legacy":
        return Ask(url=LEGACY_ADDRESS.format(column=quote(column, safe="")), headers=headers)
    query = {"client": "web", "biz": "web_724", "fastColumn": column, "sortEnd": "", "pageSize": "50", "req_trace": str(epoch_ms(now))}
    return Ask(url=f"{ADDRESS}?{urlencode(query)}", headers=headers)


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The flashes of either list: one flash has the same id in both.

    Errors:
        PageChanged: no list; with the number of the site's error.
        SourceWalled: a web page instead of data.
    """
    answer = json_of(response, _Answer)
    data = item_of(answer.data, _Data)
    rows, kind = (answer.rows, _LegacyRow) if isinstance(data, str) or data.rows is None else (data.rows, _Row)
    if rows is None:
        raise PageChanged(f"no list of flashes; code {str(answer.code)[:20]}")
    return documents_of(_items(rows, kind, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _items(rows: list[Any], kind: type[_Row | _LegacyRow], response: Response) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, kind)
        if isinstance(row, str):
            yield Problem("invalid", row)
            continue
        at, precision = beijing(row.shown or "", fetched_at=response.fetched_at)
        title, text = titled(row.title, row.summary)
        yield Item(
            native_id=str(row.code),
            title=title,
            text=text,
            url=f"https://finance.eastmoney.com/a/{row.code}.html",
            published_at=at,
            precision=precision,
            published_raw=row.shown or "",
            symbols=[symbol for raw_stock in (row.stocks if isinstance(row.stocks, list) else []) if (symbol := _symbol(raw_stock))],
        )


def _symbol(raw: Any) -> str | None:
    """A listing out of its number of the exchange and its code; None for industries, funds' numbers and what else the site lists so.

    >>> _symbol("1.600519"), _symbol("0.300750"), _symbol("0.920002"), _symbol("116.00700"), _symbol("90.BK0475")
    ('XSHG:600519', 'XSHE:300750', 'XBSE:920002', 'XHKG:00700', None)
    """
    match = _STOCK.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        return None
    market, code = match["market"], match["code"]
    if market == "0" and _MAINLAND.fullmatch(code):
        exchange = "XSHE" if code.startswith(_SHENZHEN) else "XBSE" if code.startswith(("4", "8", "92")) else None
        return f"{exchange}:{code}" if exchange else None
    exchange = _MARKETS.get(market)
    return f"{exchange}:{code}" if exchange and (market != "1" or _MAINLAND.fullmatch(code)) else None


MANNERS = Manners(
    stability="amber",
    interval_s=30,
    kind=DocumentKind.FLASH,
    publisher="eastmoney.com",
    terms="no published terms for programs; the texts are the site's: title and summary only",
    tried="not tried live; wire format as documented 2026-11-23 (client code read; numbers of exchanges and the older list from general knowledge)",
    options={"column": f"number of the column; default {COLUMN}, all flashes", "form": "list (the default), or legacy: the older list"},
)
SOURCE = Source(NAME, ("eastmoney-flash", "东方财富", "东财"), parse, MANNERS, ask, check)
