"""All scans over all subjects: evaluations, thresholds, and the spikes that can matter."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from itertools import groupby

import msgspec
import numpy as np

from alerts.detect.discovery import COMMON_LEAST, COMMON_S, is_common, least_score
from alerts.detect.evidence import score_of
from alerts.detect.rulebook import RuleBook
from alerts.detect.rules import HOUR_S, WIDEST_S, Rules
from alerts.detect.series import Floats, Ints, PaneSeries, slices
from alerts.detect.share import LEAST_P, Lens, Sums, lenses, window_sums
from alerts.detect.thresholds import LOW, NOTED
from alerts.scans.count import CountScan
from alerts.scans.look import Look, joined
from alerts.scans.panes import Panes
from alerts.scans.share import Learned, ShareScan, hours_of
from alerts.scans.tails import OwnTail, Tails, TailState
from opinion.records import Lane, Scan, Spike
from opinion.windows import QUARTER_S

BLOCK = 1024
"""Subjects looked at together: 15 MB of what they remember."""

_Group = tuple[int, int, int, int]
"""What subjects that are looked at together share: width and anchor of panes, rules (by identity), the boundary."""


class Surges:
    """The scans and what they remember."""

    def __init__(
        self,
        panes: Panes,
        rules: RuleBook,
        *,
        learned: Learned | None = None,
        tails: TailState | None = None,
        common_s: int | None = None,
        own: Mapping[str, OwnTail] | None = None,
    ) -> None:
        self.share = ShareScan(panes, rules.all, learned)
        self.tails = Tails(panes, tails, own)
        self._count = CountScan(panes)
        self._panes = panes
        self._rules = rules
        self._lenses: dict[tuple[int, int], tuple[Lens, ...]] = {}
        self.common_s = common_s  # the last instant at which all subjects shifted together

    def by(self, rules: RuleBook) -> Surges:
        """The same by other rules: what was learned stays, what was computed by the old rules goes."""
        found = Surges(self._panes, rules, learned=self.share.learned(), common_s=self.common_s)
        found.tails = self.tails
        return found

    def between(self, since_s: int | None, closed_s: int, *, on: AbstractSet[str]) -> list[Spike]:
        """Spikes of all boundaries after `since_s`, up to `closed_s`; the scores are learned. None: from the oldest pane on.

        Of subjects in `on` whatever is not calm matters.
        """
        self.share.learn(closed_s, since_s=since_s)
        looks: list[tuple[str, Look]] = []
        once: dict[_Group, list[str]] = {}
        for subject, series in self._panes.series.items():
            last = series.boundary(closed_s)
            oldest = series.panes.first() if since_s is None else series.boundary(since_s)
            if oldest == last - 1:
                once.setdefault(self._group(subject, series, last), []).append(subject)
            elif oldest is not None and oldest < last:
                looks += self._over_time(subject, oldest + 1, last)
        looks += self._at_once(once, on=on)
        looks += self._days(since_s, closed_s, on=on)
        for subject, look in looks:
            self.tails.learn(subject, look)
        self.tails.close(closed_s)
        common = self._common(look for _, look in looks if look.scan == Scan.SHARE)
        found = self._spikes(looks, on=on, common=common)
        self.common_s = common[-1] if common else self.common_s
        return found

    def open_at(self, closed_s: int, *, on: AbstractSet[str]) -> list[Spike]:
        """Spikes of the boundary after `closed_s`, the open pane counted as it stands; nothing is learned."""
        once: dict[_Group, list[str]] = {}
        for subject, series in self._panes.series.items():
            once.setdefault(self._group(subject, series, series.boundary(closed_s) + 1), []).append(subject)
        looks = self._at_once(once, on=on)
        return self._spikes(looks, on=on, common=self._common(look for _, look in looks if look.scan == Scan.SHARE))

    def scores(self, subject: str, boundary: int) -> dict[Scan, float]:
        """The best score of each scan of minutes to hours at one boundary."""
        found, series, rules = dict.fromkeys((Scan.SHARE, Scan.COUNT), 0.0), self._panes.series.get(subject), self._rules.of(subject)
        if series is not None:
            views = self._views(series.pane_s, rules)
            sums = window_sums(series.panes.slice(boundary - views[-1].panes, boundary), views)
            found |= {look.scan: float(look.score.max()) for look in self._both([subject], series, np.array([boundary]), sums, rules=rules)}
        return found

    def _over_time(self, subject: str, first: int, last: int) -> list[tuple[str, Look]]:
        """Evaluations at the boundaries [first, last] at which enough negatives are in sight; silence is passed over."""
        rules, series = self._rules.of(subject), self._panes.series[subject]
        views = self._views(series.pane_s, rules)
        reach = views[-1].panes
        found: dict[Scan, list[Look]] = {}
        for low, high in series.panes.spans(first, last + 1, reach=reach):
            sums = window_sums(series.panes.slice(low - reach, high - 1), views)
            seen = np.nonzero(sums.negative[-1] >= rules.min_negative)[0]
            if len(seen):
                boundaries, sums = low + seen, sums.columns(seen)
                for look in self._both([subject], series, boundaries, sums, rules=rules):
                    found.setdefault(look.scan, []).append(look.columns(look.warm(rules)))
        return [(subject, joined(looks)) for looks in found.values()]

    def _at_once(self, groups: Mapping[_Group, Sequence[str]], *, on: AbstractSet[str]) -> list[tuple[str, Look]]:
        return [
            found
            for (pane_s, _, _, boundary), subjects in groups.items()
            for at in range(0, len(subjects), BLOCK)
            for found in self._at_one(subjects[at : at + BLOCK], boundary, pane_s=pane_s, on=on)
        ]

    def _at_one(self, subjects: Sequence[str], boundary: int, *, pane_s: int, on: AbstractSet[str]) -> Iterator[tuple[str, Look]]:
        """What `_over_time` says of many subjects, whose panes and rules are alike, at one boundary: all at once."""
        rules = self._rules.of(subjects[0])
        views = self._views(pane_s, rules)
        reach = views[-1].panes
        series = [self._panes.series[subject] for subject in subjects]
        counts = slices([one.panes for one in series], boundary - reach, boundary)
        sums = Sums(*(np.stack([row[:, reach - view.panes :].sum(axis=1) for view in views]) for row in counts))
        seen = np.nonzero(sums.negative[-1] >= rules.min_negative)[0]
        if len(seen):
            spoken = [subjects[i] for i in seen.tolist()]
            looks = self._both(spoken, series[0], np.array([boundary]), sums.columns(seen), rules=rules)
            yield from _apart(spoken, looks, rules, on=on)

    def _both(self, subjects: Sequence[str], series: PaneSeries, boundaries: Ints, sums: Sums, *, rules: Rules) -> Iterator[Look]:
        views = self._views(series.pane_s, rules)
        budgets, instants = rules.false_alarms, series.instants(boundaries)
        if budgets.share:
            if len(subjects) > 1:
                yield self.share.look_at(subjects, int(instants[0]), sums, views=views, rules=rules)
            else:
                yield self.share.look(subjects[0], boundaries, sums, views=views, rules=rules)
        if budgets.count and series.pane_s <= WIDEST_S:
            if len(subjects) > 1:
                yield self._count.look_at(subjects, int(instants[0]), sums, views=views, rules=rules)
            else:
                yield self._count.look(subjects[0], instants, sums, views=views, rules=rules)

    def _days(self, since_s: int | None, closed_s: int, *, on: AbstractSet[str]) -> Iterator[tuple[str, Look]]:
        """The days that ended with an hour since the last look."""
        alike: dict[int, list[str]] = {}
        for subject, series in self._panes.series.items():
            rules = self._rules.of(subject)
            hours = hours_of(series, first_s=-HOUR_S if since_s is None else since_s, last_s=closed_s)
            if not rules.false_alarms.day or series.pane_s > WIDEST_S:
                continue
            if len(hours) == 1:
                alike.setdefault(id(rules), []).append(subject)
            elif len(hours):
                look = self.share.day([subject], hours, rules=rules)
                yield subject, look.columns(look.warm(rules))
        for group in alike.values():
            for at in range(0, len(group), BLOCK):
                subjects = group[at : at + BLOCK]
                rules = self._rules.of(subjects[0])
                yield from _apart(subjects, [self.share.day(subjects, np.array([closed_s // HOUR_S]), rules=rules)], rules, on=on)

    def _spikes(self, looks: Sequence[tuple[str, Look]], *, on: AbstractSet[str], common: Sequence[int]) -> list[Spike]:
        found: list[Spike] = []
        for subject, look in looks:
            rules = self._rules.of(subject)
            theta = self.tails.thresholds(subject, look, rules)
            patience_s = max(round(rules.resolve_after.total_seconds()), self._panes.series[subject].pane_s)
            for i in _that_matter(look, theta, margin=rules.resolve_margin, patience_s=patience_s, is_open=subject in on).tolist():
                spikes = _spikes_of(subject, look, i, theta=float(theta[i]), new=look.texts[i] < rules.prior_weight)
                found += map(self._with_share, spikes) if look.scan == Scan.COUNT else spikes
        found.sort(key=lambda spike: spike.at)
        return [spike for at, group in groupby(found, key=lambda spike: spike.at) for spike in self._held(at, list(group), shifted=_within(COMMON_S, at, common, self.common_s))]

    def _with_share(self, spike: Spike) -> Spike:
        """The spike of a count with the usual share of negatives, which its own law does not know."""
        quarter = (int(spike.at.timestamp()) - spike.width_s) // QUARTER_S
        usual = self.share.usual(spike.subject, np.array([quarter])).share
        return msgspec.structs.replace(spike, baseline_ratio=round(float(usual[0]), 6))

    def _common(self, looks: Iterable[Look]) -> list[int]:
        """The instants at which all subjects shift together, in order."""
        rising = [look.at_s[look.score.max(axis=0) >= LOW] for look in looks]
        if len(rising) < COMMON_LEAST:
            return []
        instants, counts = np.unique(np.concatenate(rising), return_counts=True)
        often = counts >= COMMON_LEAST
        return [at for at, count in zip(instants[often].tolist(), counts[often].tolist(), strict=True) if is_common(count, heard=self._panes.voices(at))]

    def _held(self, at: datetime, spikes: list[Spike], *, shifted: bool) -> list[Spike]:
        """The spikes of an instant; those are held that are likely to be by chance, so few among so many subjects, or shared by all."""
        strengths: dict[str, float] = {}
        for spike in spikes:
            if spike.surging:
                strength = spike.score if spike.lane == Lane.SHARE else spike.score / spike.theta * self._share_theta(spike)
                strengths[spike.subject] = max(strength, strengths.get(spike.subject, 0.0))
        if not strengths:
            return spikes
        least = least_score(list(strengths.values()), tested=max(len(strengths), self._panes.voices(int(at.timestamp()))), rate=self._rules.all.false_discoveries)
        held = {subject for subject, strength in strengths.items() if strength < least}
        if shifted:
            shift = self._panes.shift(int(at.timestamp()))
            held |= strengths.keys() - {spike.subject for spike in spikes if score_of(spike.negative, spike, self._rules.of(spike.subject), shift=shift) >= spike.theta}
        return [msgspec.structs.replace(spike, held=True) if spike.subject in held else spike for spike in spikes]

    def _share_theta(self, spike: Spike) -> float:
        found = self.tails.threshold_at(spike.subject, Scan.SHARE, self._rules.of(spike.subject), at_s=int(spike.at.timestamp()))
        return found if found != float("inf") else spike.theta

    def _group(self, subject: str, series: PaneSeries, boundary: int) -> _Group:
        return series.pane_s, series.anchor_s, id(self._rules.of(subject)), boundary

    def _views(self, pane_s: int, rules: Rules) -> tuple[Lens, ...]:
        key = pane_s, id(rules)
        if key not in self._lenses:
            self._lenses[key] = lenses(rules, pane_s=pane_s)
        return self._lenses[key]


def _within(span_s: int, at: datetime, instants: Sequence[int], before_s: int | None) -> bool:
    """Whether one of the rising instants, or `before_s` before them all, lies in the span up to `at`."""
    at_s = at.timestamp()
    place = bisect_right(instants, at_s)
    last_s = instants[place - 1] if place else before_s
    return last_s is not None and at_s - last_s < span_s


def _apart(subjects: Sequence[str], looks: Iterable[Look], rules: Rules, *, on: AbstractSet[str]) -> Iterator[tuple[str, Look]]:
    """Looks at many subjects as one of each, where it is noted or keeps an alert on."""
    for look in looks:
        noted = look.score.max(axis=0) >= NOTED[look.scan]
        for i in look.warm(rules).tolist():
            if noted[i] or subjects[i] in on:
                yield subjects[i], look.columns(np.array([i]))


def _that_matter(look: Look, theta: Floats, *, margin: float, patience_s: int, is_open: bool) -> Ints:
    """Indices of the evaluations that can change an alert: those that are not calm, from the first that may fire on.

    Runs with more calm than `patience_s` between them are apart: an alert of one is over before the next begins.
    """
    best = look.score.max(axis=0)
    warm: Ints = np.nonzero(np.maximum(best, look.level) >= theta - margin)[0]
    if is_open or not len(warm):
        return warm
    if len(best) == 1:
        return warm if best[0] >= theta[0] else warm[:0]
    fired = np.cumsum(best[warm] >= theta[warm])
    at_s = look.at_s
    apart = np.diff(at_s[warm], prepend=at_s[warm[0]]) > patience_s
    before = np.maximum.accumulate(np.where(apart, np.concatenate([[0], fired[:-1]]), 0))
    kept: Ints = warm[fired > before]
    return kept


def _spikes_of(subject: str, look: Look, i: int, *, theta: float, new: bool) -> Iterator[Spike]:
    """The windows of evaluation `i` that are at or above the threshold, else its best; rounded, so that what is told is what is decided on."""
    for row in np.nonzero(look.score[:, i] >= theta)[0].tolist() or [int(look.score[:, i].argmax())]:
        total, negative = int(look.sums.total[row, i]), int(look.sums.negative[row, i])
        expected, score = float(look.expected[row, i]), float(look.score[row, i])
        clear, expected_clear = (int(look.sums.clear[row, i]), float(look.expected_clear[row, i])) if look.scan != Scan.COUNT else (0, 0.0)
        usual = expected / max(total, 1)
        yield Spike(
            subject=subject,
            scan=look.scan,
            at=datetime.fromtimestamp(int(look.at_s[i]), UTC),
            width_s=look.widths_s[row],
            total=total,
            negative=negative,
            clear=clear,
            expected_clear=round(expected_clear, 3),
            expected_negative=round(expected, 3),
            baseline_ratio=round(usual, 6),
            ratio=round(negative / max(total, 1), 6),
            lift=round(negative / max(expected, 1e-6), 3),
            p_value=max(LEAST_P, float(f"{10**-score:.6g}")),
            score=round(score, 4),
            stories=0,
            publishers=0,
            authors=0,
            level=round(float(look.level[i]), 4),
            theta=theta,
            dispersion=round(float(look.dispersion[i]), 6),
            new=bool(new),
        )
