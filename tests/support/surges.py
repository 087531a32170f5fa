"""Simulated minutes of one subject, and what the detection tells of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np

from alerts.detect.rules import Rules
from alerts.detector import Detector
from alerts.lifecycle import Transition
from opinion.records import Scan, Spike

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
MONDAY_S = int(MONDAY.timestamp())
COMPANY = "entity:XDEM:HSRY"
THETA = 4.0
STUDIED = Rules(theta=4.2)
"""Rules with a fixed threshold: a usual day of these streams passes none."""

Minutes = list[tuple[int, int]]
"""Total and negative of each minute."""


def quiet(*, hours: int, per_hour: float = 20, share: float = 0.2, seed: int = 1) -> Minutes:
    """Poisson totals, binomial negatives."""
    random = np.random.default_rng(seed)
    total = random.poisson(per_hour / 60, hours * 60)
    return list(zip(total.tolist(), random.binomial(total, share).tolist(), strict=True))


def with_surge(minutes: Minutes, *, at_hour: float, hours: float, per_hour: float, seed: int = 2) -> Minutes:
    """The same with Poisson further negatives for a while."""
    random = np.random.default_rng(seed)
    begin, end = round(at_hour * 60), round((at_hour + hours) * 60)
    extra = random.poisson(per_hour / 60, len(minutes)).tolist()
    return [(total + more, negative + more) if begin <= i < end else (total, negative) for i, ((total, negative), more) in enumerate(zip(minutes, extra, strict=True))]


def filled(minutes: Minutes, *, rules: Rules | None = None, subject: str = COMPANY, clear: Sequence[int] | None = None) -> Detector:
    """A detector that holds these minutes from Monday on."""
    detector = Detector(rules or STUDIED)
    put(detector, minutes, subject=subject, clear=clear)
    return detector


def clear_of(minutes: Minutes, *, part: float = 0.15, surge_h: tuple[float, float] = (0, 0), part_then: float = 0.9, seed: int = 3) -> list[int]:
    """How many of each minute's negatives are clear: few, but while a surge lasts most."""
    random = np.random.default_rng(seed)
    begin, end = (60 * hour for hour in surge_h)
    parts = [part_then if begin <= minute < end else part for minute in range(len(minutes))]
    found: list[int] = random.binomial([negative for _, negative in minutes], parts).tolist()
    return found


def put(detector: Detector, minutes: Minutes, *, first: int = 0, last: int | None = None, subject: str = COMPANY, clear: Sequence[int] | None = None) -> None:
    """Set minutes [first, last) of a detector; without `clear` nothing tells clear negatives apart."""
    for minute, (total, negative) in list(enumerate(minutes))[first:last]:
        if total:
            detector.put(subject, MONDAY_S + 60 * minute, total=total, negative=negative, clear=clear[minute] if clear else 0)


def broad(spikes: Iterable[Spike], **breadth: int) -> list[Spike]:
    """Spikes told by many, unless said otherwise."""
    wide = {"stories": 50, "publishers": 9, "authors": 0} | breadth
    return [msgspec.structs.replace(spike, **wide) for spike in spikes]


def look(detector: Detector, minute: float, *, partial: bool = False, **breadth: int) -> list[Transition]:
    """What is told when a detector looks at `minute` after Monday began."""
    return detector.decide(broad(detector.spikes(MONDAY + timedelta(minutes=minute), partial=partial), **breadth))


def spike(**changes: Any) -> Spike:
    """41 of 58 in an hour, where a fifth is usual."""
    fields: dict[str, Any] = {
        "subject": COMPANY,
        "scan": Scan.SHARE,
        "at": MONDAY,
        "width_s": 3600,
        "total": 58,
        "negative": 41,
        "expected_negative": 12.76,
        "baseline_ratio": 0.22,
        "ratio": 0.706897,
        "lift": 3.213,
        "p_value": 1e-5,
        "score": 5.0,
        "theta": THETA,
        "stories": 19,
        "publishers": 14,
        "authors": 0,
    }
    return Spike(**(fields | changes))
