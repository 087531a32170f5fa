"""财联社 CLS: its telegraph, the flashes that mainland desks read first, as the roll list of www.cls.cn gives them.

The list asks for a checksum over its parameters that everyone can compute; there is no secret in it. Wire format as of 2026-11-23,
as public clients encode it; not tried against the live site.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
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
from scrapers.wire import SiteId, epoch, item_of, json_of

NAME = "cls"
ADAPTER_VERSION = 1
ADDRESS = "https://www.cls.cn/v1/roll/get_roll_list"
PAGE_VERSION = "8.4.6"
"""The version of the site's own page that asks so."""
BAD_SIGN = 10012


class _Stock(msgspec.Struct):
    code: str = msgspec.field(name="StockID", default="")


class _Subject(msgspec.Struct):
    subject_name: str = ""


class _Row(msgspec.Struct):
    id: SiteId
    title: str | None = None  # often empty
    brief: str | None = None
    content: str | None = None
    ctime: int | float | str | None = None  # s since 1970
    level: Any = None  # A, B, C; this and what follows are trimmings: what is wrong with them costs no text
    is_ad: Any = None
    subjects: Any = None
    stock_list: Any = None


class _Data(msgspec.Struct):
    roll_data: list[Any] | None = None


class _Answer(msgspec.Struct):
    errno: int | str | None = None
    data: Any = None  # "" or [] beside an error


def ask(feed: Feed, now: datetime) -> Ask:
    """The newest flashes, signed."""
    asked = {
        "app": "CailianpressWeb",
        "category": feed.option("category"),
        "last_time": str(int(now.timestamp())),
        "os": "web",
        "refresh_type": "1",
        "rn": "20",
        "sv": PAGE_VERSION,
    }
    return Ask(url=f"{ADDRESS}?{urlencode(asked | {'sign': signed(asked)})}", headers={"referer": "https://www.cls.cn/telegraph"})


def signed(asked: Mapping[str, str]) -> str:
    """The checksum of a request: MD5 of SHA-1, both in hexadecimal, of its parameters in the order of their names.

    >>> signed({"os": "web", "sv": "8.7.9", "app": "CailianpressWeb"})
    'b02d8f7bc4c45eeb3e86904203597da2'
    """
    line = "&".join(f"{name}={value}" for name, value in sorted(asked.items()))
    inner = hashlib.sha1(line.encode(), usedforsecurity=False).hexdigest()
    return hashlib.md5(inner.encode(), usedforsecurity=False).hexdigest()


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The flashes of a list, without advertisements.

    Errors:
        PageChanged: no list; with the number of the site's error.
        SourceWalled: a web page instead of data.
    """
    answer = json_of(response, _Answer)
    if str(answer.errno) == str(BAD_SIGN):
        raise PageChanged(f"errno {BAD_SIGN}: the sign of the request is computed another way now")
    data = item_of(answer.data, _Data)
    if answer.errno not in (0, "0", None) or isinstance(data, str) or data.roll_data is None:
        raise PageChanged(f"no list of flashes; errno {answer.errno}")
    return documents_of(_items(data.roll_data, response), source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def _items(rows: list[Any], response: Response) -> Iterable[Item | Problem]:
    for raw in rows:
        row = item_of(raw, _Row)
        if isinstance(row, str):
            yield Problem("invalid", row)
            continue
        if row.is_ad in (1, "1", True):
            continue
        at, precision = epoch(row.ctime, fetched_at=response.fetched_at)
        title, text = titled(row.title, row.content or row.brief)
        yield Item(
            native_id=str(row.id),
            title=title,
            text=text,
            url=f"https://www.cls.cn/detail/{row.id}",
            published_at=at,
            precision=precision,
            published_raw="" if row.ctime is None else str(row.ctime),
            symbols=_symbols(row.stock_list),
            labels=_labels(row),
        )


def _symbols(raw: Any) -> list[str]:
    found = (item_of(stock, _Stock) for stock in (raw if isinstance(raw, list) else []))
    return [symbol for stock in found if not isinstance(stock, str) and (symbol := exchange_symbol(stock.code))]


def _labels(row: _Row) -> dict[str, Any]:
    labels: dict[str, Any] = {}
    if row.level and isinstance(row.level, str):
        labels["importance"] = row.level
    found = (item_of(subject, _Subject) for subject in (row.subjects if isinstance(row.subjects, list) else []))
    names = [name for subject in found if not isinstance(subject, str) and (name := one_line(subject.subject_name))]
    if names:
        labels["channels"] = names
    return labels


MANNERS = Manners(
    stability="amber",
    interval_s=30,
    kind=DocumentKind.FLASH,
    publisher="cls.cn",
    terms="no published terms for programs; the texts are the site's: what the list carries only",
    tried="not tried live; wire format and sign as documented 2026-11-23 (client code read); clients send a browser's User-Agent, which we do not",
    options={"category": "one part of the telegraph: red (what the site calls important), announcement, watch, hk_us or fund; default: all"},
)
SOURCE = Source(NAME, ("cailianshe", "财联社"), parse, MANNERS, ask)
