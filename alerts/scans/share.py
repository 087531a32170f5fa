"""The share scan at work: what is usual of each subject, remembered; the dispersion that all subjects show, learned by the hour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct, field

from alerts.detect.baseline import Usual, long_usual_of, usual_of, usual_of_many
from alerts.detect.dispersion import LEAST_EXPECTED, Dispersion
from alerts.detect.rules import HOUR_S, QUARTERS, Rules
from alerts.detect.series import NEGATIVE, ROWS, Floats, Ints, PaneSeries, slices
from alerts.detect.share import Lens, Sums, clear_scores, score_range, too_few
from alerts.scans.look import Look
from alerts.scans.panes import Panes
from opinion.records import Scan
from opinion.windows import QUARTER_S

MOST_REMEMBERED = 16
"""Baselines remembered of a subject: the quarter hours that its windows begin in during three hours."""
DAY_H = 24


class Learned(Struct, frozen=True):
    """What the dispersions stand on, see detect.dispersion: to be saved."""

    hours: dict[int, tuple[int, int]] = field(default_factory=dict)
    days: dict[int, tuple[int, int]] = field(default_factory=dict)


class ShareScan:
    """Judges shares of negatives in windows of minutes to hours, and over days. `rules` are those of all subjects: what is usual is learned by them."""

    def __init__(self, panes: Panes, rules: Rules, learned: Learned | None = None) -> None:
        learned = learned or Learned()
        self._hours = Dispersion(learned.hours, rho=rules.rho_of(HOUR_S), weight=rules.rho_weight)
        self._days = Dispersion(learned.days, rho=rules.day_rho, weight=rules.day_rho_weight)
        self._panes = panes
        self._rules = rules
        self._factors: dict[int, float] = {}  # of rho, in the hours asked for
        self._usual: dict[str, dict[int, list[float]]] = {}  # the newest baselines asked for, by quarter hour; columns as in Usual

    def look(self, subject: str, boundaries: Ints, sums: Sums, *, views: Sequence[Lens], rules: Rules) -> Look:
        """One subject at many boundaries of its panes."""
        series = self._panes.series[subject]
        instants = series.instants(boundaries)
        asked = _quarters(instants, views)
        known, where = np.unique(asked, return_inverse=True)
        usual = Usual(*(column[where.reshape(asked.shape)] for column in self.usual(subject, known)))
        return self._judged(instants, sums, usual, views=views, rules=rules)

    def look_at(self, subjects: Sequence[str], instant_s: int, sums: Sums, *, views: Sequence[Lens], rules: Rules) -> Look:
        """Many subjects, whose panes and rules are alike, at one instant."""
        instants = np.full(len(subjects), instant_s)
        known, where = np.unique(_quarters(instants[:1], views)[:, 0], return_inverse=True)
        usual = Usual(*(column[:, where].T for column in self._usuals_of(subjects, known)))
        return self._judged(instants, sums, usual, views=views, rules=rules)

    def day(self, subjects: Sequence[str], hours: Ints, *, rules: Rules) -> Look:
        """The days up to the beginnings of the rising `hours`: of one subject, or of many subjects at one hour."""
        series = [self._panes.series[subject] for subject in subjects]
        first, last = int(hours[0]), int(hours[-1])
        running = np.cumsum(slices([one.hours for one in series], first - DAY_H, last), axis=2)
        ends = np.concatenate([np.zeros((ROWS, len(series), 1), np.int64), running], axis=2)[:, :, np.concatenate([hours - first + DAY_H, hours - first])]
        counts = (ends[:, :, : len(hours)] - ends[:, :, len(hours) :]).reshape(ROWS, 1, -1)
        known = long_usual_of(series, hours - DAY_H, pool=self._panes.pool, rules=self._rules, clear_since=self._panes.clear_since)
        usual = Usual(*(column.reshape(1, -1) for column in known))
        at_s = np.tile(hours * HOUR_S, len(series))
        sums = Sums(*counts)
        rho = rules.day_rho * np.tile(self._days.factors(hours, rules=self._rules), len(series)) + usual.doubt
        score = np.maximum(score_range(sums, usual=usual.share, rho=rho, rules=rules), clear_scores(sums, usual, rho=rho, rules=rules))
        score[usual.texts < rules.prior_weight] = 0.0  # of whom little was known a day ago, no day stands out
        zeros = np.zeros(len(at_s))
        expected = usual.share * sums.total
        return Look(Scan.DAY, (DAY_H * HOUR_S,), at_s, sums, expected, expected * usual.clear, score, zeros, zeros, usual.texts[0])

    def usual(self, subject: str, quarters: Ints) -> Usual:
        """What is usual of a subject at rising quarter hours."""
        if len(quarters) > MOST_REMEMBERED or subject not in self._panes.series:
            return usual_of(self._panes.of(subject), quarters, pool=self._panes.pool, rules=self._rules, clear_since=self._panes.clear_since)
        return Usual(*(column[0] for column in self._usuals_of([subject], quarters)))

    def learn(self, closed_s: int, *, since_s: int | None) -> None:
        """Learn the dispersion of hours that late documents can no longer change, since the last time."""
        end = (closed_s - QUARTER_S) // HOUR_S
        known = None if since_s is None else (since_s - QUARTER_S) // HOUR_S
        if known is not None and known >= end:
            return
        for series in self._panes.series.values():
            first = series.hours.first() if known is None else known
            if first is None or first >= end or series.pane_s > HOUR_S:
                continue
            total, negative, _ = series.hours.slice(first, end)
            spoken = np.nonzero(total >= LEAST_EXPECTED)[0]
            if len(spoken):
                hours = first + spoken
                usual = usual_of(series, hours * QUARTERS, pool=self._panes.pool, rules=self._rules)
                self._hours.add(hours, total=total[spoken], negative=negative[spoken], usual=usual.share, texts=usual.texts)
            self._learn_days(series, first, end)

    def learned(self) -> Learned:
        """What to save."""
        return Learned(self._hours.sums(), self._days.sums())

    def forget(self, hour: int) -> None:
        """Forget what was learned of hours before this one."""
        self._hours.trim(hour)
        self._days.trim(hour)
        self._factors = {known: factor for known, factor in self._factors.items() if known >= hour}

    def _learn_days(self, series: PaneSeries, first: int, end: int) -> None:
        """The days that ended in the hours [first, end)."""
        ends = np.arange(-(-(first + 1) // DAY_H), end // DAY_H + 1) * DAY_H
        if len(ends):
            total, negative = (series.hours.slice(int(ends[0]) - DAY_H, int(ends[-1])).reshape(ROWS, -1, DAY_H)).sum(axis=2)[: NEGATIVE + 1]
            usual = long_usual_of([series], ends - DAY_H, pool=self._panes.pool, rules=self._rules)
            self._days.add(ends - 1, total=total, negative=negative, usual=usual.share[0], texts=usual.texts[0])

    def _judged(self, instants: Ints, sums: Sums, usual: Usual, *, views: Sequence[Lens], rules: Rules) -> Look:
        rho = np.array([view.rho for view in views])[:, np.newaxis] * self._factors_at(instants) + usual.doubt
        score = np.maximum(score_range(sums, usual=usual.share, rho=rho, rules=rules), clear_scores(sums, usual, rho=rho, rules=rules))
        score[too_few(sums, views)] = 0.0
        widest = Sums(*(rows[-1:] for rows in sums))
        level = score_range(widest, usual=usual.long_share[-1:], rho=np.full((1, len(instants)), rules.level_rho), rules=rules)[0]
        widths = tuple(view.width_s for view in views)
        expected = usual.share * sums.total
        return Look(Scan.SHARE, widths, instants, sums, expected, expected * usual.clear, score, level, np.zeros(len(instants)), usual.texts[-1])

    def _factors_at(self, instants: Ints) -> Floats:
        hours, hour_of = np.unique((instants - QUARTER_S) // HOUR_S, return_inverse=True)
        found: Floats = self._factors_of(hours)[hour_of]
        return found

    def _factors_of(self, hours: Ints) -> Floats:
        """The multiple of every rho that all subjects show, as known in rising hours."""
        missing = [hour for hour in hours.tolist() if hour not in self._factors]
        if missing:
            fitted = self._hours.factors(np.array(missing), rules=self._rules)
            self._factors |= dict(zip(missing, fitted.tolist(), strict=True))
        return np.array([self._factors[hour] for hour in hours.tolist()])

    def _usuals_of(self, subjects: Sequence[str], quarters: Ints) -> Usual:
        """The same of many subjects, (subjects, quarters); what was asked for before is final, as late documents are in by then, and remembered."""
        asked = quarters.tolist()
        lacking: dict[tuple[int, ...], list[str]] = {}
        for subject in subjects:
            known = self._usual.setdefault(subject, {})
            missing = tuple(quarter for quarter in asked if quarter not in known)
            if missing:
                lacking.setdefault(missing, []).append(subject)
        for missing, group in lacking.items():
            found = usual_of_many(
                [self._panes.series[subject] for subject in group], np.array(missing), pool=self._panes.pool, rules=self._rules, clear_since=self._panes.clear_since
            )
            for subject, values in zip(group, np.stack(found, axis=-1).tolist(), strict=True):
                known = self._usual[subject] | dict(zip(missing, values, strict=True))
                kept = {*sorted(known)[-MOST_REMEMBERED:], *asked}
                self._usual[subject] = {quarter: value for quarter, value in known.items() if quarter in kept}
        rows = np.array([[self._usual[subject][quarter] for quarter in asked] for subject in subjects])
        return Usual(*np.moveaxis(rows, -1, 0))


def _quarters(instants: Ints, views: Sequence[Lens]) -> Ints:
    """The quarter hour whose beginning each window (rows) at each instant is judged by: the last that had begun when the window did."""
    widths = np.array([-(-view.width_s // QUARTER_S) for view in views])
    quarters: Ints = instants[np.newaxis, :] // QUARTER_S - widths[:, np.newaxis]
    return quarters


def hours_of(series: PaneSeries, *, first_s: int, last_s: int) -> Ints:
    """The hours that begin in (first_s, last_s] and may end a day that holds a text of the subject."""
    held = series.hours.first()
    low = max(first_s // HOUR_S + 1, 0 if held is None else held)
    return np.arange(low, last_s // HOUR_S + 1) if held is not None else np.zeros(0, np.int64)
