"""华尔街见闻 Wallstreetcn: its live news around the clock, as the `lives` list of api-one.wallstcn.com gives them.

Wire format as of 2026-11-23, as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import msgspec

from opinion.errors import PageChanged
from opinion.records import DocumentKind
from opinion.settings import Feed
from scrapers.build import Item, bracketed, documents_of
from scrapers.source import Ask, Manners, Parsed, Problem, Response, Source
from scrapers.text import one_line
from scrapers.urls import absolute_url
from scrapers.wire import SiteId, epoch, item_of, json_of

NAME = "wallstreetcn"
ADAPTER_VERSION = 1
ADDRESS = "https://api-one.wallstcn.com/apiv1/content/lives"
SITE = "https://wallstreetcn.com/"
CHANNEL = "global-channel"
LIMIT = 30
SUCCESS = 20000


class _Author(msgspec.Struct):
    display_name: str = ""


class _Row(msgspec.Struct):
    id: SiteId
    title: str | None = None  # often empty
    content: str | None = None  # HTML
    content_text: str | None = None  # the same as plain text
    content_more: str | None = None  # what goes on behind a fold, HTML
    display_time: int | float | str | None = None  # s since 1970
    score: Any = None  # 2: important
    uri: str | None = None
    author: Any = None  # this and what follows are trimmings: what is wrong with them costs no text
    channels: Any = None


class _Data(msgspec.Struct):
    items: list[Any] | None = None


class _Answer(msgspec.Struct):
    code: int | str | None = None
    data: Any = None  # null, "" or {} beside an error


def ask(feed: Feed, _now: datetime) -> Ask:
    """The newest lives of a channel."""
    return Ask(url=f"{ADDRESS}?{urlencode({'channel': feed.option('channel', CHANNEL), 'limit': str(LIMIT)})}")


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The lives of a list.

    Errors:
        PageChanged: no list; with the number of the site's error.
        SourceWalled: a web page instead of data.
    """
    answer = json_of(response, _Answer)
    data = item_of(answer.data, _Data)
    if answer.code not in (SUCCESS, str(SUCCESS), None) or isinstance(data, str) or data.items is None:
        raise PageChanged(f"no list of lives; code {answer.code}")
    return documents_of(_items(data.items, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _items(rows: list[Any], response: Response) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        if isinstance(row, str):
            yield Problem("invalid", row)
            continue
        at, precision = epoch(row.display_time, fetched_at=response.fetched_at)
        title, text = _told(row)
        author = item_of(row.author, _Author)
        yield Item(
            native_id=str(row.id),
            title=title,
            text=text,
            url=absolute_url(row.uri or "", base=SITE) or f"{SITE}livenews/{row.id}",
            published_at=at,
            precision=precision,
            published_raw="" if row.display_time is None else str(row.display_time),
            author="" if isinstance(author, str) else author.display_name,
            labels=_labels(row),
        )


def _told(row: _Row) -> tuple[str, str]:
    """Title and text; a title in front of the text that says the same is left out there."""
    title, rest = bracketed(row.content_text or "")
    if title and (not row.title or one_line(title) == one_line(row.title)):
        return title, "\n".join(part for part in (rest, row.content_more) if part)
    return row.title or "", "\n".join(part for part in (row.content or row.content_text, row.content_more) if part)


def _labels(row: _Row) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    score = item_of(row.score, int)
    if not isinstance(score, str):
        labels["importance"] = score
    channels = item_of(row.channels, list[str])
    if channels and not isinstance(channels, str):
        labels["channels"] = channels
    return labels


MANNERS = Manners(
    stability="green",
    interval_s=30,
    kind=DocumentKind.FLASH,
    publisher="wallstreetcn.com",
    terms="no published terms for programs; the texts are the site's: what the list carries only",
    tried="not tried live; wire format as documented 2026-11-23 (client code read)",
    options={"channel": f"{CHANNEL} (the default), a-stock-channel, us-stock-channel, hk-stock-channel, forex-channel or commodity-channel"},
)
SOURCE = Source(NAME, ("wscn", "华尔街见闻"), parse, MANNERS, ask)
