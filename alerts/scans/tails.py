"""How high the scores of the past reached, block by block, and the thresholds that follow; as known when a block begins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct, field

from alerts.detect.rules import HOUR_S, Rules
from alerts.detect.series import Floats, Ints
from alerts.detect.thresholds import NOTED, OWN_MEMORY_S, POOLED_MEMORY_S, Heights, block_s, heights_of, own_threshold, pooled_threshold
from alerts.scans.look import Look
from alerts.scans.panes import Panes
from opinion.records import Scan

SLACK_S = 8 * 86400
"""Blocks are kept for so much longer than they count: longer than the time that is ever looked at in one part."""
Highest = dict[str, dict[int, float]]
"""Highest score by subject and block; blocks without one are left out."""


class OwnTail(Struct, frozen=True):
    """The blocks of one subject's counts."""

    first: int  # its first block
    highest: dict[int, float] = field(default_factory=dict)


class TailState(Struct, frozen=True):
    """All that a restart needs besides the own tails."""

    closed_s: int | None = None  # epoch seconds up to which blocks are closed
    pooled: dict[str, dict[int, Heights]] = field(default_factory=dict)  # by scan and block
    open: dict[str, Highest] = field(default_factory=dict)  # by scan: of blocks not yet closed


class Tails:
    """Scores learned as they come, thresholds told as of the beginning of each block."""

    def __init__(self, panes: Panes, state: TailState | None = None, own: Mapping[str, OwnTail] | None = None) -> None:
        state = state or TailState()
        self._panes = panes
        self._closed_s = state.closed_s
        self._pooled = {scan: dict(state.pooled.get(scan, {})) for scan in (Scan.SHARE, Scan.DAY)}
        self._open: dict[Scan, Highest] = {scan: {subject: dict(found) for subject, found in state.open.get(scan, {}).items()} for scan in Scan}
        self._own = dict(own or {})
        self._changed: set[str] = set()
        self._thresholds: dict[tuple[Scan, str, float, int], float] = {}

    def learn(self, subject: str, look: Look) -> None:
        """Take note of one subject's evaluations."""
        for block, highest in _highest(look):
            if highest >= NOTED[look.scan]:
                known = self._open[look.scan].setdefault(subject, {})
                known[block] = max(known.get(block, 0.0), round(highest, 2))

    def close(self, until_s: int) -> None:
        """Close the blocks that are over at an instant, up to which everything was learned."""
        oldest = [first * HOUR_S for series in self._panes.series.values() if (first := series.hours.first()) is not None]
        since_s = min(oldest, default=until_s) if self._closed_s is None else self._closed_s
        if self._closed_s is not None and all(since_s // block_s(scan) == until_s // block_s(scan) for scan in Scan):
            return
        for scan in Scan:
            width_s = block_s(scan)
            for block in range(since_s // width_s, until_s // width_s):
                self._close(scan, block)
        self._closed_s = until_s

    def thresholds(self, subject: str, look: Look, rules: Rules) -> Floats:
        """The threshold of each evaluation of one subject."""
        if len(look.at_s) == 1:  # most are, at a tick: what numpy takes to begin counts
            return np.array([self.threshold(subject, look.scan, rules, block=(int(look.at_s[0]) - 1) // block_s(look.scan))])
        blocks, where = np.unique(_blocks(look.at_s, look.scan), return_inverse=True)
        found: Floats = np.array([self.threshold(subject, look.scan, rules, block=block) for block in blocks.tolist()])[where]
        return found

    def threshold(self, subject: str, scan: Scan, rules: Rules, *, block: int) -> float:
        """The score at which a scan of a subject fires in a block: infinite where its budget is 0."""
        budget = rules.false_alarms.of(scan)
        if budget == 0:
            return float("inf")
        if scan == Scan.SHARE and rules.theta is not None:
            return rules.theta
        key = scan, subject if scan == Scan.COUNT else "", budget, block
        if key not in self._thresholds:
            if len(self._thresholds) > 4 * len(self._panes.series) + 1000:
                self._thresholds.clear()
            self._thresholds[key] = round(self._own_threshold(subject, budget, block) if scan == Scan.COUNT else self._pooled_threshold(scan, budget, block), 4)
        return self._thresholds[key]

    def threshold_at(self, subject: str, scan: Scan, rules: Rules, *, at_s: int) -> float:
        """The same at an instant."""
        return self.threshold(subject, scan, rules, block=int(_blocks(np.array([at_s]), scan)[0]))

    def state(self) -> TailState:
        """What to save, but for the own tails."""
        pooled = {scan.value: dict(found) for scan, found in self._pooled.items()}
        return TailState(self._closed_s, pooled, {scan.value: {subject: dict(found) for subject, found in highest.items() if found} for scan, highest in self._open.items()})

    def own(self) -> dict[str, OwnTail]:
        """The own tails."""
        return dict(self._own)

    def changed(self) -> dict[str, OwnTail]:
        """The own tails that changed since this was last asked."""
        found = {subject: self._own[subject] for subject in sorted(self._changed)}
        self._changed.clear()
        return found

    def _close(self, scan: Scan, block: int) -> None:
        width_s = block_s(scan)
        highest = {subject: found.pop(block) for subject, found in self._open[scan].items() if block in found}
        for subject in [subject for subject, found in self._open[scan].items() if not found]:
            del self._open[scan][subject]
        heard = self._heard(block * width_s, width_s) | highest.keys()
        if scan == Scan.COUNT:
            for subject in heard:
                self._take(subject, block, highest.get(subject, 0.0))
        else:
            pooled = self._pooled[scan]
            pooled[block] = heights_of(np.array(list(highest.values())), blocks=len(heard))
            pooled.pop(block - (POOLED_MEMORY_S + SLACK_S) // width_s - 1, None)

    def _take(self, subject: str, block: int, highest: float) -> None:
        known = self._own.get(subject)
        if known is None:
            self._own[subject] = OwnTail(block, {block: highest} if highest else {})
        elif highest:
            oldest = block - (OWN_MEMORY_S + SLACK_S) // block_s(Scan.COUNT)
            self._own[subject] = OwnTail(known.first, {at: found for at, found in known.highest.items() if at >= oldest} | {block: highest})
        else:
            return
        self._changed.add(subject)

    def _heard(self, start_s: int, width_s: int) -> set[str]:
        """The subjects that were spoken of in a block."""
        first, last = start_s // HOUR_S, (start_s + width_s) // HOUR_S
        return {subject for subject, series in self._panes.series.items() if any(series.hours.total(hour) for hour in range(first, last))}

    def _pooled_threshold(self, scan: Scan, budget: float, block: int) -> float:
        oldest = block - POOLED_MEMORY_S // block_s(scan)
        known = [found for at, found in self._pooled[scan].items() if oldest <= at < block]
        return pooled_threshold(Heights(*map(sum, zip(*known, strict=True))) if known else Heights(), scan=scan, budget=budget)

    def _own_threshold(self, subject: str, budget: float, block: int) -> float:
        own = self._own.get(subject)
        if own is None or own.first >= block:
            return own_threshold(np.zeros(0), blocks=0, budget=budget)
        oldest = block - OWN_MEMORY_S // block_s(Scan.COUNT)
        highest = [found for at, found in own.highest.items() if oldest <= at < block]
        return own_threshold(np.array(highest), blocks=block - max(oldest, own.first), budget=budget)


def _highest(look: Look) -> list[tuple[int, float]]:
    """The highest score of each block."""
    if len(look.at_s) == 1:
        return [((int(look.at_s[0]) - 1) // block_s(look.scan), float(look.score.max()))]
    if not len(look.at_s):
        return []
    blocks, best = _blocks(look.at_s, look.scan), look.score.max(axis=0)
    starts = np.nonzero(np.diff(blocks, prepend=blocks[0] - 1))[0]
    return list(zip(blocks[starts].tolist(), np.maximum.reduceat(best, starts).tolist(), strict=True))


def _blocks(at_s: Ints, scan: Scan) -> Ints:
    """The block of each instant: what ends with a block is of it."""
    found: Ints = (at_s - 1) // block_s(scan)
    return found
