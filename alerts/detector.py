"""All subjects at once: panes in, spikes out, transitions out. The alerter and the backtest run this same code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import groupby

import msgspec
import numpy as np
from msgspec import Struct, field

from alerts.detect.baseline import RECENT_MEMORY
from alerts.detect.profile import MEMORY_H
from alerts.detect.rulebook import RuleBook
from alerts.detect.rules import HOUR_S, Rules
from alerts.detect.series import Change, Ints, PaneSeries
from alerts.lifecycle import Episode, Transition, most_telling, step
from alerts.pending import Pending, wait
from alerts.scans.panes import Panes
from alerts.scans.share import DAY_H, Learned
from alerts.scans.surges import Surges
from alerts.scans.tails import OwnTail, TailState
from opinion.records import AlertStatus, Scan, Severity, Spike
from opinion.windows import PANE_S, QUARTER_S

KEEP_S = 4 * HOUR_S
"""Panes kept beyond the longest window once evaluated: the trend's three hours, and late edits."""
TRIM_AT_S = 420
"""What is old is forgotten so long before each quarter hour: not in the look at its beginning, when baselines are due."""
MOST_CHUNKS = 64
"""A series with more chunks of panes than this (three days of busy minutes) is trimmed while it is filled, not only afterwards."""
STRIDE_S = 7 * 86400
"""A longer past is looked at in parts, so that what is held of it stays small."""
COMPANY, TOPIC = "entity:", "topic:"
"""What subjects of either kind begin with."""


class DetectorState(Struct, frozen=True):
    """All that a restart needs besides the panes and the own tails of subjects."""

    evaluated_s: int | None = None  # epoch seconds up to which boundaries were evaluated; None: none yet
    episodes: dict[str, Episode] = field(default_factory=dict)
    learned: Learned = Learned()
    tails: TailState = TailState()
    common_s: int | None = None  # when all subjects last shifted together
    pending: dict[str, Pending] = field(default_factory=dict)


class Snapshot(Struct, frozen=True):
    """One window of a subject as it stands, for people and metrics."""

    total: int
    negative: int
    ratio: float
    baseline_ratio: float
    scores: dict[Scan, float]  # of the most surprising window of each scan


