"""Documents as JSON: Lines, an array, or an object that holds one; whatever its fields are called. For licensed feeds and files of one's own.

No wire format of anybody's: a row is an object, its fields are ours (`id`, `title`, `text`, `url`, `published_at`, `publisher`, `lang`, `kind`,
`author`, `symbols`, `parent_id`, `op`, `deleted`) or named by the option `fields`, e.g. `title=headline,text=body.content,id=guid`. A row takes its
document back where `deleted` is true or `op` is `delete`. Of several rows of one id the last counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from pydantic import SecretStr

from opinion.codec import clean_text
from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.names import digest
from opinion.records import DocumentKind, Op
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.dates import read_date
from scrapers.source import Manners, Parsed, Problem, Response, Source, fitted
from scrapers.urls import absolute_url
from scrapers.wire import When, epoch, text_of

NAME = "documents"
ADAPTER_VERSION = 1
FIELDS = ("id", "title", "text", "url", "published_at", "publisher", "lang", "kind", "author", "symbols", "parent_id", "op", "deleted")
MAX_ROWS = 10_000
"""Rows of one body that are read; a file of more is read in parts."""
MOST_CHARS = 4_000
"""Longest value of a field that is neither title nor text: ids and addresses reach hundreds, and Kafka takes no record of any length."""
MS_FROM = 1e11
"""Numbers from here on are milliseconds: as seconds they would lie in the year 5138."""

Fields = Mapping[str, tuple[str, ...]]
"""Our field -> the path to it in a row."""


def parse(response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
    """The Documents of the rows, in their order, each id once.

    Errors:
        PageChanged: empty, or JSON that is cut off.
        SourceWalled: a page for people instead of data.
    """
    fields = fields_of(feed.option("fields"))
    text = text_of(response)
    if text[0] == "<":
        raise SourceWalled("a web page instead of data")
    rows = list(_rows(text))
    items = [(number, row if isinstance(row, Problem) else item_in(row, fields, base=feed.url or response.url, at=response.fetched_at)) for number, row in rows[:MAX_ROWS]]
    last = {item.native_id: number for number, item in items if isinstance(item, Item)}
    found = [_numbered(item, number, last) for number, item in items]
    if len(rows) > MAX_ROWS:
        found.append(Problem("over_cap", f"only the first {MAX_ROWS} rows were read"))
    return documents_of(found, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


def fields_of(option: str) -> Fields:
    """Where each of our fields is found.

    Errors:
        ConfigError: not of the form `ours=theirs,..`, or a field that we do not have.

    >>> fields_of("title=headline, text=body.content")["text"]
    ('body', 'content')
    """
    found: dict[str, tuple[str, ...]] = {name: (name,) for name in FIELDS}
    for part in filter(None, map(str.strip, option.split(","))):
        ours, equals, theirs = (word.strip() for word in part.partition("="))
        if not equals or not theirs or ours not in FIELDS:
            raise ConfigError(f"option `fields`: {part!r} is not of the form ours=theirs; ours is one of {', '.join(FIELDS)}")
        found[ours] = tuple(theirs.split("."))
    return found


def _numbered(item: Item | Problem, number: int, last: Mapping[str, int]) -> Item | Problem:
    """The item, or the problem with its row's number; a problem too where a later row tells of the same item."""
    if isinstance(item, Problem):
        return replace(item, row=number)
    if last[item.native_id] == number:
        return item
    return Problem("duplicate", f"{item.native_id[:200]} occurs again: the last row counts", number)


Row = tuple[int, dict[str, Any] | Problem]
"""Number, from 1: of the line, or of the place in the list."""


