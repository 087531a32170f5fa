"""What a server that asks us to wait means: sources and webhooks obey it alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 86_400.0
"""A server may slow us down for a day, not for a year."""

_SECONDS = re.compile(r"-?\d+(?:\.\d+)?")


def retry_after_s(value: str | None, *, now: datetime) -> float | None:
    """Seconds that a Retry-After asks for, from 0 to a day; None where it says nothing that can be read.

    Source: RFC 9110 section 10.2.3: seconds, or a date in any of the three forms of section 5.6.7.

    >>> now = datetime(2026, 11, 23, 12, tzinfo=UTC)
    >>> retry_after_s("120", now=now), retry_after_s("Mon, 23 Nov 2026 12:01:00 GMT", now=now), retry_after_s("soon", now=now)
    (120.0, 60.0, None)
    """
    value = (value or "").strip()
    if _SECONDS.fullmatch(value):
        asked_s = float(value[:20])
    else:
        at = http_date(value)
        if at is None:
            return None
        asked_s = (at - now).total_seconds()
    return min(max(asked_s, 0.0), LONGEST_WAIT_S)


def until_s(value: str | None, *, now: datetime) -> float | None:
    """Seconds until the instant that an X-Rate-Limit-Reset names, from 0 to a day; None where it names none.

    Source: X's documentation of rate limits: seconds since 1970.

    >>> until_s("1795435230", now=datetime(2026, 11, 23, 12, tzinfo=UTC)), until_s("soon", now=datetime(2026, 11, 23, 12, tzinfo=UTC))
    (30.0, None)
    """
    value = (value or "").strip()
    if not (value.isascii() and value.isdecimal()):
        return None
    return min(max(float(value[:20]) - now.timestamp(), 0.0), LONGEST_WAIT_S)


def http_date(value: str) -> datetime | None:
    """The instant of an HTTP date; None where it is none."""
    try:
        at = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)  # asctime's form has no zone: HTTP dates are GMT
