"""What the bodies of web APIs are wrapped in, and how they tell time: to values, strictly."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, TypeVar

import msgspec

from opinion.codec import EARLIEST, FUTURE_SLACK
from opinion.errors import PageChanged, SourceWalled
from opinion.records import Precision
from scrapers.charset import decode_body
from scrapers.source import Response

T = TypeVar("T")

SiteId = int | Annotated[str, msgspec.Meta(pattern=r"^[0-9A-Za-z_-]{1,40}\Z")]
"""An id as sites give it, safe to stand in an address."""
BEIJING = timezone(timedelta(hours=8))
"""China's only zone; no summer time since 1991."""
_JSONP = re.compile(  # possessive: what is hostile must not cost time
    r"\s*+(?:try\s*+\{\s*+)?[\w$.]{1,80}\s*+\(\s*+(?P<value>[\[{].*[\]}])\s*+\)\s*+;?\s*+(?:\}\s*+catch\s*+\(\w*+\)\s*+\{[^{}]{0,200}\}\s*+;?\s*+)?", re.DOTALL
)
_ASSIGNED = re.compile(r"\s*+(?:(?:var|let|const)\s++)?[\w$.]{1,80}\s*+=\s*+(?P<value>[\[{].*[\]}])\s*+;?\s*+", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})|\\")
_CLOCK = re.compile(r"(?P<year>\d{4})[-/年](?P<month>\d{1,2})[-/月](?P<day>\d{1,2})日?(?:(?:[ T]\s*|(?<=日))(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d))?)?", re.ASCII)
_CHALLENGES = ("cf-mitigated", "x-datadome", "x-amzn-waf-action")
_MARKUP = ("<!doctype html", "<html", "<head", "<script", "<?xml", "<body", "<div", "<title", "<meta", "<!--")

When = tuple[datetime | None, Precision | None]
"""An instant in UTC and how exact it is; (None, None) where it cannot be trusted."""


def text_of(response: Response) -> str:
    """The body as text, without marks and spaces around it.

    Errors:
        PageChanged: it is empty.
        SourceWalled: a challenge.
    """
    if any(name in response.headers for name in _CHALLENGES):
        raise SourceWalled("a challenge instead of data")
    text = decode_body(response.body, content_type=response.headers.get("content-type", "")).text.strip("\ufeff \t\r\n")
    if not text:
        raise PageChanged("the body is empty")
    return text


def json_of(response: Response, kind: type[T]) -> T:
    """The JSON in a body, out of JSONP and assignments of scripts, as a `kind`; unknown fields are ignored, bad escapes read as they stand.

    Errors:
        PageChanged: no JSON, or JSON of another form.
        SourceWalled: a page for people instead of data.
    """
    text = text_of(response)
    if text[:200].lower().startswith(_MARKUP):
        raise SourceWalled("a web page instead of data")
    if text[0] not in "[{":
        match = _JSONP.fullmatch(text) or _ASSIGNED.fullmatch(text)
        if match is None:
            raise PageChanged("no JSON")
        text = match["value"]
    try:
        return msgspec.convert(json_value(text), kind, strict=False)
    except msgspec.ValidationError as error:
        raise PageChanged(f"JSON of another form: {error}") from error
    except (ValueError, RecursionError) as error:
        raise PageChanged("JSON that is cut off or broken") from error


def json_value(text: str) -> Any:
    """What JSON says; escapes that it does not know are read as they stand, raw line breaks and halves of characters let pass.

    Errors:
        ValueError, RecursionError: it is cut off or broken.
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return json.loads(_ESCAPE.sub(lambda match: match[0] if len(match[0]) > 1 else "\\\\", text), strict=False)


def item_of(raw: object, kind: type[T]) -> T | str:
    """One row as a `kind`, or why it is none: one bad row must not cost the others."""
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        return str(error)


def beijing(raw: str, *, fetched_at: datetime) -> When:
    """The instant that a Chinese clock string without a zone names.

    >>> beijing("2026-11-20 09:30:05", fetched_at=datetime(2026, 11, 23, tzinfo=UTC))[0].isoformat()
    '2026-11-20T01:30:05+00:00'
    >>> beijing("2026年11月20日", fetched_at=datetime(2026, 11, 23, tzinfo=UTC))[1].value
    'day'
    """
    match = _CLOCK.fullmatch(raw.strip())
    if match is None:
        return None, None
    part = {name: int(value) for name, value in match.groupdict().items() if value is not None}
    try:
        at = datetime(part["year"], part["month"], part["day"], part.get("hour", 0), part.get("minute", 0), part.get("second", 0), tzinfo=BEIJING)
    except ValueError:
        return None, None
    return trusted(at, Precision.SECOND if "second" in part else Precision.MINUTE if "hour" in part else Precision.DAY, fetched_at=fetched_at)


def epoch(raw: float | str | None, *, fetched_at: datetime, unit_s: float = 1.0) -> When:
    """The instant that a count of units since 1970 names.

    >>> epoch("1783175888", fetched_at=datetime(2026, 11, 23, tzinfo=UTC))[0].isoformat()
    '2026-07-04T14:38:08+00:00'
    """
    try:
        at = datetime.fromtimestamp(float(raw or "") * unit_s, UTC)
    except (ValueError, OverflowError, OSError):
        return None, None
    return trusted(at, Precision.SECOND, fetched_at=fetched_at)


def trusted(at: datetime, precision: Precision, *, fetched_at: datetime) -> When:
    """The instant in UTC where it can be one of publication: not before 1990, not more than ten minutes ahead."""
    at = at.astimezone(UTC)
    return (at, precision) if EARLIEST <= at <= fetched_at + FUTURE_SLACK else (None, None)
