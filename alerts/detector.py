"""All subjects at once: panes in, spikes out, transitions out. The alerter and the backtest run this same code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct, field

from alerts.detect.baseline import RECENT_MEMORY, Usual, usual_of, usual_of_many
from alerts.detect.dispersion import LEAST_EXPECTED, Dispersion
from alerts.detect.rules import HOUR_S, QUARTERS, Rules
from alerts.detect.series import NEGATIVE, TOTAL, CountGrid, Floats, Ints, PaneSeries
from alerts.detect.share import LEAST_P, Lens, Sums, lenses, score_range, window_sums
from alerts.lifecycle import Episode, Transition, most_telling, step
from opinion.records import Lane, Severity, Spike
from opinion.windows import PANE_S, QUARTER_S

KEEP_S = 4 * HOUR_S
"""Panes kept beyond the longest window once evaluated: the trend's three hours, and late edits."""
TRIM_AT_S = 420
"""What is old is forgotten so long before each quarter hour: not in the look at its beginning, when baselines are due."""
MOST_CHUNKS = 64
"""A series with more chunks of panes than this (three days of busy minutes) is trimmed while it is filled, not only afterwards."""
COMPANY, TOPIC = "entity:", "topic:"
"""What subjects of either kind begin with."""
BLOCK = 1024
"""Subjects looked at together: 15 MB of what they remember."""
MOST_REMEMBERED = 16
"""Baselines remembered of a subject: the quarter hours that its windows begin in during three hours."""


class DetectorState(Struct, frozen=True):
    """All that a restart needs besides the panes."""

    evaluated_s: int | None = None  # epoch seconds up to which boundaries were evaluated; None: none yet
    episodes: dict[str, Episode] = field(default_factory=dict)
    dispersion: dict[int, tuple[int, int]] = field(default_factory=dict)  # see detect.dispersion


class Snapshot(Struct, frozen=True):
    """One window of a subject as it stands, for people and metrics."""

    total: int
    negative: int
    ratio: float
    baseline_ratio: float
    score: float  # of the most surprising window


class _Look(NamedTuple):
    """Evaluations of one subject at rising boundaries."""

    boundaries: Ints
    sums: Sums
    usual: Floats  # (windows, boundaries)
    score: Floats  # (windows, boundaries)
    level: Floats  # (boundaries,): score of the widest window against the long memory; it never fires, but an alert lasts while it is high


