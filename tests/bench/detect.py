"""Recall, delay and false alarms: `make bench-detect`, last line one JSON object.

Background: StockNet's tweets judged by the shipped model, resampled to a mean rate (see tests/bench/stocknet.py). Thresholds are set on
2014 without surges; everything told is of 2015, at that threshold, by the very code that the alerter runs, with its own re-arm.
Surges are three-hour steps of Poisson((k - 1) mu) further negatives, six days apart, of which the model misses what it misses.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from alerts.detect.rules import HOUR_S, Budgets, Rules
from alerts.detect.series import CLEAR, ROWS
from alerts.detect.series import NEGATIVE as NEGATIVE_ROW
from alerts.detector import Detector, DetectorState
from alerts.lifecycle import Transition
from opinion.codec import encode
from opinion.garbage import keep_for_good
from opinion.records import AlertStatus, Scan
from tests.bench.report import commit, machine, say
from tests.bench.stocknet import Background, background, distinct, shown
from tests.bench.streams import DAY, SURGE_MIN, Stream, alike, always_negative, even_surges, ideal, oracle_delays, resampled, simulated, with_bad_days, with_bias
from tests.support.records import NEGATIVE, NEUTRAL, scored
from yuqing.backtest import run_backtest

YEARS = [datetime(year, 1, 1, tzinfo=UTC) for year in (2014, 2015, 2016)]
START = YEARS[1]
PANE_S = 60
BUDGET = 0.25
"""False alarms per subject and week."""
RATES = (1, 4, 16, 64)
STRENGTHS = (2, 3, 5, 10)
THETAS = (3.0, 3.4, 3.8, 4.2, 4.6, 5.0)
LAST = float("inf")
PAST_DAYS = 30
"""Days that the subjects of the timed look have been heard of: more than any scan remembers."""
LOOKED_MIN = 241
"""Minutes that are looked at before that look."""
SHARE_ALONE = Rules(false_alarms=Budgets(day=0, count=0))


class Halves(NamedTuple):
    """The background of every ticker, in the year that thresholds are set on and in the one that is told of."""

    seen: list[Background]
    unseen: list[Background]


def transitions(streams: Sequence[Stream], rules: Rules) -> list[Transition]:
    """All that is told of the streams."""
    detector = Detector(rules)
    minutes = streams[0].counts.shape[1]
    for number, stream in enumerate(streams):
        detector.load(f"entity:SIM:{number}", int(START.timestamp()) + PANE_S * np.arange(minutes), stream.counts, pane_s=PANE_S)
    return detector.decide(detector.spikes(START + timedelta(minutes=minutes)))


def fired(streams: Sequence[Stream], rules: Rules) -> dict[int, list[int]]:
    """Minutes at which alerts began, per subject."""
    found: dict[int, list[int]] = {number: [] for number in range(len(streams))}
    for transition in transitions(streams, rules):
        if transition.status == AlertStatus.FIRING:
            found[int(transition.subject.rsplit(":", 1)[1])].append(int((transition.at - START).total_seconds()) // 60)
    return found


def studied(theta: float) -> Rules:
    """The share scan alone, at a fixed threshold."""
    return Rules(theta=theta, false_alarms=Budgets(day=0, count=0))


def false_alarms(streams: Sequence[Stream], rules: Rules) -> float:
    """Alerts per subject and week on streams without surges."""
    alerts = sum(len(minutes) for minutes in fired(streams, rules).values())
    return float(alerts * 7 * DAY / sum(stream.counts.shape[1] for stream in streams))


def delays(streams: Sequence[Stream], rules: Rules, *, within_min: int = SURGE_MIN) -> list[float]:
    """Minutes from each surge to its alert; infinite where none came before the surge was over."""
    found = fired(streams, rules)
    return [min((at - onset for at in found[number] if onset < at <= onset + within_min), default=LAST) for number, stream in enumerate(streams) for onset in stream.onsets]


def theta_for(curve: dict[float, float], budget: float) -> float | None:
    """The threshold at which false alarms meet the budget, between the measured ones by their logarithm."""
    points = sorted(curve.items())
    for (low, many), (high, few) in itertools.pairwise(points):
        if many >= budget >= few > 0:
            return round(low + (high - low) * float(np.log(many / budget) / np.log(many / few)), 2)
    return None


def cell_of(waits: Sequence[float], **names: float) -> dict[str, Any]:
    """Recall with its 95 % interval (Wilson 1927), and the delay of what was found."""
    caught = [wait for wait in waits if wait < LAST]
    n, part = len(waits), len(caught) / len(waits)
    middle, half = (part + 1.92 / n) / (1 + 3.84 / n), 1.96 * (part * (1 - part) / n + 0.96 / n**2) ** 0.5 / (1 + 3.84 / n)
    return {
        **names,
        "n": n,
        "recall": round(part, 3),
        "recall_95": [round(middle - half, 3), round(middle + half, 3)],
        "median_delay_min": median(caught) if caught else None,
        "p90_delay_min": float(np.quantile(caught, 0.9)) if caught else None,
    }


def thresholds(random: np.random.Generator, halves: Halves, *, told_apart: bool = True) -> dict[int, dict[float, float]]:
    """False alarms on the seen year, by rate and threshold."""
    curves = {}
    for rate in RATES:
        streams = [resampled(random, one, negatives_per_hour=rate) for one in halves.seen]
        curves[rate] = {theta: false_alarms(streams if told_apart else alike(streams), studied(theta)) for theta in THETAS}
        say(f"2014, {rate:3d} negatives/h: false alarms per subject-week " + "  ".join(f"{theta}: {found:.3f}" for theta, found in curves[rate].items()))
    return curves


def overall_theta(curves: dict[int, dict[float, float]]) -> float:
    """The threshold that meets the budget over all rates together."""
    return theta_for({theta: sum(curve[theta] for curve in curves.values()) / len(curves) for theta in THETAS}, BUDGET) or THETAS[-1]


def without_clear(random: np.random.Generator, halves: Halves) -> dict[str, Any]:
    """The same where nothing tells clear negatives from others, at a threshold of its own: what these bring."""
    theta = overall_theta(thresholds(random, halves, told_apart=False))
    found = []
    for rate, k in itertools.product((4, 16), (3, 5, 10)):
        streams = alike([resampled(random, one, negatives_per_hour=rate, k=k) for one in halves.unseen])
        found.append(cell_of(delays(streams, studied(theta)), rate_per_h=rate, k=k))
    return {"theta": theta, "cells": found}


def cells(random: np.random.Generator, halves: Halves, rules: Rules, *, flipped: float = 0.0) -> Iterator[dict[str, Any]]:
    """Recall and delay on the unseen year for each rate and strength."""
    for rate, k in itertools.product(RATES, STRENGTHS):
        yield cell_of(delays([resampled(random, one, negatives_per_hour=rate, k=k, flipped=flipped) for one in halves.unseen], rules), rate_per_h=rate, k=k)


def drawn_cell(random: np.random.Generator, halves: Halves, rules: Rules, *, rate: float, k: float, draws: int) -> dict[str, Any]:
    """One cell on so many draws of the unseen year, for a narrower interval."""
    waits = [wait for _ in range(draws) for wait in delays([resampled(random, one, negatives_per_hour=rate, k=k) for one in halves.unseen], rules)]
    return cell_of(waits, rate_per_h=rate, k=k, draws=draws)


def noisy(random: np.random.Generator, halves: Halves, rules: Rules) -> Iterator[dict[str, Any]]:
    """The same where a tenth, and a fifth, of all judgements is wrong."""
    for flipped in (0.1, 0.2):
        for cell in cells(random, Halves([], halves.unseen[:4]), rules, flipped=flipped):
            if cell["k"] > 2 and cell["rate_per_h"] in (4, 16):
                yield cell | {"flipped": flipped}


def by_budget(random: np.random.Generator, halves: Halves) -> dict[str, Any]:
    """The built-in rules, which set their thresholds themselves as they go: alerts per subject and week on streams without surges, and recall of both lanes."""
    kinds: dict[str, list[Stream]] = {f"stocknet_{rate}": [resampled(random, one, negatives_per_hour=rate) for one in halves.unseen] for rate in RATES}
    kinds |= {"moody": [simulated(random, negatives_per_hour=rate, weeks=52) for rate in RATES for _ in range(2)]}
    kinds |= {"constant": [ideal(random, negatives_per_hour=rate, weeks=52) for rate in RATES for _ in range(2)]}
    alarms = {name: alarms_by_scan(streams) for name, streams in kinds.items()}
    found = []
    for rate, k in itertools.product((4, 16), (3, 5, 10)):
        found.append(cell_of(delays([resampled(random, one, negatives_per_hour=rate, k=k) for one in halves.unseen], Rules()), rate_per_h=rate, k=k))
    return {"false_alarms_per_subject_week": alarms, "cells": found}


def alarms_by_scan(streams: Sequence[Stream]) -> dict[str, float]:
    """Alerts per subject and week of each scan, in the second half of the time."""
    length = streams[0].counts.shape[1]
    begun = [transition for transition in transitions(streams, Rules()) if transition.status == AlertStatus.FIRING and transition.at >= START + timedelta(minutes=length // 2)]
    weeks = len(streams) * length / 2 / (7 * DAY)
    return {scan.value: round(sum(transition.spike.scan == scan for transition in begun) / weeks, 4) for scan in Scan}


def against_oracle(random: np.random.Generator, rules: Rules, *, subjects: int, weeks: int) -> Iterator[dict[str, Any]]:
    """The same on streams that never change, beside a detector that knows rate and strength."""
    for rate, k in itertools.product((4, 16, 64), (3, 5, 10)):
        own = cell_of(delays([ideal(random, negatives_per_hour=rate, weeks=weeks, k=k) for _ in range(subjects)], rules), rate_per_h=rate, k=k)
        floor = cell_of(oracle_delays(random, negatives_per_hour=rate, k=k, per_week=BUDGET))
        ratio = own["median_delay_min"] / floor["median_delay_min"] if own["median_delay_min"] else None
        yield own | {"oracle_recall": floor["recall"], "oracle_median_min": floor["median_delay_min"], "ratio": ratio and round(ratio, 2)}


def storms(random: np.random.Generator, halves: Halves, rules: Rules) -> dict[str, int]:
    """Alerts that must not be: one story 200 times, one author 500 times, ten-fold volume at the usual share (beyond what quiet days fire)."""
    calm = [scored(90 * n, sentiment=NEGATIVE if n % 5 == 0 else NEUTRAL) for n in range(1600)]
    copies = [scored(100_000 + 20 * n, story="st_storm", publisher=f"p{n % 50}.example") for n in range(200)]
    posts = [scored(100_000 + 7 * n, kind="social", publisher="x.com", author_hash="one") for n in range(500)]
    counted = {name: len(run_backtest([encode(row) for row in [*calm, *storm]], rules=rules).rows) for name, storm in (("duplicate", copies), ("author", posts))}
    quiet = [resampled(random, one, negatives_per_hour=16) for one in halves.unseen[:8]]
    begun = [sum(len(minutes) for minutes in fired(streams, rules).values()) for streams in (quiet, even_surges(random, quiet, factor=10))]
    return counted | {"equal_share": max(0, begun[1] - begun[0]), "equal_share_fired": begun[1], "equal_share_fired_quiet": begun[0]}


def shapes_of(random: np.random.Generator, halves: Halves) -> Iterator[tuple[str, Any]]:
    """What the built-in rules say of surges of other shapes."""
    for rate, k in itertools.product((4, 16), (3, 5, 10)):
        streams = [always_negative(random, one, negatives_per_hour=rate, k=k) for one in halves.unseen]
        yield f"share_75_{rate}_k{k}", {lane: cell_of(delays(streams, rules)) for lane, rules in (("share", SHARE_ALONE), ("both", Rules()))}
    for rate in (4, 16, 64):
        steady = [ideal(random, negatives_per_hour=rate, weeks=52) for _ in range(4)]
        for name, bad in bad_days(random, [resampled(random, one, negatives_per_hour=rate) for one in halves.unseen], steady).items():
            yield f"bad_day_{name}_{rate}", {lanes: cell_of(delays(bad, rules, within_min=DAY)) for lanes, rules in (("hours", SHARE_ALONE), ("all", Rules()))}
    for rate in (4, 16):
        waits = delays([resampled(random, one, negatives_per_hour=rate, k=5, again_min=DAY) for one in halves.unseen], Rules())
        yield f"again_after_24h_{rate}", {"first": cell_of(waits[::2]), "second": cell_of(waits[1::2])}
    for part in (0.05, 0.1, 0.2):
        yield f"bias_{part}", biased(random, halves, part=part)


def bad_days(random: np.random.Generator, usual: Sequence[Stream], steady: Sequence[Stream]) -> dict[str, list[Stream]]:
    """Days at 1.5 times the usual share of negatives: of texts that people would call negative, of texts as doubtful as the usual ones, and on streams that never change."""
    clear = shown().clear / shown().negative
    kinds = (("told", usual, clear), ("doubtful", usual, None), ("steady", steady, None))
    return {name: [with_bad_days(random, stream, factor=1.5, clear=part) for stream in streams] for name, streams, part in kinds}


def biased(random: np.random.Generator, halves: Halves, *, part: float) -> dict[str, float]:
    """Of 48 subjects, those that a change of the model's judgement pages within a day, and in the day before."""
    begin = 60 * DAY
    streams = [resampled(random, one, negatives_per_hour=rate) for rate in RATES for one in halves.unseen]
    cut = [stream._replace(counts=stream.counts[:, : begin + 2 * DAY]) for stream in streams]
    found = fired([with_bias(random, stream, from_minute=begin, part=part) for stream in cut], Rules())
    paged = {name: sum(any(low <= at < low + DAY for at in minutes) for minutes in found.values()) for name, low in (("paged_before", begin - DAY), ("paged", begin))}
    return {"subjects": len(streams), **paged}


