"""What was usual of a subject over time, for charts: the detection's own rule on what is kept of the past.

The share over all subjects, which stands in where little is known, is taken of the topics: every text counts in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import numpy as np

from alerts.detect.baseline import RECENT_MEMORY, usual_of
from alerts.detect.rules import Rules
from alerts.detect.series import CountGrid, PaneSeries
from alerts.history import MINUTES_KEPT
from opinion.records import TOPICS
from opinion.windows import HOUR_S, QUARTER_S, WindowStore

TOPIC_SUBJECTS = tuple(f"topic:{name}" for name in TOPICS)


async def usual_ratios(windows: WindowStore, subject: str, *, begins: Sequence[datetime], now: datetime, rules: Rules) -> list[float]:
    """The usual ratio as known at each of some rising instants.

    Errors:
        StoreUnavailable: Redis does not answer (retryable).
    """
    first_hour = int(begins[0].timestamp()) // HOUR_S - rules.history_h
    hours = await windows.hours_of([subject, *TOPIC_SUBJECTS], first_hour=first_hour)
    fine_since = max(begins[0] - timedelta(hours=RECENT_MEMORY * rules.recent_half_life_h), now - MINUTES_KEPT)
    minutes = (await windows.counts_of([subject], since=fine_since))[subject]
    series, pool = PaneSeries(), CountGrid()
    _add(series.hours, hours[subject].items())
    _add(series.quarters, ((start_s // QUARTER_S, sums) for start_s, *sums in minutes))
    for topic in TOPIC_SUBJECTS:
        _add(pool, hours[topic].items())
    quarters = np.array([int(at.timestamp()) // QUARTER_S for at in begins], np.int64)
    known, where = np.unique(quarters, return_inverse=True)
    found: list[float] = usual_of(series, known, pool=pool, rules=rules).share[where].tolist()
    return found


async def last_hours(windows: WindowStore, subjects: Sequence[str], *, hours: int, now: datetime) -> dict[str, list[tuple[int, int]]]:
    """Total and negative of each of the last hours, the one that is running included, oldest first.

    Errors:
        StoreUnavailable: Redis does not answer (retryable).
    """
    last = int(now.timestamp()) // HOUR_S
    found = await windows.hours_of(subjects, first_hour=last - hours)
    return {subject: [found[subject].get(hour, (0, 0, 0))[:2] for hour in range(last - hours, last + 1)] for subject in subjects}


def _add(grid: CountGrid, counts: Iterable[tuple[int, Sequence[int]]]) -> None:
    for cell, (total, negative, _) in counts:
        grid.add(cell, total=total, negative=negative)
