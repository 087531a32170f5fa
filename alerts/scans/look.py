"""What a scan hands on: evaluations that are not calm under any threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alerts.detect.rules import Rules
from alerts.detect.series import Floats, Ints
from alerts.detect.share import Sums
from alerts.detect.thresholds import LEAST_THETA, NOTED
from opinion.records import Scan


class Look(NamedTuple):
    """Evaluations by columns, (windows, n) where not said otherwise: of one subject at rising instants, or of n subjects at one."""

    scan: Scan
    widths_s: tuple[int, ...]
    at_s: Ints  # (n,)
    sums: Sums
    expected: Floats  # negatives usual in the window
    expected_clear: Floats  # clear ones; 0 where a scan does not look at them
    score: Floats
    level: Floats  # (n,): score of the widest window against the long memory; it never fires, but an alert lasts while it is high
    dispersion: Floats  # (n,): of a count; 0 of a share
    texts: Floats  # (n,): that what is usual rests on

    def columns(self, chosen: Ints) -> Look:
        """Some of the evaluations."""
        return self._replace(
            at_s=self.at_s[chosen],
            sums=self.sums.columns(chosen),
            expected=self.expected[:, chosen],
            expected_clear=self.expected_clear[:, chosen],
            score=self.score[:, chosen],
            level=self.level[chosen],
            dispersion=self.dispersion[chosen],
            texts=self.texts[chosen],
        )

    def warm(self, rules: Rules) -> Ints:
        """Evaluations that may matter, whatever the threshold: to keep an alert on, to begin one, or to be noted."""
        least = min(LEAST_THETA[self.scan] - rules.resolve_margin, NOTED[self.scan])
        found: Ints = np.nonzero(np.maximum(self.score.max(axis=0), self.level) >= least)[0]
        return found


def joined(looks: Sequence[Look]) -> Look:
    """Looks of one scan and one subject, one after the other."""
    if len(looks) == 1:
        return looks[0]
    first = looks[0]
    sums = Sums(*(np.concatenate(rows, axis=1) for rows in zip(*(look.sums for look in looks), strict=True)))
    return first._replace(
        sums=sums,
        at_s=np.concatenate([look.at_s for look in looks]),
        expected=np.concatenate([look.expected for look in looks], axis=1),
        expected_clear=np.concatenate([look.expected_clear for look in looks], axis=1),
        score=np.concatenate([look.score for look in looks], axis=1),
        level=np.concatenate([look.level for look in looks]),
        dispersion=np.concatenate([look.dispersion for look in looks]),
        texts=np.concatenate([look.texts for look in looks]),
    )
