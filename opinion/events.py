"""When a document counts, and as what: pure rules of event time."""

from __future__ import annotations

from datetime import datetime, timedelta

from opinion.records import Document, Precision

TRUSTED_LATENESS = timedelta(minutes=15)
"""A publication time up to this long before the fetch is believed; an older one cannot paint the past."""
STALE_AFTER = timedelta(hours=24)
"""Documents published longer ago than this when fetched are judged but not counted."""


def event_time(document: Document) -> tuple[datetime, bool]:
    """The instant a document counts at, and whether it counts at all.

    `published_at` where it has minute precision or better and lies within 15 minutes before `fetched_at`, else
    `fetched_at`. So a source that catches up after an outage, or lies about dates, cannot paint the past or the future.
    """
    published, fetched = document.published_at, document.fetched_at
    if published is None:
        return fetched, True
    if document.published_precision != Precision.DAY and fetched - TRUSTED_LATENESS <= published <= fetched:
        return published, True
    return fetched, published >= fetched - STALE_AFTER


def telling_day(document: Document, event_at: datetime) -> int:
    """The day (since 1970, UTC) within which a telling counts once.

    That of the publication where there is one: it stays the same however often the item is fetched.
    """
    at = document.published_at if document.published_at is not None else event_at
    return int(at.timestamp() // 86400)
