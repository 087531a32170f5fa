"""The panes of every subject, and what all of them together say of an hour."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from alerts.detect.discovery import Shift, shift_of
from alerts.detect.rules import HOUR_S
from alerts.detect.series import CLEAR, NEGATIVE, ROWS, TOTAL, Change, CountGrid, Ints, PaneSeries
from opinion.windows import PANE_S, QUARTER_S

SILENCE_DAYS, SILENCE_LEAST = 7, 5
"""An hour is silent where each of at least three of the last seven days had so many texts at this time of day, and it has none."""
SILENCE_KNOWN_DAYS = 3
SHIFT_MIN, SHIFT_TEXTS = (5, 15, 60), 200
"""Minutes over which a shift of all subjects is looked for, and the texts that must lie in them: a new model shows within minutes where much is said."""
SHIFT_USUAL_H = 168
MINUTES_KEPT_S = 2 * HOUR_S


class Panes:
    """Series by subject, their hourly sum, and how many subjects were spoken of in each hour."""

    def __init__(self) -> None:
        self.series: dict[str, PaneSeries] = {}
        self.pool = CountGrid()
        self.pool_minutes = CountGrid()
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
            self.pool_minutes.add(_minute_of(series, series.boundary(start_s)), total=change[TOTAL], negative=change[NEGATIVE], clear=change[CLEAR])
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
        self.pool_minutes.add_many((series.instants((starts_s - series.anchor_s) // pane_s + 1) - 1) // PANE_S, counts)
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

    def shift(self, at_s: int) -> Shift:
        """What all subjects show in the last minutes, or the last hour where that is more, beside the week that ended two hours ago."""
        hour, minute = at_s // HOUR_S - 2, at_s // PANE_S
        usual = self.pool.slice(hour - SHIFT_USUAL_H, hour).sum(axis=1).tolist()
        spans = [self.pool_minutes.slice(minute - width, minute).sum(axis=1).tolist() for width in SHIFT_MIN]
        return max((shift_of(now, usual) for now in spans if now[TOTAL] >= SHIFT_TEXTS), default=Shift())

    def trim_pool(self, hour: int, *, closed_s: int) -> None:
        """Forget the sums of hours before this one, and of minutes that no look after `closed_s` asks for."""
        self.pool.trim(hour)
        self.pool_minutes.trim((closed_s - MINUTES_KEPT_S) // PANE_S)
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


def _minute_of(series: PaneSeries, pane: int) -> int:
    """The minute (since 1970) that a pane ends in."""
    return (series.instant(pane + 1) - 1) // PANE_S
