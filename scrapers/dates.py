"""Publication times: read strictly, with a zone, or not at all. A guessed time paints the wrong window."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from opinion.codec import EARLIEST, FUTURE_SLACK
from opinion.records import Precision

_MONTHS = {name: number for number, name in enumerate(["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"], start=1)}
_ZONES_H = {"z": 0, "ut": 0, "utc": 0, "gmt": 0, "est": -5, "edt": -4, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
"""Named zones of RFC 822, in hours from UTC. CST is left out: Chinese feeds mean +8 by it, American ones -6."""

_RFC822 = re.compile(
    r"(?:[A-Za-z]{3,9},?\s+)?(?P<day>\d{1,2})[\s-](?P<month>[A-Za-z]{3})[a-z]*[\s-](?P<year>\d{4})\s+"
    r"(?P<hour>\d{1,2}):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.\d+)?)?\s*(?P<zone>[+-]\d\d:?\d\d|[A-Za-z]{1,3})(?:\s*\([^()]*\))?",
    re.ASCII,
)
_RFC3339 = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[Tt ](?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?\s?(?P<zone>[Zz]|[+-]\d\d:?\d\d)",
    re.ASCII,
)


def read_date(raw: str, *, fetched_at: datetime) -> tuple[datetime | None, Precision | None]:
    """The instant that RFC 822 or RFC 3339 text names, in UTC, and how exact it is; (None, None) where it cannot be trusted.

    Not trusted: no zone, another form, before 1990, more than 10 minutes after `fetched_at`.

    >>> now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    >>> read_date("Mon, 23 Nov 2026 17:30 +0800", fetched_at=now)[0].isoformat()
    '2026-11-23T09:30:00+00:00'
    >>> read_date("2026-11-23 09:30:00", fetched_at=now)
    (None, None)
    """
    text = raw.strip()
    match = _RFC3339.fullmatch(text) or _RFC822.fullmatch(text)
    if match is None:
        return None, None
    try:
        at = _instant(match)
    except (ValueError, KeyError, OverflowError):
        return None, None
    if not EARLIEST <= at <= fetched_at + FUTURE_SLACK:
        return None, None
    return at, Precision.SECOND if match["second"] else Precision.MINUTE


def _instant(match: re.Match[str]) -> datetime:
    """Raises ValueError or KeyError for parts that name no instant."""
    part = match.groupdict()
    month = part["month"]
    return datetime(
        int(part["year"]),
        int(month) if month.isdigit() else _MONTHS[month.lower()],
        int(part["day"]),
        int(part["hour"]),
        int(part["minute"]),
        int(part["second"] or 0),
        int((part.get("fraction") or "0").ljust(6, "0")[:6]),
        tzinfo=_zone(part["zone"]),
    ).astimezone(UTC)


def _zone(text: str) -> timezone:
    if text[0] not in "+-":
        return timezone(timedelta(hours=_ZONES_H[text.lower()]))
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)
