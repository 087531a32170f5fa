"""富途 Futu: short news around the clock, Hong Kong and the US above all, as the flash list of news.futunn.com gives them.

Wire format as of 2026-11-23, as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from opinion.errors import PageChanged
from opinion.records import DocumentKind
from opinion.settings import Feed
from scrapers.build import Item, bracketed, documents_of
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.urls import absolute_url, canonical_url
from scrapers.wire import epoch, item_of, json_of

NAME = "futu"
ADAPTER_VERSION = 1
ADDRESS = "https://news.futunn.com/news-site-api/main/get-flash-list"
PAGE_SIZE = 50
EDITIONS = {"zh-hans": "0", "zh-hant": "1", "en": "2"}
"""Edition -> what the site's own page sends for it."""

_NUMBER = re.compile(r"/flash/(\d+)", re.ASCII)


class _Row(msgspec.Struct, rename="camel"):
    id: str | int | None = None
    title: str | None = None  # often empty
    content: str | None = None
    time: int | float | str | None = None  # s since 1970
    detail_url: str | None = None
    level: Any = None  # 1: important


class _News(msgspec.Struct):
    news: list[Any] | None = None


class _Data(msgspec.Struct):
    data: _News | None = None


class _Answer(msgspec.Struct):
    code: str | int | None = None
    data: _Data | None = None


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest flashes of an edition."""
    headers = {"referer": "https://news.futunn.com/main/live", "x-news-site-lang": EDITIONS.get(_edition(feed), "0")}
    return Ask(url=f"{ADDRESS}?pageSize={PAGE_SIZE}", headers=headers)


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The flashes of a list.

    Errors:
        PageChanged: no list; with the number of the site's error.
        SourceWalled: a web page instead of data.
    """
    answer = json_of(response, _Answer)
    if answer.data is None or answer.data.data is None or answer.data.data.news is None:
        raise PageChanged(f"no list of flashes; code {answer.code}")
    rows = _items(answer.data.data.news, response, edition=_edition(feed))
    return documents_of(rows, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _edition(feed: Feed) -> str:
    return feed.option("edition", "zh-hans").lower()


def _items(rows: list[Any], response: Response, *, edition: str) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        native_id = "" if isinstance(row, str) else _native_id(row)
        if isinstance(row, str) or not native_id:
            yield Problem("invalid", row if isinstance(row, str) else "neither number nor address")
            continue
        at, precision = epoch(row.time, fetched_at=response.fetched_at)
        title, text = (row.title, row.content or "") if row.title else bracketed(row.content or "")
        yield Item(
            native_id=native_id if edition == "zh-hans" else f"{edition}:{native_id}",  # one flash in two languages is two texts
            title=title,
            text=text,
            url=absolute_url(row.detail_url, base=ADDRESS) if row.detail_url else None,
            published_at=at,
            precision=precision,
            published_raw="" if row.time is None else str(row.time),
            labels={"importance": row.level} if isinstance(row.level, int) else {},
        )


def _native_id(row: _Row) -> str:
    """The flash's number, said or in its address; the address where there is none."""
    if row.id:
        return str(row.id)
    found = _NUMBER.search(row.detail_url or "")
    return found[1] if found else canonical_url(row.detail_url or "") or ""


MANNERS = Manners(
    stability="amber",
    interval_s=30,
    kind=DocumentKind.FLASH,
    publisher="futunn.com",
    terms="the site's terms for programs were not read; the texts are the site's: what the list carries only",
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
    options={"edition": "zh-Hans (the default), zh-Hant or en"},
)
SOURCE = Source(NAME, ("futunn", "富途"), parse, MANNERS, ask)