def tick_s(subjects: int) -> dict[str, float]:
    """Seconds of one live look at many busy subjects, all scans: in the middle of an hour, and when every baseline is due."""
    minutes = PAST_DAYS * DAY
    detector = restarted(subjects, minutes=minutes)
    for minute in range(minutes - LOOKED_MIN + 15, minutes - 60, 15):  # a detector that has been at work for a while
        detector.decide(detector.spikes(START + timedelta(minutes=minute)))
    found = {}
    for name, minute in (("new_hour", minutes - 60), ("within_hour", minutes - 50)):
        detector.decide(detector.spikes(START + timedelta(minutes=minute - 1), partial=True))
        begun = time.perf_counter()
        detector.decide(detector.spikes(START + timedelta(minutes=minute, seconds=30), partial=True))
        found[name] = round(time.perf_counter() - begun, 4)
    return found


def restarted(subjects: int, *, minutes: int) -> Detector:
    """A detector as the alerter has it after a restart: so many subjects with the panes that it asks for and the hours before them."""
    random = np.random.default_rng(5)
    detector = Detector(Rules())
    detector.restore(DetectorState(evaluated_s=int(START.timestamp()) + 60 * (minutes - LOOKED_MIN)))
    needed = detector.panes_needed_since
    first = 0 if needed is None else int((needed - START).total_seconds()) // 60
    streams = [simulated(random, negatives_per_hour=4, weeks=-(-PAST_DAYS // 7)).counts[:, :minutes] for _ in range(20)]
    for stream in streams:
        stream[CLEAR] = random.binomial(stream[NEGATIVE_ROW], 0.3)
    hours = [dict(enumerate(map(tuple, stream[:, :first].reshape(ROWS, -1, 60).sum(axis=2).T.tolist()), int(START.timestamp()) // HOUR_S)) for stream in streams]
    starts_s = int(START.timestamp()) + PANE_S * np.arange(first, minutes)
    for number in range(subjects):
        subject, like = f"entity:SIM:{number}", number % len(streams)
        detector.load(subject, starts_s, streams[like][:, first:])
        detector.put_hours(subject, hours[like])
    keep_for_good()
    return detector


def main() -> None:
    """Print the tables, then one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--subjects", type=int, default=12, help="tickers of StockNet, the most tweeted first (at most 20)")
    options.add_argument("--seed", type=int, default=20261123)
    options.add_argument("--tick-subjects", type=int, default=10_000)
    options.add_argument("--cell", metavar="RATE,K", help="this cell alone, at `--theta`, drawn `--draws` times")
    options.add_argument("--theta", type=float, default=4.0)
    options.add_argument("--draws", type=int, default=6)
    chosen = options.parse_args()
    random = np.random.default_rng(chosen.seed)
    tickers = distinct(most=chosen.subjects)
    halves = Halves(*([background(one, first_s=int(first.timestamp()), last_s=int(last.timestamp())) for one in tickers] for first, last in itertools.pairwise(YEARS)))
    if chosen.cell:
        rate, k = (float(number) for number in chosen.cell.split(","))
        say(
            json.dumps({"bench": "detect_cell", "commit": commit(), "theta": chosen.theta, **drawn_cell(random, halves, studied(chosen.theta), rate=rate, k=k, draws=chosen.draws)})
        )
        return
    curves = thresholds(random, halves)
    theta = overall_theta(curves)
    rules = studied(theta)
    unseen = {rate: round(false_alarms([resampled(random, one, negatives_per_hour=rate) for one in halves.unseen], rules), 4) for rate in RATES}
    say(f"theta {theta} holds {BUDGET} on 2014; false alarms on 2015 by rate: {unseen}")
    parts: dict[str, list[dict[str, Any]]] = {"cells": [], "cells_label_noise": [], "ideal": []}
    for name, rows in (
        ("cells", cells(random, halves, rules)),
        ("cells_label_noise", noisy(random, halves, rules)),
        ("ideal", against_oracle(random, rules, subjects=4, weeks=52)),
    ):
        for row in rows:
            parts[name].append(row)
            say(f"{name} {json.dumps(row)}")
    plain = without_clear(random, halves)
    say(f"clear negatives not told apart: {json.dumps(plain)}")
    budgets = by_budget(random, halves)
    say(f"default rules, thresholds of their own: {json.dumps(budgets)}")
    shapes = dict(shapes_of(random, halves))
    say(f"other shapes, default rules: {json.dumps(shapes)}")
    tick = tick_s(chosen.tick_subjects)
    ratios = [row["ratio"] for row in parts["ideal"] if row["ratio"]]
    result = {
        "bench": "detect",
        "machine": machine(),
        "commit": commit(),
        "n": sum(cell["n"] for cell in parts["cells"]),
        "theta": theta,
        **parts,
        "false_alarms_per_subject_week": round(sum(unseen.values()) / len(unseen), 4),
        "false_alarms_by_rate": unseen,
        "without_clear": plain,
        "theta_by_rate": {str(rate): theta_for(curve, BUDGET) for rate, curve in curves.items()},
        "oracle_ratio": round(max(ratios), 2) if ratios else None,
        "default_rules": budgets,
        "shapes": shapes,
        "storms": storms(random, halves, rules),
        "tick_subjects": chosen.tick_subjects,
        "tick_10k_subjects_s": max(tick.values()) if chosen.tick_subjects == 10_000 else None,
        "tick_s": tick,
    }
    say(json.dumps(result))


if __name__ == "__main__":
    main()
