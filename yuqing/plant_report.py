"""How much of what was planted was caught, how soon, and at what price in false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from scipy.special import gammaincinv

from opinion.records import Severity
from yuqing.planting import SURGE_S, Plan, Span, Surge

MINUTE_S = 60
WEEK_S = 7 * 86400
Z_95 = 1.959964
"""Standard deviations on either side that hold 95 % of a normal law."""


class Alarm(NamedTuple):
    """An alert as a stretch of time."""

    begin_s: int  # epoch seconds
    end_s: int | None  # None where it is on at the end
    severity: Severity  # the worst it had
    ratio: float = 0.0  # share of negatives in the window that fired it
    usual: float = 0.0  # what was usual then


Alarms = Mapping[str, Sequence[Alarm]]
"""By subject, the earliest first."""


class Run(NamedTuple):
    """What came of a record with surges in it."""

    texts: Sequence[int]  # planted by each surge of the plan
    alarms: Alarms


class Strength(Struct, frozen=True, kw_only=True):
    """What became of the surges of one strength."""

    k: float  # times the usual number of negatives
    planted: int
    median_texts: float  # planted per surge: under about six nothing can be told from chance
    caught: int  # an alert began after the surge did, and before it was over
    recall: float
    recall_95: tuple[float, float]  # Wilson
    median_delay_min: float | None  # from the beginning of the surge, of those caught; None where none was
    p90_delay_min: float | None


class PlantReport(Struct, frozen=True, kw_only=True):
    """What a backtest says of planted surges."""

    seed: int
    surge_s: int
    subjects: int
    left_out: int  # subjects whose record is too short or too coarse to measure
    subject_weeks: float  # of the second halves
    false_alarms: int  # alerts there without anything planted; real surges are among them
    false_alarms_per_subject_week: float
    false_alarms_per_subject_week_95: tuple[float, float]  # Poisson, exact
    chance_recall: float  # what false alarms alone would catch
    strengths: list[Strength]


def plant_report(plan: Plan, *, quiet: Alarms, surging: Mapping[float, Run]) -> PlantReport:
    """The report on a plan: `quiet` has the alerts of the record as it is, `surging` those of the planted ones by strength."""
    weeks = sum(span.end_s - span.start_s for span in plan.spans.values()) / WEEK_S
    false = sum(_within(quiet.get(subject, ()), span) for subject, span in plan.spans.items())
    low, high = poisson_95(false)
    return PlantReport(
        seed=plan.seed,
        surge_s=SURGE_S,
        subjects=len(plan.spans),
        left_out=plan.left_out,
        subject_weeks=round(weeks, 2),
        false_alarms=false,
        false_alarms_per_subject_week=round(false / weeks, 4),
        false_alarms_per_subject_week_95=(round(low / weeks, 4), round(high / weeks, 4)),
        chance_recall=round(false / weeks * SURGE_S / WEEK_S, 5),
        strengths=[_strength(k, plan.surges, run) for k, run in sorted(surging.items())],
    )


def delay_s(surge: Surge, alarms: Alarms) -> int | None:
    """Seconds from the beginning of a surge to the first alert that began before it was over; None where none did."""
    delays = (alarm.begin_s - surge.onset_s for alarm in alarms.get(surge.subject, ()))
    return min((delay for delay in delays if 0 < delay <= SURGE_S), default=None)


def wilson_95(caught: int, planted: int) -> tuple[float, float]:
    """The 95 % interval of a part (Wilson 1927).

    >>> [round(bound, 4) for bound in wilson_95(8, 10)]
    [0.4902, 0.9433]
    """
    part, z2 = caught / planted, Z_95 * Z_95
    middle = (part + z2 / 2 / planted) / (1 + z2 / planted)
    half = Z_95 * (part * (1 - part) / planted + z2 / 4 / planted**2) ** 0.5 / (1 + z2 / planted)
    return max(0.0, middle - half), min(1.0, middle + half)


def poisson_95(count: int) -> tuple[float, float]:
    """The exact 95 % interval of a Poisson mean (Garwood 1936).

    >>> [round(bound, 3) for bound in poisson_95(10)]
    [4.795, 18.39]
    """
    return float(gammaincinv(count, 0.025)) if count else 0.0, float(gammaincinv(count + 1, 0.975))


def as_table(report: PlantReport) -> str:
    """The report for people: a line for the false alarms, one for each strength."""
    low, high = report.false_alarms_per_subject_week_95
    left_out = f", {report.left_out} left out (too short or too coarse)" if report.left_out else ""
    alerts = f"{report.false_alarms} alert{'' if report.false_alarms == 1 else 's'}"
    rate = f"{report.false_alarms_per_subject_week:.3f} per subject-week [{low:.3f}, {high:.3f}]"
    lines = [
        f"surges of {report.surge_s // 3600} h planted into the second half of {report.subjects} subjects{left_out}; seed {report.seed}",
        f"without them: {alerts} in {report.subject_weeks:.1f} subject-weeks, {rate}; these alone would catch {report.chance_recall:.2%}",
        f"{'k':>6}  {'planted':>7}  {'texts each':>10}  {'recall':>7}  {'95 %':^13}  {'delay, median':>13}  {'p90':>7}",
    ]
    return "\n".join([*lines, *map(_line, report.strengths)])


def _line(found: Strength) -> str:
    low, high = found.recall_95
    return (
        f"{found.k:>6g}  {found.planted:>7}  {found.median_texts:>10g}  {found.recall:>7.1%}  {f'{low:.1%}-{high:.1%}':^13}"
        f"  {_minutes(found.median_delay_min):>13}  {_minutes(found.p90_delay_min):>7}"
    )


def _minutes(delay_min: float | None) -> str:
    return "-" if delay_min is None else f"{delay_min:.0f} min"


def _within(alarms: Sequence[Alarm], span: Span) -> int:
    return sum(span.start_s < alarm.begin_s <= span.end_s for alarm in alarms)


def _strength(k: float, surges: Sequence[Surge], run: Run) -> Strength:
    delays = [delay / MINUTE_S for surge in surges if (delay := delay_s(surge, run.alarms)) is not None]
    low, high = wilson_95(len(delays), len(surges))
    return Strength(
        k=k,
        planted=len(surges),
        median_texts=float(np.median(run.texts)),
        caught=len(delays),
        recall=round(len(delays) / len(surges), 4),
        recall_95=(round(low, 4), round(high, 4)),
        median_delay_min=round(float(np.median(delays)), 1) if delays else None,
        p90_delay_min=round(float(np.quantile(delays, 0.9)), 1) if delays else None,
    )
