"""巨潮资讯 cninfo: announcements of companies listed in China, as www.cninfo.com.cn/new/hisAnnouncement/query lists them.

Wire format as of 2026-11-23, as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec

from opinion.records import DocumentKind, Precision
from opinion.settings import Feed
from scrapers.build import Item, documents_of, exchange_symbol
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.text import one_line
from scrapers.urls import absolute_url
from scrapers.wire import BEIJING, When, epoch, item_of, json_of

NAME = "cninfo"
ADAPTER_VERSION = 1
ADDRESS = "https://www.cninfo.com.cn/new/hisAnnouncement/query"
FILES = "https://static.cninfo.com.cn/"
PAGE_SIZE = 30
"""What the site's own page asks for."""
COLUMN = "szse"
"""The main board of the site: Shenzhen, Shanghai and Beijing together."""

_LISTED = ("szse", "sse", "hke")
"""Columns of listed shares. In those of funds and of the third board the same codes mean something else."""
_MARKETS = {"60": "sh", "68": "sh", "90": "sh", "00": "sz", "30": "sz", "20": "sz", "92": "bj"}
"""First two digits of the code of a share -> its exchange: the ranges that the exchanges share out among themselves."""


class _Row(msgspec.Struct, rename="camel"):
    announcement_id: str | int
    announcement_title: str | None = None  # the words searched for in <em>
    announcement_time: int | float | str | None = None  # ms since 1970: midnight in Beijing, whatever the hour it came out
    sec_code: str | None = None  # several separated by commas
    sec_name: str | None = None
    adjunct_url: str | None = None
    adjunct_type: str | None = None


class _Answer(msgspec.Struct):
    announcements: list[Any] | None  # null: none that day


def ask(feed: Feed, now: datetime) -> Ask:
    """The announcements dated yesterday to tomorrow: what comes out in the evening bears the next day's date."""
    today = now.astimezone(BEIJING).date()
    form = {
        "pageNum": "1",
        "pageSize": str(PAGE_SIZE),
        "column": feed.option("column", COLUMN),
        "tabName": "fulltext",
        "plate": feed.option("plate"),
        "stock": feed.option("stock"),
        "searchkey": feed.option("searchkey"),
        "secid": "",
        "category": feed.option("category"),
        "trade": "",
        "seDate": f"{today - timedelta(days=1)}~{today + timedelta(days=1)}",
        "sortName": "",
        "sortType": "",
        "isHLtitle": "true",
    }
    return Ask(url=ADDRESS, headers={"referer": "https://www.cninfo.com.cn/new/commonUrl/pageOfSearch"}, form=form)


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The announcements of a page: title with the company's name, link to the file; the text is in the file.

    Errors:
        PageChanged: no list of announcements.
        SourceWalled: a web page instead of data.
    """
    rows = json_of(response, _Answer).announcements or []
    listed = feed.option("column", COLUMN) in _LISTED
    return documents_of(_items(rows, response, listed=listed), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def listing(code: str) -> str | None:
    """The share of that code, which alone says its exchange: six digits are of the mainland, five of Hong Kong; None for all others.

    >>> listing("688981"), listing("002594"), listing("00700"), listing("510300")
    ('XSHG:688981', 'XSHE:002594', 'XHKG:00700', None)
    """
    if not (code.isascii() and code.isdecimal()):
        return None
    market = "hk" if len(code) == 5 else _MARKETS.get(code[:2], "")
    return exchange_symbol(market + code) if market else None


def _items(rows: list[Any], response: Response, *, listed: bool) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        if isinstance(row, str):
            yield Problem("invalid", row)
            continue
        at, precision = _day(row, response)
        codes = [code.strip() for code in (row.sec_code or "").split(",")] if listed else []
        yield Item(
            native_id=str(row.announcement_id),
            title=_title(row),
            url=absolute_url(row.adjunct_url, base=FILES) if row.adjunct_url else None,
            published_at=at,
            precision=precision,
            published_raw="" if row.announcement_time is None else str(row.announcement_time),
            symbols=[symbol for code in codes if (symbol := listing(code))],
            labels={"file_type": row.adjunct_type} if row.adjunct_type else {},
        )


def _title(row: _Row) -> str:
    """The title behind the company's name, which most titles leave to the column beside them."""
    title, name = one_line(row.announcement_title or ""), one_line(row.sec_name or "")
    return f"{name}：{title}" if title and name and name not in title else title


def _day(row: _Row, response: Response) -> When:
    """The day; an announcement that bears tomorrow's date has no time yet that could be trusted."""
    at, _ = epoch(row.announcement_time, fetched_at=response.fetched_at, unit_s=1e-3)
    return (None, None) if at is None else (at, Precision.DAY)


MANNERS = Manners(
    stability="green",
    interval_s=120,
    kind=DocumentKind.FILING,
    publisher="cninfo.com.cn",
    terms="announcements that the law makes public; the site's own terms for programs were not read",
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
    options={
        "column": "market: szse (Shenzhen, Shanghai, Beijing; the default), sse, hke, third, fund",
        "plate": "board within it, e.g. sz, sh, shkcp; default: all",
        "stock": "one company, as `code,organisation`, e.g. 000001,gssz0000001; default: all",
        "category": "kinds of announcement, separated by semicolons, e.g. category_ndbg_szsh (annual reports); default: all",
        "searchkey": "words of the title; default: all",
    },
)
SOURCE = Source(NAME, ("巨潮", "巨潮资讯"), parse, MANNERS, ask)