class Detector:
    """The panes of every subject and the newest alert of each; what it finds is a function of these, the rules and the instants."""

    def __init__(self, rules: RuleBook | Rules) -> None:
        self.rules = rules if isinstance(rules, RuleBook) else RuleBook(rules)
        self._panes = Panes()
        self._surges = Surges(self._panes, self.rules)
        self._episodes: dict[str, Episode] = {}
        self._pending: dict[str, Pending] = {}  # of subjects whose alert is off
        self._evaluated_s: int | None = None

    def put(self, subject: str, start_s: int, *, total: int, negative: int, clear: int = 0) -> None:
        """Set the counts of a subject's minute that holds the instant `start_s` (epoch seconds); setting it again replaces them."""
        series = self._panes.put(subject, start_s, total=total, negative=negative, clear=clear)
        if series.panes.size > MOST_CHUNKS:
            self._trim(subject, series)

    def put_hours(self, subject: str, hours: Mapping[int, Change]) -> None:
        """Set total, negative and clearly negative of hours (since 1970) whose panes are gone, before any look."""
        self._panes.put_hours(subject, hours)

    def load(self, subject: str, starts_s: Ints, counts: Ints, *, pane_s: int = PANE_S) -> None:
        """Set all panes of a new subject at once, of any width: `counts` is (2, n) of total and negative, or (3, n) with the clearly negative; `starts_s` must rise."""
        self._panes.load(subject, starts_s, counts, pane_s=pane_s)

    def series(self, subject: str) -> PaneSeries:
        """The panes of a subject; empty ones where it was never heard of."""
        return self._panes.of(subject)

    def firing(self) -> dict[str, Severity]:
        """Subjects whose alert is on."""
        return {subject: episode.severity for subject, episode in self._episodes.items() if episode.ended_at is None}

    @property
    def pending(self) -> int:
        """How many subjects pass a threshold and are held back."""
        return sum(pending.lapsed_at is None for pending in self._pending.values())

    def acted_on(self, alert_id: str) -> int | None:
        """The sequence of the transition that tells what was done to an alert; None where it is on no more."""
        episode = next((episode for episode in self._episodes.values() if episode.alert_id == alert_id and episode.ended_at is None), None)
        if episode is None:
            return None
        self._episodes[episode.subject] = msgspec.structs.replace(episode, sequence=episode.sequence + 1)
        return episode.sequence + 1

    def silent(self, at: datetime) -> bool:
        """Whether all sources seem to have fallen silent: then calm means nothing, and no alert ends by it."""
        return self._panes.silent(int(at.timestamp()))

    def shifted(self, at: datetime) -> bool:
        """Whether all subjects rose together in the last hour: a new model, a source of another tone, or the whole market."""
        common_s = self._surges.common_s
        return common_s is not None and at.timestamp() - common_s < HOUR_S

    def threshold(self, subject: str, scan: Scan, *, at: datetime) -> float:
        """The score that fires for a subject, as it follows from the budget; infinite where a scan is off."""
        return self._surges.tails.threshold_at(subject, scan, self.rules.of(subject), at_s=int(at.timestamp()))

    def explaining(self, spikes: Iterable[Spike]) -> list[str]:
        """Companies that may explain a topic's surge among `spikes`: those with an alert, and those that may have one by then."""
        surging = {spike.subject for spike in spikes if spike.surging} | set(self.firing())
        return sorted(subject for subject in surging if subject.startswith(COMPANY))

    def adopt(self, rules: RuleBook) -> None:
        """Go on by other rules; alerts and what was learned stay."""
        self.rules = rules
        self._surges = self._surges.by(rules)

    @property
    def panes_needed_since(self) -> datetime | None:
        """The beginning of the hour from which on the panes of a subject are needed, not its hours alone; None: all of them."""
        if self._evaluated_s is None:
            return None
        widest_s = max(rules.windows[-1].width_s for rules in self.rules)
        since_s = self._evaluated_s - widest_s - KEEP_S - RECENT_MEMORY * self.rules.all.recent_half_life_h * HOUR_S
        return datetime.fromtimestamp(int(since_s // HOUR_S - 1) * HOUR_S, UTC)

    def state(self) -> DetectorState:
        """What to save, but for the own tails."""
        return DetectorState(self._evaluated_s, dict(self._episodes), self._surges.share.learned(), self._surges.tails.state(), self._surges.common_s, dict(self._pending))

    def own_tails(self, *, changed: bool = False) -> dict[str, OwnTail]:
        """What to save of each subject: of all, or of those that changed since the changed ones were last asked for."""
        return self._surges.tails.changed() if changed else self._surges.tails.own()

    def restore(self, state: DetectorState, own: Mapping[str, OwnTail] | None = None) -> None:
        """Forget everything and go on from a saved state; the caller puts the panes again, oldest first."""
        self._panes = Panes()
        self._surges = Surges(self._panes, self.rules, learned=state.learned, tails=state.tails, common_s=state.common_s, own=own)
        self._evaluated_s, self._episodes, self._pending = state.evaluated_s, dict(state.episodes), dict(state.pending)

    def spikes(self, until: datetime, *, partial: bool = False) -> list[Spike]:
        """What the scans say at every pane boundary after the last one evaluated, up to `until`; by (at, subject).

        Only what can matter: every window at or above its threshold, and, after the first of those or while an alert is on, the best
        window of each instant that is not calm. With `partial` also at `until` itself, the open pane counted as it stands. The
        caller fills in the breadth of those that surge and hands all of them to `decide` before the next call.
        """
        until_s = int(until.timestamp())
        closed_s = until_s // PANE_S * PANE_S
        found: list[Spike] = []
        on = set(self.firing())
        for end_s in self._strides(closed_s):
            spikes = self._surges.between(self._evaluated_s, end_s, on=on)
            on |= {spike.subject for spike in spikes if spike.surging}
            found += spikes
            self._forget(end_s)
        if partial and until_s > closed_s:
            found += [msgspec.structs.replace(spike, at=until) for spike in self._surges.open_at(closed_s, on=on)]
        return sorted(found, key=lambda spike: (spike.at, spike.subject, spike.lane, spike.width_s))

    def decide(self, spikes: Iterable[Spike]) -> list[Transition]:
        """What to tell, by (at, subject), after the spikes of the last look, whose breadth the caller has filled in. What is pending has sequence 0."""
        told: list[Transition] = []
        for (at, subject), group in groupby(spikes, key=lambda spike: (spike.at, spike.subject)):  # companies come before topics
            told += self._settle(subject, before=at) + self._lapse(subject, before=at)
            spike = most_telling([self._explained(spike) for spike in group], self.rules.of(subject), episode=self._episodes.get(subject))
            told += self._step(subject, spike, at=at) + self._wait(subject, spike)
        if self._evaluated_s is not None:
            until = datetime.fromtimestamp(self._evaluated_s, UTC)
            for subject in sorted(self._episodes):
                told += self._settle(subject, before=until + timedelta(microseconds=1))
                if self._episodes[subject].ended_at is not None:
                    self._step(subject, None, at=until)
            for subject in sorted(self._pending):
                told += self._lapse(subject, before=until + timedelta(microseconds=1))
            self._pending = {subject: pending for subject, pending in self._pending.items() if not pending.forgotten(until)}
        return sorted(told, key=lambda transition: (transition.at, transition.subject))

    def snapshot(self, subject: str, *, at: datetime, window_s: int) -> Snapshot:
        """Totals, ratio, usual ratio and scores of a subject as of `at`, the open pane counted as it stands."""
        series = self.series(subject)
        boundary = series.boundary(at.timestamp() - 1) + 1
        total, negative = series.window(boundary, panes=max(1, window_s // series.pane_s))
        scores = self._surges.scores(subject, boundary)
        usual = float(self._surges.share.usual(subject, np.array([(series.instant(boundary) - self.rules.of(subject).windows[-1].width_s) // QUARTER_S])).share[0])
        return Snapshot(total, negative, negative / total if total else 0.0, usual, scores)

    def _strides(self, closed_s: int) -> Iterator[int]:
        """Ends of the parts in which the time up to `closed_s` is looked at."""
        begin_s = self._evaluated_s
        if begin_s is None:
            begun = [series.instant(first) for series in self._panes.series.values() if (first := series.panes.first()) is not None]
            begin_s = min(begun, default=closed_s)
        while begin_s < closed_s:
            begin_s = min(closed_s, begin_s + STRIDE_S)
            yield begin_s
        if self._evaluated_s is None:
            self._evaluated_s = closed_s

    def _settle(self, subject: str, *, before: datetime) -> list[Transition]:
        """The resolution of a subject that has been calm for long enough by an instant before `before`, if so."""
        episode = self._episodes.get(subject)
        if episode is None or episode.ended_at is not None:
            return []
        due = self._due(episode, before=before)
        return self._step(subject, None, at=due) if due < before else []

    def _wait(self, subject: str, spike: Spike) -> list[Transition]:
        """That a subject is held back, where it is so from now on; once its alert is on nothing waits."""
        last, before = self._episodes.get(subject), self._pending.pop(subject, None)
        if last is not None and last.ended_at is None:
            return []
        before = None if before is None or before.forgotten(spike.at) else before
        pending, transition = wait(before, spike, last=last, rules=self.rules.of(subject))
        if pending is not None:
            self._pending[subject] = pending
        return [] if transition is None else [transition]

    def _lapse(self, subject: str, *, before: datetime) -> list[Transition]:
        """That nothing came of what waited, once no window has passed for long enough."""
        pending = self._pending.get(subject)
        if pending is None or pending.lapsed_at is not None or (due := pending.due(self._patience(subject))) >= before:
            return []
        self._pending[subject], transition = pending.lapsed(due)
        return [transition]

    def _due(self, episode: Episode, *, before: datetime) -> datetime:
        """When the alert ends unless its subject is hot again before; not while all sources are silent."""
        due_s = -(-(episode.hot_at + self._patience(episode.subject)).timestamp() // PANE_S) * PANE_S
        while due_s < before.timestamp() and self._panes.silent(int(due_s)):
            due_s += HOUR_S
        return datetime.fromtimestamp(due_s, UTC)

    def _explained(self, spike: Spike) -> Spike:
        """The spike of a topic without the negatives of companies whose own alert is on."""
        on = [self._episodes[subject] for subject in spike.shared if subject in self._episodes]
        explained = sum(spike.shared[episode.subject] for episode in on if episode.ended_at is None and spike.at < self._due(episode, before=spike.at))
        return msgspec.structs.replace(spike, explained=min(explained, spike.negative)) if explained else spike

    def _step(self, subject: str, spike: Spike | None, *, at: datetime) -> list[Transition]:
        pending = self._pending.get(subject)
        alert_id = pending.alert_id if pending is not None and pending.lapsed_at is None else None
        episode, transition = step(self._episodes.get(subject), spike, at=at, rules=self.rules.of(subject), alert_id=alert_id)
        if spike is not None and transition is not None and transition.status == AlertStatus.RESOLVED:
            return []  # `_settle` ends it: not while all sources are silent, and at the same instant however often was looked
        if episode is None:
            self._episodes.pop(subject, None)
        else:
            self._episodes[subject] = episode
        return [] if transition is None else [transition]

    def _patience(self, subject: str) -> timedelta:
        """How long calm must last: at least until the next look, where panes are wide."""
        return max(self.rules.of(subject).resolve_after, timedelta(seconds=self.series(subject).pane_s))

    def _forget(self, closed_s: int) -> None:
        """Note how far all was looked at, and now and then drop what no look needs any more."""
        before_s, self._evaluated_s = self._evaluated_s, closed_s
        if before_s is None or (before_s + TRIM_AT_S) // QUARTER_S < (closed_s + TRIM_AT_S) // QUARTER_S:
            for subject, series in self._panes.series.items():
                self._trim(subject, series)
            hour = closed_s // HOUR_S - self._hours_kept()
            self._panes.trim_pool(hour, closed_s=closed_s)
            self._surges.share.forget(hour)

    def _trim(self, subject: str, series: PaneSeries) -> None:
        if self._evaluated_s is not None:
            panes_s = self._evaluated_s - self.rules.of(subject).windows[-1].width_s - KEEP_S
            quarters_s = panes_s - RECENT_MEMORY * self.rules.all.recent_half_life_h * HOUR_S
            series.trim(panes_before_s=panes_s, quarters_before_s=quarters_s, hours_before_s=self._evaluated_s - self._hours_kept() * HOUR_S)

    def _hours_kept(self) -> int:
        return max(MEMORY_H, self.rules.all.history_h + DAY_H) + 24
