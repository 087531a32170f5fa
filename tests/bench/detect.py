"""Recall, delay and false alarms of the share lane on a simulated stream: `python -m tests.bench.detect`, last line JSON.

Simulated, not recorded: totals are Poisson with a day's rhythm, a lognormal drift and bursts; the negative share is 0.2 with a
drift (logit sd 0.4, half-life 6 h) that does not depend on the volume. Surges are three-hour steps of Poisson((k - 1) mu) further
negatives, at least five days apart, judged by the very code that the alerter runs, with its own re-arm.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

import msgspec
import numpy as np
from scipy.signal import lfilter

from alerts.detect.rules import Rules
from alerts.detect.series import Floats, Ints
from alerts.detector import Detector
from alerts.lifecycle import Transition
from opinion.records import AlertStatus

START = datetime(2026, 1, 5, tzinfo=UTC)
PANE_S = 60
DAY = 1440
SHARE = 0.2
SURGE_MIN = 180
NEGATIVES_PER_HOUR = (1, 4, 16, 64)
STRENGTHS = (2, 3, 5, 10)
THETAS = (2.5, 2.75, 3.0, 3.25, 3.5, 3.75, 4.0, 4.5)


class Stream(NamedTuple):
    """Minutes of one subject: (2, n) counts, the rate of negatives per minute, and where surges begin."""

    counts: Ints
    rate: Floats
    onsets: list[int]


def drift(random: np.random.Generator, minutes: int, *, sd: float, half_life_h: float) -> Floats:
    """A stationary AR(1) process by the minute."""
    keep = 0.5 ** (1 / (half_life_h * 60))
    shocks = random.normal(0, sd * (1 - keep * keep) ** 0.5, minutes)
    shocks[0] = random.normal(0, sd)
    found: Floats = lfilter([1.0], [1.0, -keep], shocks)
    return found


def simulated(random: np.random.Generator, *, negatives_per_hour: float, weeks: int, k: float = 1) -> Stream:
    """One subject, with surges of strength `k` where it is above 1."""
    minutes = weeks * 7 * DAY
    rhythm = 1 + 0.8 * np.sin(2 * np.pi * (np.arange(minutes) % DAY / DAY - 0.3))
    bursts = lfilter([1.0], [1.0, -(0.5 ** (1 / 30))], random.random(minutes) < 1 / DAY) * 6
    rate = rhythm * np.exp(drift(random, minutes, sd=0.6, half_life_h=4) - 0.18) * (1 + bursts)
    rate *= negatives_per_hour / SHARE / 60 / rate.mean()
    logit = np.log(SHARE / (1 - SHARE)) + drift(random, minutes, sd=0.4, half_life_h=6)
    total = random.poisson(rate)
    negative = random.binomial(total, 1 / (1 + np.exp(-logit)))
    onsets = [] if k <= 1 else [day * DAY + int(random.integers(DAY)) for day in range(9, weeks * 7 - 2, 6)]
    for onset in onsets:
        extra = random.poisson((k - 1) * SHARE * rate[onset : onset + SURGE_MIN])
        total[onset : onset + SURGE_MIN] += extra
        negative[onset : onset + SURGE_MIN] += extra
    return Stream(np.stack([total, negative]), rate * SHARE, onsets)


def transitions(streams: list[Stream], rules: Rules) -> list[Transition]:
    """What the alerter would tell of these subjects; breadth is left unknown."""
    detector = Detector(rules)
    minutes = streams[0].counts.shape[1]
    for number, stream in enumerate(streams):
        detector.load(f"entity:SIM:{number}", int(START.timestamp()) + PANE_S * np.arange(minutes), stream.counts, pane_s=PANE_S)
    return detector.decide(detector.spikes(START + timedelta(minutes=minutes)))


def fired(streams: list[Stream], rules: Rules) -> dict[int, list[int]]:
    """Minutes at which alerts began, per subject."""
    found: dict[int, list[int]] = {number: [] for number in range(len(streams))}
    for transition in transitions(streams, rules):
        if transition.status == AlertStatus.FIRING:
            found[int(transition.subject.rsplit(":", 1)[1])].append(int((transition.at - START).total_seconds()) // 60)
    return found


def false_alarms(streams: list[Stream], rules: Rules) -> float:
    """Alerts per subject and week on streams without surges."""
    alerts = sum(len(minutes) for minutes in fired(streams, rules).values())
    minutes = sum(stream.counts.shape[1] for stream in streams)
    return float(alerts * 7 * DAY / minutes)


def delays(streams: list[Stream], rules: Rules) -> list[float]:
    """Minutes from each surge to its alert; infinite where none came before the surge was over."""
    found = fired(streams, rules)
    return [min((at - onset for at in found[number] if onset < at <= onset + SURGE_MIN), default=float("inf")) for number, stream in enumerate(streams) for onset in stream.onsets]


def cells(random: np.random.Generator, rules: Rules, *, subjects: int, weeks: int) -> Iterator[dict[str, Any]]:
    """Recall and delay for each rate and strength."""
    for rate in NEGATIVES_PER_HOUR:
        for k in STRENGTHS:
            waits = delays([simulated(random, negatives_per_hour=rate, weeks=weeks, k=k) for _ in range(subjects)], rules)
            caught = [wait for wait in waits if wait < float("inf")]
            yield {
                "rate_per_h": rate,
                "k": k,
                "n": len(waits),
                "recall": round(len(caught) / len(waits), 3),
                "median_delay_min": median(caught) if caught else None,
                "p90_delay_min": float(np.quantile(caught, 0.9)) if caught else None,
            }


def theta_for(curve: dict[float, float], budget: float) -> float | None:
    """The threshold at which false alarms meet the budget, between the measured ones by their logarithm."""
    points = sorted(curve.items())
    for (low, many), (high, few) in itertools.pairwise(points):
        if many >= budget >= few > 0:
            return round(low + (high - low) * float(np.log(many / budget) / np.log(many / few)), 2)
    return None


def storms(random: np.random.Generator, rules: Rules) -> dict[str, int]:
    """Alerts on ten-fold volume at the same share, six hours each day: there must be none beyond the usual false ones."""
    quiet = [simulated(random, negatives_per_hour=16, weeks=2) for _ in range(4)]
    loud = []
    for stream in quiet:
        counts = stream.counts.copy()
        loud_minutes = np.arange(counts.shape[1]) % DAY < DAY // 4
        counts[0, loud_minutes] = random.poisson(10 * stream.rate[loud_minutes] / SHARE)
        counts[1, loud_minutes] = random.binomial(counts[0, loud_minutes], SHARE)
        loud.append(stream._replace(counts=counts))
    return {"equal_share": sum(len(minutes) for minutes in fired(loud, rules).values())}


def tick_s(subjects: int) -> dict[str, float]:
    """Seconds of one live look at many busy subjects: in the middle of an hour, and when every baseline is due."""
    random = np.random.default_rng(5)
    detector = Detector(Rules())
    minutes = 9 * DAY
    streams = [simulated(random, negatives_per_hour=16, weeks=2).counts[:, :minutes] for _ in range(20)]
    for number in range(subjects):
        detector.load(f"entity:SIM:{number}", int(START.timestamp()) + PANE_S * np.arange(minutes), streams[number % 20])
    detector.decide(detector.spikes(START + timedelta(minutes=minutes - 61)))
    found = {}
    for name, minute in (("new_hour", minutes - 60), ("within_hour", minutes - 50)):
        detector.decide(detector.spikes(START + timedelta(minutes=minute - 1), partial=True))
        begun = time.perf_counter()
        detector.decide(detector.spikes(START + timedelta(minutes=minute, seconds=30), partial=True))
        found[name] = round(time.perf_counter() - begun, 4)
    return found


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Print the tables, then one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--subjects", type=int, default=12, help="simulated subjects per cell")
    options.add_argument("--weeks", type=int, default=26)
    options.add_argument("--seed", type=int, default=20261123)
    options.add_argument("--tick-subjects", type=int, default=1000)
    chosen = options.parse_args()
    random, rules = np.random.default_rng(chosen.seed), Rules()
    curves: dict[int, dict[float, float]] = {}
    for rate in NEGATIVES_PER_HOUR:
        streams = [simulated(random, negatives_per_hour=rate, weeks=chosen.weeks) for _ in range(chosen.subjects)]
        curves[rate] = {theta: false_alarms(streams, msgspec.structs.replace(rules, theta=theta)) for theta in THETAS}
        _say(f"{rate:3d} negatives/h: false alarms per subject-week " + "  ".join(f"{theta}: {found:.3f}" for theta, found in curves[rate].items()))
    overall = {theta: sum(curve[theta] for curve in curves.values()) / len(curves) for theta in THETAS}
    _say("all rates: " + "  ".join(f"{theta}: {found:.3f}" for theta, found in overall.items()))
    table = []
    for cell in cells(random, rules, subjects=chosen.subjects, weeks=chosen.weeks):
        table.append(cell)
        _say(json.dumps(cell))
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    result = {
        "bench": "detect",
        "machine": {"cores": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()},
        "commit": commit,
        "n": sum(cell["n"] for cell in table),
        "simulated": True,
        "theta": rules.theta,
        "cells": table,
        "false_alarms_per_subject_week": {str(theta): round(found, 4) for theta, found in overall.items()},
        "theta_by_rate": {str(rate): theta_for(curve, 0.25) for rate, curve in curves.items()},
        "storms": storms(random, rules),
        "tick_subjects": chosen.tick_subjects,
        "tick_s": tick_s(chosen.tick_subjects),
    }
    _say(json.dumps(result))


if __name__ == "__main__":
    main()
