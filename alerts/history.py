"""A subject over time, for charts: from minutes where they are kept, from sums by the hour before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from opinion.windows import HOUR_S, WindowStore

MOST_POINTS = 5_000
FEW_POINTS = 500
"""As many as a screen is wide."""
MINUTES_KEPT = timedelta(days=8)
"""Minutes live nine days (opinion/windows.py); the ninth may be going."""
STEPS_S = (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 86_400)


def step_of(length: timedelta, *, points: int = FEW_POINTS) -> int:
    """The finest usual step, in seconds, that gives at most so many points.

    >>> step_of(timedelta(hours=8)), step_of(timedelta(days=30))
    (60, 10800)
    """
    found = next((step_s for step_s in STEPS_S if length.total_seconds() / step_s <= points), None)
    return found or -(-int(length.total_seconds()) // (points * STEPS_S[-1])) * STEPS_S[-1]


async def history(windows: WindowStore, subject: str, *, since: datetime, until: datetime, step_s: int, now: datetime) -> list[dict[str, Any]]:
    """Points of whole steps that cover [since, until), oldest first: `at`, `total`, `negative`, `ratio` (None where nothing was told).

    Steps begin at multiples of their length since 1970. What is older than MINUTES_KEPT is known by the hour only: a finer step holds all of an hour
    at its beginning.

    Errors:
        StoreUnavailable: Redis does not answer (retryable).
    """
    first, last = int(since.timestamp()) // step_s, -(-int(until.timestamp()) // step_s)
    begin_s, end_s = first * step_s, last * step_s
    kept_s = int((now - MINUTES_KEPT).timestamp()) // HOUR_S * HOUR_S
    fine_s = end_s if step_s % HOUR_S == 0 else max(begin_s, kept_s)  # steps of hours need no minutes: 60 times as many numbers for the same sums
    sums: dict[int, list[int]] = {}
    if begin_s < fine_s:
        hours = await windows.hours_of([subject], first_hour=begin_s // HOUR_S)
        for number, (total, negative, _) in hours[subject].items():
            if number * HOUR_S < fine_s:
                _add(sums, number * HOUR_S // step_s, total, negative)
    if fine_s < end_s:
        counts = await windows.counts_of([subject], since=datetime.fromtimestamp(fine_s, UTC))
        for start_s, total, negative, _ in counts[subject]:
            if start_s >= fine_s:
                _add(sums, start_s // step_s, total, negative)
    return [_point(number * step_s, *sums.get(number, (0, 0))) for number in range(first, last)]


def _add(sums: dict[int, list[int]], number: int, total: int, negative: int) -> None:
    held = sums.setdefault(number, [0, 0])
    held[0] += total
    held[1] += negative


def _point(at_s: int, total: int, negative: int) -> dict[str, Any]:
    at = datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
    return {"at": at, "total": total, "negative": negative, "ratio": negative / total if total else None}
