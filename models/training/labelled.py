"""A data set that somebody labelled: CSV or JSON Lines, also compressed, to rows with our labels."""

from __future__ import annotations

import csv
import gzip
import html
import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from models.labels import sentiment_of, topic_of
from opinion.errors import ConfigError, InvalidRecord, Undecodable
from opinion.language import detect
from opinion.records import DocumentKind

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
SENTIMENT_COLUMNS = ("sentiment", "label")
"""Where a sentiment stands when nobody says otherwise; the first that is there."""

_NUMBER = re.compile(r"[+-]?\d+(\.0*)?")

Record = dict[str, Any]


class Columns(Struct, frozen=True, kw_only=True):
    """What stands where. None: by the usual names, in any case of letters."""

    text: str | None = None
    label: str | None = None  # of the sentiment
    topic: str | None = None
    names: tuple[str, ...] = ()  # what the labels 0, 1, .. stand for; empty: labels are names themselves


class Labelled(Struct, frozen=True, kw_only=True):
    """One text with what its labeller says of it."""

    line: int  # where it stands in the file, from 1
    title: str
    text: str
    kind: DocumentKind
    lang: str
    sentiment: int | None  # index into SENTIMENTS; None where not labelled
    topic: int | None  # index into TOPICS; None where not labelled


class DataSet(Struct, frozen=True):
    """The rows that can be judged, and how many were left out."""

    rows: list[Labelled]
    unlabelled: int
    empty: int  # neither title nor text


class _Found(NamedTuple):
    """The columns of a file."""

    title: str | None
    text: str | None
    sentiment: str | None
    topic: str | None


def read_labelled(path: Path, columns: Columns, *, limit: int | None = None) -> DataSet:
    """The labelled rows among the first `limit` of the file.

    Errors:
        ConfigError: no such file or column, a file of another form, or numbers for labels without their names.
        Undecodable: the file is damaged.
        InvalidRecord: a label or kind that is not known, or no labelled row at all; the message names the line.
    """
    unknown = [name for name in columns.names if sentiment_of(name) is None and topic_of(name) is None]
    if unknown:
        raise ConfigError(f"--labels: {unknown[0]!r} is no sentiment and no topic")
    records = list(_records(path))[:limit]
    if not records:
        raise InvalidRecord(f"{path} holds no rows")
    found = _found(columns, list(dict.fromkeys(key for _, record in records for key in record)), path=path)
    rows = [_labelled(record, found, line=line, names=columns.names) for line, record in records]
    told = [row for row in rows if row.sentiment is not None or row.topic is not None]
    kept = [row for row in told if row.title or row.text]
    if not kept:
        raise InvalidRecord(f"{path}: none of {len(rows)} rows has a text and a label")
    return DataSet(kept, len(rows) - len(told), len(told) - len(kept))


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    """Line and fields of each row."""
    suffix = (path.with_suffix("") if path.suffix == ".gz" else path).suffix.lower()
    if suffix not in (*DELIMITERS, *JSON_LINES):
        raise ConfigError(f"{path}: expected a name ending in {', '.join((*DELIMITERS, *JSON_LINES))}, or one of them and .gz")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise Undecodable(f"{path}: {error}") from error
    yield from _json_rows(text, path) if suffix in JSON_LINES else _csv_rows(text, path, delimiter=DELIMITERS[suffix])


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, Record]]:
    decoder = msgspec.json.Decoder(Record)
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            yield line, decoder.decode(row)
        except msgspec.MsgspecError as error:
            raise Undecodable(f"{path}, line {line}: {error}") from error


def _csv_rows(text: str, path: Path, *, delimiter: str) -> Iterator[tuple[int, Record]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in rows:
            if None in row:
                raise Undecodable(f"{path}, line {rows.line_num}: more fields than the first line names")
            yield rows.line_num, row
    except csv.Error as error:
        raise Undecodable(f"{path}, after line {rows.line_num}: {error}") from error


def _found(columns: Columns, there: Sequence[str], *, path: Path) -> _Found:
    topic = _column(columns.topic, ("topic",), there, path=path)
    sentiment = _column(columns.label, SENTIMENT_COLUMNS, [name for name in there if name != topic], path=path)
    text = _column(columns.text, ("text",), there, path=path)
    title = _column(None, ("title",), there, path=path) if columns.text is None else None
    if text is None and title is None:
        raise ConfigError(f"{path} has no column `text` or `title`, only {_listed(there)}: name it with --text-column")
    if sentiment is None and topic is None:
        raise ConfigError(f"{path} has no column `sentiment`, `label` or `topic`, only {_listed(there)}: name it with --label-column or --topic-column")
    return _Found(title, text, sentiment, topic)


def _column(wanted: str | None, usual: Iterable[str], there: Sequence[str], *, path: Path) -> str | None:
    if wanted is not None:
        if wanted not in there:
            raise ConfigError(f"{path} has no column `{wanted}`, only {_listed(there)}")
        return wanted
    lower = {name.lower(): name for name in reversed(there)}
    return next((lower[name] for name in usual if name in lower), None)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _labelled(record: Record, found: _Found, *, line: int, names: Sequence[str]) -> Labelled:
    title, text = (_plain(record.get(column)) if column else "" for column in (found.title, found.text))
    return Labelled(
        line=line,
        title=title,
        text=text,
        kind=_kind(record.get("kind"), line=line),
        lang=str(record.get("lang") or detect(f"{title}\n{text}")),
        sentiment=_label(record, found.sentiment, sentiment_of, line=line, names=names),
        topic=_label(record, found.topic, topic_of, line=line, names=names),
    )


def _plain(value: object) -> str:
    """Published sets often hold HTML entities; documents do not."""
    return html.unescape(str(value)).strip() if value is not None else ""


def _kind(value: object, *, line: int) -> DocumentKind:
    if value is None or value == "":
        return DocumentKind.NEWS
    try:
        return DocumentKind(str(value).strip().lower())
    except ValueError as error:
        raise InvalidRecord(f"line {line}: the kind {value!r} is none of {', '.join(DocumentKind)}") from error


def _label(record: Record, column: str | None, index_of: Callable[[str], int | None], *, line: int, names: Sequence[str]) -> int | None:
    value = record.get(column) if column else None
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    if _NUMBER.fullmatch(text):
        text = _named(int(float(text)), names, column=column, line=line)
    index = index_of(text)
    if index is None:
        raise InvalidRecord(f"line {line}: the {column} {text!r} is not known")
    return index


def _named(number: int, names: Sequence[str], *, column: str | None, line: int) -> str:
    if not names:
        raise ConfigError(f"line {line}: the {column} is the number {number}: say what the numbers from 0 on stand for, e.g. --labels negative,neutral,positive")
    if not 0 <= number < len(names):
        raise InvalidRecord(f"line {line}: the {column} {number} has no name among {len(names)} of --labels")
    return names[number]