def _rows(text: str) -> Iterator[Row]:
    if text[0] == "[" or (text[0] == "{" and "\n" not in text.strip()) or _is_one_object(text):
        yield from _of_value(text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, row_in(line)


def _is_one_object(text: str) -> bool:
    """Whether an object is written over several lines: as lines, the first is no value."""
    try:
        json.loads(text.split("\n", 1)[0])
    except ValueError:
        return text[0] == "{"
    return False


def _of_value(text: str) -> Iterator[Row]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PageChanged("JSON that is cut off or broken") from error
    if isinstance(value, dict):
        inner = [held for held in value.values() if isinstance(held, list) and any(isinstance(one, dict) for one in held)]
        value = inner[0] if len(inner) == 1 and not {"title", "text"} & value.keys() else [value]
    for number, row in enumerate(value, 1):
        yield number, row if isinstance(row, dict) else Problem("invalid", "a row that is no object")


def row_in(line: str | bytes) -> dict[str, Any] | Problem:
    """The object that a line is, or why it is none; bytes are UTF-8, or UTF-16 or 32 as JSON allowed once."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        ends = line.strip()[:1], line.strip()[-1:]
        broken_off = ends[0] in ("{", b"{") and ends[1] not in ("}", b"}")
        return Problem("truncated" if broken_off else "invalid", "a line that is no JSON")
    return row if isinstance(row, dict) else Problem("invalid", "a line that is no object")


def item_in(row: dict[str, Any], fields: Fields, *, base: str, at: datetime) -> Item | Problem:
    """What a row tells; addresses are relative to `base`, times not after `at`."""
    held = {name: _held(row, path) for name, path in fields.items()}
    title, text, url = (_text(held[name]) for name in ("title", "text", "url"))
    said = digest(f"{title}\n{text}", chars=32) if title or text else ""
    native_id = _text(held["id"]) or url or (said and f"text:{said}")
    kind = _text(held["kind"])
    if not native_id:
        return Problem("empty", "a row without id, title and text")
    long = next((name for name in FIELDS if name not in ("title", "text") and len(str(held[name])) > MOST_CHARS), None)
    if long is not None:
        return Problem("invalid", f"{native_id[:200]}: its {long} is over {MOST_CHARS} characters long")
    if kind and kind not in list(DocumentKind):
        return Problem("invalid", f"{native_id[:200]}: kind {kind[:40]!r} is none of {', '.join(DocumentKind)}")
    op = Op.DELETE if held["deleted"] in (True, 1, "true", "1") or held["op"] == "delete" else Op.CREATE
    if op is not Op.DELETE and not said:
        return Problem("empty", f"{native_id[:200]} has neither title nor text")
    published_at, precision = _when(held["published_at"], at=at)
    symbols = held["symbols"] if isinstance(held["symbols"], list) else str(held["symbols"] or "").split(",")
    return Item(
        native_id=native_id,
        title=title,
        text=text,
        url=absolute_url(url, base=base) if url else None,
        publisher=_text(held["publisher"]),
        published_at=published_at,
        precision=precision,
        published_raw=_text(held["published_at"]),
        lang=_text(held["lang"]),
        author=_text(held["author"]),
        symbols=[symbol for value in symbols if (symbol := _text(value))],
        parent_id=_text(held["parent_id"]) or None,
        op=op,
        kind=DocumentKind(kind) if kind else None,
    )


def _held(row: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _text(value: Any) -> str:
    return clean_text(str(value)).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _when(value: Any, *, at: datetime) -> When:
    """RFC 3339 or 822 with a zone, or seconds or milliseconds since 1970."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return epoch(value, fetched_at=at, unit_s=1e-3 if abs(value) >= MS_FROM else 1.0)
    return read_date(_text(value), fetched_at=at)


def brought(name: str, *, fields: str, wait_s: float) -> Feed:
    """The feed of rows that are brought to us instead of fetched; `wait_s` is the wait between two looks.

    Errors:
        ConfigError: `fields` is of another form.
    """
    options = {"fields": SecretStr(fields)} if fields else {}
    return fitted(Feed(source=NAME, url=f"https://{name}.invalid/", name=name, options=options, interval_s=wait_s))[1]


MANNERS = Manners(
    stability="green",
    interval_s=60,
    kind=DocumentKind.NEWS,
    terms="those of whoever supplies the texts",
    full_text=True,
    tried="a form of our own",
    options={"fields": "where our fields are found in a row, e.g. title=headline,text=body.content"},
)


def check(feed: Feed) -> None:
    """Raise ConfigError where the option `fields` is of another form."""
    fields_of(feed.option("fields"))


SOURCE = Source(NAME, ("json", "jsonl"), parse, MANNERS, check=check)