class Detector:
    """The panes of every subject and the newest alert of each; what it finds is a function of these, the rules and the instants."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._series: dict[str, PaneSeries] = {}
        self._pool = CountGrid()
        self._dispersion = Dispersion()
        self._factors: dict[int, float] = {}  # of the hours asked for
        self._usual: dict[str, dict[int, list[float]]] = {}  # the newest baselines asked for, by quarter hour; columns as in Usual
        self._lenses: dict[int, tuple[Lens, ...]] = {}
        self._episodes: dict[str, Episode] = {}
        self._evaluated_s: int | None = None

    def put(self, subject: str, start_s: int, *, total: int, negative: int) -> None:
        """Set the counts of a subject's minute that holds the instant `start_s` (epoch seconds); setting it again replaces them."""
        series = self._series.get(subject)
        if series is None:
            series = self._series[subject] = PaneSeries()
        change = series.put(start_s, total=total, negative=negative)
        if any(change):
            self._pool.add(series.hour_of(series.boundary(start_s)), total=change[TOTAL], negative=change[1])
            if series.panes.size > MOST_CHUNKS:
                self._trim(series)

    def load(self, subject: str, starts_s: Ints, counts: Ints, *, pane_s: int = PANE_S) -> None:
        """Set all panes of a new subject at once, of any width: `counts` is (2, n) of total and negative, `starts_s` must rise."""
        if subject in self._series:
            raise ValueError(f"{subject} has panes already")
        series = self._series[subject] = PaneSeries(pane_s=pane_s, anchor_s=int(starts_s[0]))
        self._pool.add_many(series.load(starts_s, counts), counts)

    def series(self, subject: str) -> PaneSeries:
        """The panes of a subject; empty ones where it was never heard of."""
        return self._series.get(subject) or PaneSeries()

    def firing(self) -> dict[str, Severity]:
        """Subjects whose alert is on."""
        return {subject: episode.severity for subject, episode in self._episodes.items() if episode.ended_at is None}

    def explaining(self, spikes: Iterable[Spike]) -> list[str]:
        """Companies that may explain a topic's surge among `spikes`: those with an alert, and those that may have one by then."""
        surging = {spike.subject for spike in spikes if spike.score >= self.rules.theta} | set(self.firing())
        return sorted(subject for subject in surging if subject.startswith(COMPANY))

    def state(self) -> DetectorState:
        """What to save."""
        return DetectorState(self._evaluated_s, dict(self._episodes), self._dispersion.sums())

    def restore(self, state: DetectorState) -> None:
        """Forget everything and go on from a saved state; the caller puts the panes again, oldest first."""
        self._series, self._pool, self._usual, self._factors = {}, CountGrid(), {}, {}
        self._dispersion = Dispersion(state.dispersion)
        self._evaluated_s, self._episodes = state.evaluated_s, dict(state.episodes)

    def spikes(self, until: datetime, *, partial: bool = False) -> list[Spike]:
        """What the lane says at every pane boundary after the last one evaluated, up to `until`; by (at, subject).

        Only what can matter: every window at or above `theta`, and, after the first of those or while an alert is on, the best
        window of each instant that is not calm. With `partial` also at `until` itself, the open pane counted as it stands. The
        caller fills in the breadth of those at or above `theta` and hands all of them to `decide` before the next call.
        """
        until_s = int(until.timestamp())
        closed_s = until_s // PANE_S * PANE_S
        found: list[Spike] = []
        once: dict[tuple[int, int, int], list[str]] = {}  # pane width, anchor and the one boundary to look at -> subjects
        self._learn_dispersion(closed_s)
        for subject, series in self._series.items():
            last = series.boundary(closed_s)
            oldest = series.panes.first() if self._evaluated_s is None else series.boundary(self._evaluated_s)
            if oldest == last - 1:
                once.setdefault((series.pane_s, series.anchor_s, last), []).append(subject)
            elif oldest is not None and oldest < last:
                found += self._surprising(subject, self._looks(subject, oldest + 1, last))
            if partial and until_s > closed_s:
                once.setdefault((series.pane_s, series.anchor_s, last + 1), []).append(subject)
        for (_, _, boundary), subjects in once.items():
            instant = self._series[subjects[0]].instant(boundary)
            surprising = [spike for at in range(0, len(subjects), BLOCK) for spike in self._surprising_at(subjects[at : at + BLOCK], boundary)]
            found += surprising if instant <= closed_s else [_moved(spike, until) for spike in surprising]
        if self._evaluated_s is None or closed_s > self._evaluated_s:
            before_s, self._evaluated_s = self._evaluated_s, closed_s
            if before_s is None or (before_s + TRIM_AT_S) // QUARTER_S < (closed_s + TRIM_AT_S) // QUARTER_S:
                for series in self._series.values():
                    self._trim(series)
                self._forget(closed_s // HOUR_S - self._hours_kept())
        return sorted(found, key=lambda spike: (spike.at, spike.subject))

    def decide(self, spikes: Iterable[Spike]) -> list[Transition]:
        """What to tell, by (at, subject), after the spikes of the last look, whose breadth the caller has filled in."""
        told: list[Transition] = []
        for (at, subject), group in groupby(spikes, key=lambda spike: (spike.at, spike.subject)):  # companies come before topics
            told += self._settle(subject, before=at)
            told += self._step(subject, most_telling([self._explained(spike) for spike in group], self.rules), at=at)
        if self._evaluated_s is not None:
            until = datetime.fromtimestamp(self._evaluated_s, UTC)
            for subject in sorted(self._episodes):
                told += self._settle(subject, before=until + timedelta(microseconds=1))
                if self._episodes[subject].ended_at is not None:
                    self._step(subject, None, at=until)
        return sorted(told, key=lambda transition: (transition.at, transition.subject))

    def snapshot(self, subject: str, *, at: datetime, window_s: int) -> Snapshot:
        """Totals, ratio, usual ratio and score of a subject as of `at`, the open pane counted as it stands."""
        series = self.series(subject)
        boundary = series.boundary(at.timestamp() - 1) + 1
        total, negative = series.window(boundary, panes=max(1, window_s // series.pane_s))
        score = max((float(look.score.max()) for look in self._looks(subject, boundary, boundary)), default=0.0)
        usual = float(self._usuals(subject, self._quarters(series, np.array([boundary]))[-1]).share[0])
        return Snapshot(total, negative, negative / total if total else 0.0, usual, score)

    def _settle(self, subject: str, *, before: datetime) -> list[Transition]:
        """The resolution of a subject that has been calm for long enough by an instant before `before`, if so."""
        episode = self._episodes.get(subject)
        if episode is None or episode.ended_at is not None:
            return []
        return self._step(subject, None, at=due) if (due := self._due(episode)) < before else []

    def _due(self, episode: Episode) -> datetime:
        """When the alert ends unless its subject is hot again before."""
        due_s = -(-(episode.hot_at + self._patience(episode.subject)).timestamp() // PANE_S) * PANE_S
        return datetime.fromtimestamp(due_s, UTC)

    def _explained(self, spike: Spike) -> Spike:
        """The spike of a topic without the negatives of companies whose own alert is on."""
        on = [self._episodes[subject] for subject in spike.shared if subject in self._episodes]
        explained = sum(spike.shared[episode.subject] for episode in on if episode.ended_at is None and spike.at < self._due(episode))
        return msgspec.structs.replace(spike, explained=min(explained, spike.negative)) if explained else spike

    def _step(self, subject: str, spike: Spike | None, *, at: datetime) -> list[Transition]:
        episode, transition = step(self._episodes.get(subject), spike, at=at, rules=self.rules)
        if episode is None:
            self._episodes.pop(subject, None)
        else:
            self._episodes[subject] = episode
        return [] if transition is None else [transition]

    def _patience(self, subject: str) -> timedelta:
        """How long calm must last: at least until the next look, where panes are wide."""
        return max(self.rules.resolve_after, timedelta(seconds=self.series(subject).pane_s))

    def _looks(self, subject: str, first: int, last: int) -> Iterator[_Look]:
        """Evaluations at the boundaries [first, last] at which enough negatives are in sight; silence is passed over."""
        series = self._series.get(subject)
        if series is None:
            return
        views = self._views(series)
        reach = views[-1].panes
        for low, high in series.panes.spans(first, last + 1, reach=reach):
            sums = window_sums(series.panes.slice(low - reach, high - 1), views)
            seen = np.nonzero(sums.negative[-1] >= self.rules.min_negative)[0]
            if len(seen):
                yield self._look(subject, series, low + seen, Sums(sums.total[:, seen], sums.negative[:, seen]))

    def _surprising_at(self, subjects: Sequence[str], boundary: int) -> list[Spike]:
        """What `_surprising` says of many subjects, whose panes are alike, at one boundary: all at once."""
        series = [self._series[subject] for subject in subjects]
        views = self._views(series[0])
        reach = views[-1].panes
        counts = np.stack([one.panes.slice(boundary - reach, boundary) for one in series], axis=1)
        sums = Sums(*(np.stack([counts[row, :, reach - view.panes :].sum(axis=1) for view in views]) for row in (TOTAL, NEGATIVE)))
        seen = np.nonzero(sums.negative[-1] >= self.rules.min_negative)[0]
        if not len(seen):
            return []
        sums = Sums(sums.total[:, seen], sums.negative[:, seen])
        boundaries = np.full(len(seen), boundary)
        known, where = np.unique(self._quarters(series[0], boundaries[:1])[:, 0], return_inverse=True)
        usual = Usual(*(column[:, where].T for column in self._usuals_of([subjects[i] for i in seen.tolist()], known)))
        look = self._judged(series[0], boundaries, sums, usual, long_share=usual.long_share[-1])
        best = look.score.max(axis=0)
        warm = np.nonzero(np.maximum(best, look.level) >= self.rules.calm_below)[0]
        on = self.firing()
        matter = [i for i in warm.tolist() if best[i] >= self.rules.theta or subjects[seen[i]] in on]
        return [spike for i in matter for spike in self._spikes_of(subjects[seen[i]], look, i)]

    def _look(self, subject: str, series: PaneSeries, boundaries: Ints, sums: Sums) -> _Look:
        asked = self._quarters(series, boundaries)
        known, where = np.unique(asked, return_inverse=True)
        at = where.reshape(asked.shape)
        usual = Usual(*(column[at] for column in self._usuals(subject, known)))
        return self._judged(series, boundaries, sums, usual, long_share=usual.long_share[-1])

    def _judged(self, series: PaneSeries, boundaries: Ints, sums: Sums, usual: Usual, *, long_share: Floats) -> _Look:
        """Scores of evaluations (columns); what is usual is given for each window (rows), the long share for the widest."""
        hours, hour_of = np.unique((series.instants(boundaries) - QUARTER_S) // HOUR_S, return_inverse=True)
        rho = np.array([view.rho for view in self._views(series)])[:, np.newaxis] * self._factors_of(hours)[hour_of] + usual.doubt
        score = score_range(sums, usual=usual.share, rho=rho, rules=self.rules)
        widest = Sums(sums.total[-1:], sums.negative[-1:])
        level = score_range(widest, usual=long_share[np.newaxis], rho=np.full((1, len(boundaries)), self.rules.level_rho), rules=self.rules)
        return _Look(boundaries, sums, usual.share, score, level[0])

    def _quarters(self, series: PaneSeries, boundaries: Ints) -> Ints:
        """The quarter hour whose beginning each window (rows) at each boundary is judged by: the last that had begun when the window did."""
        widths = np.array([-(-view.width_s // QUARTER_S) for view in self._views(series)])
        quarters: Ints = series.instants(boundaries)[np.newaxis, :] // QUARTER_S - widths[:, np.newaxis]
        return quarters

    def _views(self, series: PaneSeries) -> tuple[Lens, ...]:
        if series.pane_s not in self._lenses:
            self._lenses[series.pane_s] = lenses(self.rules, pane_s=series.pane_s)
        return self._lenses[series.pane_s]

    def _usuals(self, subject: str, quarters: Ints) -> Usual:
        """What is usual of a subject at rising quarter hours."""
        if len(quarters) > MOST_REMEMBERED or subject not in self._series:
            return usual_of(self.series(subject), quarters, pool=self._pool, rules=self.rules)
        return Usual(*(column[0] for column in self._usuals_of([subject], quarters)))

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
            found = usual_of_many([self._series[subject] for subject in group], np.array(missing), pool=self._pool, rules=self.rules)
            for subject, values in zip(group, np.stack(found, axis=-1).tolist(), strict=True):
                known = self._usual[subject] | dict(zip(missing, values, strict=True))
                kept = {*sorted(known)[-MOST_REMEMBERED:], *asked}
                self._usual[subject] = {quarter: value for quarter, value in known.items() if quarter in kept}
        rows = np.array([[self._usual[subject][quarter] for quarter in asked] for subject in subjects])
        return Usual(*np.moveaxis(rows, -1, 0))

    def _factors_of(self, hours: Ints) -> Floats:
        """The multiple of every rho that all subjects show, as known in rising hours."""
        missing = [hour for hour in hours.tolist() if hour not in self._factors]
        if missing:
            fitted = self._dispersion.factors(np.array(missing), rules=self.rules)
            self._factors |= dict(zip(missing, fitted.tolist(), strict=True))
        return np.array([self._factors[hour] for hour in hours.tolist()])

    def _learn_dispersion(self, closed_s: int) -> None:
        """Learn the hours that late documents can no longer change since the last look."""
        end = (closed_s - QUARTER_S) // HOUR_S
        known = None if self._evaluated_s is None else (self._evaluated_s - QUARTER_S) // HOUR_S
        if known is not None and known >= end:
            return
        for series in self._series.values():
            first = series.hours.first() if known is None else known
            if first is None or first >= end or series.pane_s > HOUR_S:
                continue
            total, negative = series.hours.slice(first, end)
            spoken = np.nonzero(total >= LEAST_EXPECTED)[0]
            if len(spoken):
                hours = first + spoken
                usual = usual_of(series, hours * QUARTERS, pool=self._pool, rules=self.rules)
                self._dispersion.add(hours, total=total[spoken], negative=negative[spoken], usual=usual.share, texts=usual.texts, rules=self.rules)

    def _surprising(self, subject: str, looks: Iterable[_Look]) -> list[Spike]:
        found = list(looks)
        if not found:
            return []
        look = _Look(
            np.concatenate([look.boundaries for look in found]),
            Sums(*(np.concatenate([look.sums[row] for look in found], axis=1) for row in (TOTAL, NEGATIVE))),
            np.concatenate([look.usual for look in found], axis=1),
            np.concatenate([look.score for look in found], axis=1),
            np.concatenate([look.level for look in found]),
        )
        episode = self._episodes.get(subject)
        is_open = episode is not None and episode.ended_at is None
        patience = round(self._patience(subject).total_seconds())
        at_s = self._series[subject].instants(look.boundaries)
        matter = _that_matter(look.score.max(axis=0), look.level, at_s, rules=self.rules, patience_s=patience, is_open=is_open)
        return [spike for i in matter.tolist() for spike in self._spikes_of(subject, look, i)]

    def _spikes_of(self, subject: str, look: _Look, i: int) -> Iterator[Spike]:
        """The windows of evaluation `i` that are at or above `theta`, else its best."""
        series = self._series[subject]
        at = datetime.fromtimestamp(series.instant(int(look.boundaries[i])), UTC)
        for row in np.nonzero(look.score[:, i] >= self.rules.theta)[0].tolist() or [int(look.score[:, i].argmax())]:
            counts = int(look.sums.total[row, i]), int(look.sums.negative[row, i])
            usual, score, level = float(look.usual[row, i]), float(look.score[row, i]), float(look.level[i])
            yield _spike(subject, at=at, width_s=self._views(series)[row].width_s, counts=counts, usual=usual, score=score, level=level)

    def _trim(self, series: PaneSeries) -> None:
        if self._evaluated_s is not None:
            panes_s = self._evaluated_s - self._views(series)[-1].width_s - KEEP_S
            quarters_s = panes_s - RECENT_MEMORY * self.rules.recent_half_life_h * HOUR_S
            series.trim(panes_before_s=panes_s, quarters_before_s=quarters_s, hours_before_s=self._evaluated_s - self._hours_kept() * HOUR_S)

    def _forget(self, hour: int) -> None:
        self._pool.trim(hour)
        self._dispersion.trim(hour)
        self._factors = {known: factor for known, factor in self._factors.items() if known >= hour}

    def _hours_kept(self) -> int:
        return self.rules.history_h + self.rules.windows[-1].width_s // HOUR_S + 3


def _that_matter(best: Floats, level: Floats, at_s: Ints, *, rules: Rules, patience_s: int, is_open: bool) -> npt.NDArray[np.intp]:
    """Indices of the evaluations that can change an alert: those that are not calm, from the first that may fire on.

    Runs with more calm than `patience_s` between them are apart: an alert of one is over before the next begins.
    """
    warm = np.nonzero(np.maximum(best, level) >= rules.calm_below)[0]
    if is_open or not len(warm):
        return warm
    fired = np.cumsum(best[warm] >= rules.theta)
    apart = np.diff(at_s[warm], prepend=at_s[warm[0]]) > patience_s
    before = np.maximum.accumulate(np.where(apart, np.concatenate([[0], fired[:-1]]), 0))
    kept: npt.NDArray[np.intp] = warm[fired > before]
    return kept


def _spike(subject: str, *, at: datetime, width_s: int, counts: tuple[int, int], usual: float, score: float, level: float) -> Spike:
    """The record of one window; rounded, so that what is told is what is decided on."""
    total, negative = counts
    return Spike(
        subject=subject,
        lane=Lane.SHARE,
        at=at,
        width_s=width_s,
        total=total,
        negative=negative,
        expected_negative=round(usual * total, 3),
        baseline_ratio=round(usual, 6),
        ratio=round(negative / total, 6),
        lift=round(negative / total / usual, 3),
        p_value=max(LEAST_P, float(f"{10**-score:.6g}")),
        score=round(score, 4),
        stories=0,
        publishers=0,
        authors=0,
        level=round(level, 4),
    )


def _moved(spike: Spike, at: datetime) -> Spike:
    """The same evaluation, told at another instant."""
    return msgspec.structs.replace(spike, at=at)
