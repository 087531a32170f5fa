"""The panes of every subject, and what all of them together say of an hour."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alerts.detect.discovery import Lift
from alerts.detect.rules import HOUR_S
from alerts.detect.series import CLEAR, NEGATIVE, ROWS, TOTAL, Change, CountGrid, Ints, PaneSeries
from opinion.windows import QUARTER_S

SILENCE_DAYS, SILENCE_LEAST = 7, 5
"""An hour is silent where each of at least three of the last seven days had so many texts at this time of day, and it has none."""
SILENCE_KNOWN_DAYS = 3


class Panes:
    """Series by subject, their hourly sum, and how many subjects were spoken of in each hour."""

    def __init__(self) -> None:
        self.series: dict[str, PaneSeries] = {}
        self.pool = CountGrid()
        self.pool_quarters = CountGrid()
        self.clear_since: int | None = None  # the first hour (since 1970) that is known to hold a clearly negative text: before it nobody told them apart
        self._voices: dict[int, int] = {}

    def put(self, subject: str, start_s: int, *, total: int, negative: int, clear: int = 0) -> PaneSeries:
        """Set the counts of a subject's minute that holds the instant `start_s` (epoch seconds); its series comes back."""
        series = self.series.get(subject)
        if series is None:
            series = self.series[subject] = PaneSeries()
        change = series.put(start_s, total=total, negative=negative, clear=clear)
        if any(change):
            hour = series.hour_of(series.boundary(start_s))
            self.pool.add(hour, total=change[TOTAL], negative=change[NEGATIVE], clear=change[CLEAR])
            self.pool_quarters.add(series.quarter_of(series.boundary(start_s)), total=change[TOTAL], negative=change[NEGATIVE], clear=change[CLEAR])
            self._told_apart(hour, clear)
            now = series.hours.total(hour)
            self._heard(hour, (now > 0) - (now - change[TOTAL] > 0))
        return series

    def put_hours(self, subject: str, hours: Mapping[int, Change]) -> None:
        """Set whole hours (since 1970) of which no panes are held any more."""
        series = self.series.setdefault(subject, PaneSeries())
        for hour, (total, negative, clear) in hours.items():
            if not series.hours.total(hour) and total:
                series.hours.put(hour, total=total, negative=negative, clear=clear)
                self.pool.add(hour, total=total, negative=negative, clear=clear)
                self._told_apart(hour, clear)
                self._heard(hour, 1)

    def load(self, subject: str, starts_s: Ints, counts: Ints, *, pane_s: int) -> None:
        """Set all panes of a new subject at once, of any width: `counts` is (2, n) of total and negative, or (3, n) with the clearly negative; `starts_s` must rise."""
        if subject in self.series:
            raise ValueError(f"{subject} has panes already")
        series = self.series[subject] = PaneSeries(pane_s=pane_s, anchor_s=int(starts_s[0]))
        counts = np.concatenate([counts, np.zeros((ROWS - len(counts), counts.shape[1]), np.int64)])
        hours = series.load(starts_s, counts)
        if counts[CLEAR].any():
            self._told_apart(int(hours[counts[CLEAR] > 0][0]), 1)
        self.pool.add_many(hours, counts)
        self.pool_quarters.add_many(series.quarters_of(starts_s), counts)
        for hour in np.unique(hours[counts[TOTAL] > 0]).tolist():
            self._heard(hour, 1)

    def of(self, subject: str) -> PaneSeries:
        """The panes of a subject; empty ones where it was never heard of."""
        return self.series.get(subject) or PaneSeries()

    def voices(self, at_s: int) -> int:
        """How many subjects were spoken of in an hour of the three before that of an instant, late documents in."""
        hour = (at_s - QUARTER_S) // HOUR_S
        return max(self._voices.get(known, 0) for known in range(hour - 3, hour))

    def silent(self, at_s: int) -> bool:
        """Whether all sources seem to have fallen silent: no text of any subject in the last full hour, where other days had some."""
        hour = (at_s - QUARTER_S) // HOUR_S - 1
        if self._voices.get(hour, 0):
            return False
        known = [self.pool.total(hour - 24 * day) for day in range(1, SILENCE_DAYS + 1)]
        days = [total for day, total in enumerate(known, 1) if self._any_before(hour - 24 * day)]
        return len(days) >= SILENCE_KNOWN_DAYS and min(days) >= SILENCE_LEAST

    def lift(self, at_s: int) -> Lift:
        """The shares of negatives and of clear ones of all subjects in the last full hour, late documents in, over those of the week before."""
        quarter = at_s // QUARTER_S - 1
        total, *now = self.pool_quarters.slice(quarter - 4, quarter).sum(axis=1).tolist()
        hour = quarter // 4 - 1
        usual_total, *usual = self.pool.slice(hour - 168, hour).sum(axis=1).tolist()
        return Lift(*(count * usual_total / (total * known) if total and known else 1.0 for count, known in zip(now, usual, strict=True)))

    def trim_pool(self, hour: int) -> None:
        """Forget the sums of hours before this one."""
        self.pool.trim(hour)
        self.pool_quarters.trim(4 * hour)
        self._voices = {known: count for known, count in self._voices.items() if known >= hour}

    def _any_before(self, hour: int) -> bool:
        return bool(self._voices) and min(self._voices) <= hour

    def _told_apart(self, hour: int, clear: int) -> None:
        if clear and (self.clear_since is None or hour < self.clear_since):
            self.clear_since = hour

    def _heard(self, hour: int, change: int) -> None:
        if change:
            self._voices[hour] = self._voices.get(hour, 0) + change
            if not self._voices[hour]:
                del self._voices[hour]
