"""The numbers that decide what a surge is: frozen and validated."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from msgspec import Meta, Struct

from opinion.records import Scan
from opinion.windows import PANE_S

HOUR_S = 3600
QUARTERS = 4
"""Quarter hours in an hour."""
LEAST_SHARE_THETA = 3.0
"""No threshold of the share scan is lower: a chance in a thousand is no news."""

WIDEST_S = 6 * HOUR_S
"""No window of the rules is wider; beyond lies the day's scan."""


_Budget = Annotated[float, Meta(ge=0, le=7)]
_Count = Annotated[int, Meta(ge=1)]
_Positive = Annotated[float, Meta(gt=0)]
_Share = Annotated[float, Meta(gt=0, lt=1)]


class WindowRule(Struct, frozen=True, forbid_unknown_fields=True):
    """One window that is looked at, and how much its count varies beyond chance."""

    width_s: Annotated[int, Meta(ge=PANE_S, le=WIDEST_S)]
    rho: Annotated[float, Meta(gt=0, lt=1)] = 0.007  # correlation of two texts in one window, until the data say better
    min_negative: Annotated[int, Meta(ge=0)] = 0  # negatives in this window, where it asks for more than the rules do


class Budgets(Struct, frozen=True, forbid_unknown_fields=True):
    """False alarms that each scan may give per subject and week; 0 switches the scan off."""

    share: _Budget = 0.25  # share of negatives in minutes to hours
    day: _Budget = 0.05  # share of negatives over a day
    count: _Budget = 0.05  # number of negatives

    def of(self, scan: Scan) -> float:
        """That of one scan."""
        found: float = getattr(self, scan.value)
        return found


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every number of the detection; `rules.default.yaml` says what each is for and when to change it.

    Thresholds are not among them: they follow from the budgets and from what the streams themselves show (`alerts/detect/thresholds.py`).
    """

    false_alarms: Budgets = Budgets()
    theta: Annotated[float, Meta(ge=LEAST_SHARE_THETA)] | None = None  # a fixed threshold of the share scan instead, to study one
    windows: Annotated[tuple[WindowRule, ...], Meta(min_length=1, max_length=8)] = (
        WindowRule(300, 0.0055, min_negative=10),
        WindowRule(900, 0.006),
        WindowRule(1800, 0.0065),
        WindowRule(3600, 0.007),
        WindowRule(7200, 0.008),
        WindowRule(10800, 0.0085),
    )
    rho_weight: _Positive = 200.0  # subject-hours that the windows' `rho` are worth against what all subjects show
    min_negative: _Count = 5  # negatives in the window
    min_lift: Annotated[float, Meta(ge=1)] = 1.3  # ratio over the usual ratio
    min_rise: Annotated[float, Meta(ge=1)] = 2.0  # number over the usual number, for the count scan
    min_clear: _Count = 3  # clear negatives in the window, where those alone are looked at
    min_breadth: _Count = 3  # distinct negative stories
    most_per_story: _Count = 2  # negatives that one story, or one author, can speak for on average
    half_life_h: _Positive = 120.0  # of the long memory
    history_h: Annotated[int, Meta(ge=24, le=168)] = 168  # its reach: panes are kept for nine days, and a day's window may lie between
    day_half_life_h: _Positive = 24.0  # of the day's memory
    day_weight: _Positive = 40.0  # texts that the long memory is worth against the day's
    recent_half_life_h: Annotated[float, Meta(ge=0.5, le=12)] = 3.0  # of the recent memory
    recent_weight: _Positive = 80.0  # texts that the day's memory is worth against the recent one
    level_rho: Annotated[float, Meta(gt=0, lt=1)] = 0.03  # of the newest hours held against the long memory: an alert lasts while they stand out
    day_rho: Annotated[float, Meta(gt=0, lt=1)] = 0.004  # the same of a day, until the data say better
    day_rho_weight: _Positive = 30.0  # subject-days that it is worth
    prior_share: _Share = 0.2  # usual ratio where nothing is known at all
    prior_weight: _Positive = 20.0  # texts that a subject's prior is worth
    prior_clear: _Share = 0.8  # part of negatives that is so clearly where nothing is known at all
    clear_weight: _Positive = 20.0  # negatives that this part of all subjects is worth against a subject's own
    clear_rho: Annotated[float, Meta(gt=0, lt=1)] = 0.01  # correlation of two negatives of a window in being clear
    pool_weight: _Positive = 500.0  # texts that `prior_share` is worth against what all subjects show
    resolve_margin: Annotated[float, Meta(ge=0, lt=LEAST_SHARE_THETA)] = 1.5  # calm is a score below the threshold minus this
    resolve_after_min: _Count = 60  # calm for so long ends an alert
    false_discoveries: Annotated[float, Meta(gt=0, le=1)] = 0.1  # part of the surges found at one instant that may be by chance (Benjamini-Hochberg)
    rearm_h: _Count = 6  # from the start of an alert until its subject may start another
    update_step: _Positive = 3.0  # growth of the score that is told again
    high_over: _Positive = 2.0  # above the threshold
    high_stories: _Count = 5
    critical_over: _Positive = 6.0
    critical_stories: _Count = 10
    persist_h: _Positive = 3.0  # a surge that lasts so long is at least `high`

    def __post_init__(self) -> None:
        """Check what one field alone cannot say."""
        widths = [window.width_s for window in self.windows]
        if widths != sorted(set(widths)) or any(width % PANE_S for width in widths):
            raise ValueError(f"windows must grow in width_s, each a multiple of {PANE_S}")
        if self.high_over > self.critical_over or self.high_stories > self.critical_stories:
            raise ValueError("critical_over and critical_stories must not be below those of high")

    @property
    def resolve_after(self) -> timedelta:
        """How long calm must last."""
        return timedelta(minutes=self.resolve_after_min)

    @property
    def rearm(self) -> timedelta:
        """From the start of an alert to the earliest start of the next."""
        return timedelta(hours=self.rearm_h)

    def least_of(self, width_s: int) -> int:
        """Negatives that a window must hold: what the rule's nearest in width asks for."""
        return max(self.min_negative, self._nearest(width_s).min_negative)

    def rho_of(self, width_s: int) -> float:
        """The rho of a window: the rule's nearest in width; beyond the widest it grows with the width to the power 0.6 (measured from 1 to 24 hours)."""
        nearest = self._nearest(width_s)
        beyond: float = max(1.0, width_s / self.windows[-1].width_s) ** 0.6
        return min(0.5, nearest.rho * beyond)

    def _nearest(self, width_s: int) -> WindowRule:
        return min(self.windows, key=lambda window: abs(window.width_s - width_s))
