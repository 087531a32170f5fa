"""金十 Jin10: its market flashes, as the script flash_newest.js of www.jin10.com assigns them.

Figures of the economic calendar (type 1) are left out: they are numbers without a sentence, and any words would be ours. So are
advertisements and what is for subscribers. Wire format as of 2026-11-23, as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from opinion.clock import epoch_ms
from opinion.records import DocumentKind
from opinion.settings import Feed
from scrapers.build import Item, documents_of, titled
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.wire import SiteId, beijing, item_of, json_of

NAME = "jin10"
ADAPTER_VERSION = 1
ADDRESS = "https://www.jin10.com/flash_newest.js"
FIGURE = 1
"""The type of a calendar's figure."""
ADVERTISEMENTS = 5
"""The channel of advertisements."""

_BOLD = re.compile(r"^(?:\s*<(?:b|strong|span|p|font)(?:\s[^<>]{0,200})?>)+(?=\s*【)", re.IGNORECASE)
"""Marks of weight before a title in brackets."""


class _Told(msgspec.Struct):
    content: str | None = None  # HTML
    title: str | None = None
    lock: Any = None


class _Row(msgspec.Struct):
    id: SiteId
    time: str | None = None  # Beijing
    type: int | str | None = None
    data: Any = None
    important: Any = None  # 1: important; this and what follows are trimmings: what is wrong with them costs no text
    channel: Any = None


def ask(_feed: Feed, now: datetime) -> Ask:
    """The newest flashes; the instant keeps caches from answering."""
    return Ask(url=f"{ADDRESS}?t={epoch_ms(now)}", headers={"referer": "https://www.jin10.com/"})


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The flashes of the script, without figures, advertisements and what is locked.

    Errors:
        PageChanged: no list.
        SourceWalled: a web page instead of the script.
    """
    rows = json_of(response, list[Any])
    return documents_of(_items(rows, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _items(rows: list[Any], response: Response) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        if not isinstance(row, str) and (str(row.type) == str(FIGURE) or ADVERTISEMENTS in _channels(row)):
            continue
        told = row if isinstance(row, str) else item_of(row.data, _Told)
        if isinstance(row, str) or isinstance(told, str):
            yield Problem("invalid", str(told))
            continue
        if _locked(told):
            yield Problem("empty", f"{row.id} is for subscribers")
            continue
        at, precision = beijing(row.time or "", fetched_at=response.fetched_at)
        title, text = titled(told.title, _BOLD.sub("", told.content or ""))
        yield Item(
            native_id=str(row.id),
            title=title,
            text=text,
            url=f"https://flash.jin10.com/detail/{row.id}",
            published_at=at,
            precision=precision,
            published_raw=row.time or "",
            labels=_labels(row),
        )


def _locked(told: _Told) -> bool:
    """Whether only subscribers read it; what is shown instead is a teaser."""
    return told.lock in (1, "1", True)


def _channels(row: _Row) -> list[int]:
    found = item_of(row.channel, list[int])
    return [] if isinstance(found, str) else found


def _labels(row: _Row) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    important = item_of(row.important, int)
    if not isinstance(important, str):
        labels["importance"] = important
    if _channels(row):
        labels["channels"] = _channels(row)
    return labels


MANNERS = Manners(
    stability="amber",
    interval_s=30,
    kind=DocumentKind.FLASH,
    publisher="jin10.com",
    terms="no published terms for programs; the texts are the site's: what the list carries only, nothing that is for subscribers",
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
)
SOURCE = Source(NAME, ("金十", "金十数据"), parse, MANNERS, ask)
