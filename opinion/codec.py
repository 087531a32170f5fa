"""Bytes to record and back: JSON, UTF-8, with the schema version checked before the fields."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from opinion.errors import EmptyDocument, InvalidRecord, Undecodable, UnknownSchema
from opinion.records import SCHEMA, Alert, DeadLetter, Delivery, Document, ScoredDocument

R = TypeVar("R", bound=msgspec.Struct)

MAX_RECORD_BYTES = 8 * 1024 * 1024
"""Largest record we write or read: a megabyte of text, escaped, with room. Also the brokers' message limit."""
MAX_TEXT_CHARS = 100_000
"""Longest text kept; longer ones are cut and marked `extra.truncated`. The longest prospectus article seen is 60,000."""
FUTURE_SLACK = timedelta(minutes=10)
"""How far ahead of its fetching a publication time may lie (clocks differ) before it is distrusted."""
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
"""Publication times before this are parse errors, not news."""

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[type[Any], msgspec.json.Decoder[Any]] = {kind: msgspec.json.Decoder(kind) for kind in (Document, ScoredDocument, Alert, DeadLetter, Delivery)}


class _Version(msgspec.Struct):
    schema: int | None = None


_VERSION = msgspec.json.Decoder(_Version)
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def encode(record: msgspec.Struct) -> bytes:
    """The record as JSON bytes, fields in their declared order: equal records give equal bytes."""
    return _ENCODER.encode(record)


def decode(data: bytes | None, kind: type[R]) -> R:
    """The record in `data`.

    Errors:
        Undecodable: not UTF-8 JSON, or no bytes at all.
        UnknownSchema: written by a newer major version.
        InvalidRecord: JSON of another form; the message names the field.
    """
    if not data:
        msg = "no bytes where a record should be"
        raise Undecodable(msg)
    if len(data) > MAX_RECORD_BYTES:
        msg = f"{len(data)} bytes, more than {MAX_RECORD_BYTES}"
        raise InvalidRecord(msg)
    try:
        record: R = _DECODERS[kind].decode(data)
    except msgspec.ValidationError as error:
        _refuse_newer(data)
        raise InvalidRecord(str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        msg = f"not UTF-8 JSON: {error}"
        raise Undecodable(msg) from error
    version = getattr(record, "schema", SCHEMA)
    if version > SCHEMA:
        raise _newer(version)
    if version < 1:
        msg = f"schema {version} was never written"
        raise InvalidRecord(msg)
    return record


def _refuse_newer(data: bytes) -> None:
    """Raise UnknownSchema where a newer version explains why the fields do not fit."""
    try:
        version = _VERSION.decode(data).schema
    except (msgspec.MsgspecError, RecursionError):
        return
    if version is not None and version > SCHEMA:
        raise _newer(version)


def _newer(version: int) -> UnknownSchema:
    return UnknownSchema(f"schema {version} is newer than {SCHEMA}, the newest this program reads: upgrade it")


def clean_text(text: str) -> str:
    r"""The text without NUL, other control characters and lone surrogates.

    >>> clean_text("a\x00b\ud800c")
    'abc'
    """
    return _UNSAFE.sub("", text)


def checked(document: Document) -> Document:
    """The document made safe to judge: text cleaned and cut, an impossible publication time dropped.

    Errors:
        EmptyDocument: neither title nor text is left (a deletion needs none).
        InvalidRecord: an id is missing.
    """
    if not document.doc_id or not document.source:
        msg = "doc_id and source must not be empty"
        raise InvalidRecord(msg)
    title, text = clean_text(document.title).strip(), clean_text(document.text).strip()
    if not title and not text and document.op != "delete":
        msg = f"{document.doc_id} has neither title nor text"
        raise EmptyDocument(msg)
    changes: dict[str, Any] = {}
    if len(text) > MAX_TEXT_CHARS or len(title) > MAX_TEXT_CHARS:
        title, text = title[:MAX_TEXT_CHARS], text[:MAX_TEXT_CHARS]
        changes["extra"] = {**document.extra, "truncated": True}
    if title != document.title or text != document.text:
        changes |= {"title": title, "text": text}
    at = document.published_at
    if at is not None and not EARLIEST <= at <= document.fetched_at + FUTURE_SLACK:
        changes |= {"published_at": None, "published_precision": None}
        changes["extra"] = {**changes.get("extra", document.extra), "published_raw": at.isoformat()}
    return msgspec.structs.replace(document, **changes) if changes else document
