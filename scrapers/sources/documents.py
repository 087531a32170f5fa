"""Documents as JSON: Lines, an array, or an object that holds one; whatever its fields are called. For licensed feeds and files of one's own.

No wire format of anybody's: a row is an object, its fields are ours (`id`, `title`, `text`, `url`, `published_at`, `publisher`, `lang`, `kind`,
`author`, `symbols`, `parent_id`, `deleted`) or named by the option `fields`, e.g. `title=headline,text=body.content,id=guid`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from opinion.errors import ConfigError, PageChanged, SourceWalled
from opinion.names import digest
from opinion.records import DocumentKind, Op
from opinion.settings import Feed
from scrapers.build import Item, documents_of
from scrapers.dates import read_date
from scrapers.source import Manners, Parsed, Problem, Response, Source
from scrapers.urls import absolute_url
from scrapers.wire import When, epoch, text_of

NAME = "documents"
ADAPTER_VERSION = 1
FIELDS = ("id", "title", "text", "url", "published_at", "publisher", "lang", "kind", "author", "symbols", "parent_id", "deleted")
MAX_ROWS = 10_000
"""Rows of one body that are read; a file of more is read in parts."""
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
    items = [row if isinstance(row, Problem) else _item(row, fields, base=feed.url or response.url, at=response.fetched_at) for row in rows[:MAX_ROWS]]
    if len(rows) > MAX_ROWS:
        items.append(Problem("over_cap", f"only the first {MAX_ROWS} rows were read"))
    return documents_of(items, source=NAME, version=ADAPTER_VERSION, response=response, feed=feed, author_key=author_key)


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
            raise ConfigError(f"source {NAME}: {part!r} in `fields` is not of the form ours=theirs; ours is one of {', '.join(FIELDS)}")
        found[ours] = tuple(theirs.split("."))
    return found


def _rows(text: str) -> Iterator[dict[str, Any] | Problem]:
    if text[0] == "[" or (text[0] == "{" and "\n" not in text.strip()) or _is_one_object(text):
        yield from _of_value(text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield _row(line, number)


def _is_one_object(text: str) -> bool:
    """Whether an object is written over several lines: as lines, the first is no value."""
    try:
        json.loads(text.split("\n", 1)[0])
    except ValueError:
        return text[0] == "{"
    return False


def _of_value(text: str) -> Iterator[dict[str, Any] | Problem]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PageChanged("JSON that is cut off or broken") from error
    if isinstance(value, dict):
        inner = [held for held in value.values() if isinstance(held, list) and any(isinstance(one, dict) for one in held)]
        value = inner[0] if len(inner) == 1 and not {"title", "text"} & value.keys() else [value]
    for number, row in enumerate(value, 1):
        yield row if isinstance(row, dict) else Problem("invalid", f"row {number} is no object")


def _row(line: str, number: int) -> dict[str, Any] | Problem:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        broken_off = line.lstrip().startswith("{") and not line.rstrip().endswith("}")
        return Problem("truncated" if broken_off else "invalid", f"line {number} is no JSON")
    return row if isinstance(row, dict) else Problem("invalid", f"line {number} is no object")


def _item(row: dict[str, Any], fields: Fields, *, base: str, at: datetime) -> Item | Problem:
    held = {name: _held(row, path) for name, path in fields.items()}
    title, text, url = (_text(held[name]) for name in ("title", "text", "url"))
    said = digest(f"{title}\n{text}", chars=32) if title or text else ""
    native_id = _text(held["id"]) or url or (said and f"text:{said}")
    kind = _text(held["kind"])
    if not native_id:
        return Problem("empty", "a row without id, title and text")
    if kind and kind not in list(DocumentKind):
        return Problem("invalid", f"{native_id[:200]}: kind {kind[:40]!r} is none of {', '.join(DocumentKind)}")
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
        symbols=[symbol.strip() for symbol in map(str, symbols) if symbol.strip()],
        parent_id=_text(held["parent_id"]) or None,
        op=Op.DELETE if held["deleted"] in (True, 1, "true", "1") else Op.CREATE,
        kind=DocumentKind(kind) if kind else None,
    )


def _held(row: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        row = row.get(name) if isinstance(row, dict) else None
    return row


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _when(value: Any, *, at: datetime) -> When:
    """RFC 3339 or 822 with a zone, or seconds or milliseconds since 1970."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return epoch(value, fetched_at=at, unit_s=1e-3 if abs(value) >= MS_FROM else 1.0)
    return read_date(_text(value), fetched_at=at)


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
