"""Surges planted into a record, so that what the rules catch of them can be counted.

A record's first half stays as it is: what is usual is learned there. In the second half each subject gets three-hour surges, five days or
more apart: `k` times its own negatives at that time, the further ones each of a story of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import numpy as np

from alerts.detect.series import NEGATIVE
from opinion.errors import ConfigError
from yuqing.recorded import COUNTED, Further, Manner, Recording, Track

PLANT_SEED = 20261123
"""Of the random numbers, unless another is given: the same record gets the same surges."""
DAY_S = 86400
SURGE_S = 3 * 3600
"""How long a surge lasts."""
LEAST_APART_S, MOST_APART_S = 5 * DAY_S, 7 * DAY_S
"""From the beginning of a surge to that of the next: a surge must be forgotten before the next one, and no weekday may be preferred."""
LEAST_HALF_S = 10 * DAY_S
"""A second half shorter than this has no room for two surges."""
WIDEST_PANE_S = 3600
"""Rows wider than this cannot tell of a surge of three hours before it is over."""
DAYS_AROUND = 3
"""A subject's rate is the mean of the same three hours of so many days before and after, and of the day itself."""
FEWEST_MANNERS = 30
"""A subject with fewer negative texts borrows the manners of all."""
MOST_STRENGTH = 1000.0


class Span(NamedTuple):
    """Where a subject is measured: the second half of its record, [start_s, end_s), epoch seconds."""

    start_s: int
    end_s: int


class Surge(NamedTuple):
    """A surge to plant."""

    subject: str
    onset_s: int  # epoch seconds
    usual: float  # negatives expected in these three hours without it


@dataclass(frozen=True, slots=True)
class Plan:
    """Where surges go; the same for every strength, so that strengths are compared on the same hours."""

    surges: Sequence[Surge]
    spans: Mapping[str, Span]  # of the subjects that are measured
    left_out: int  # subjects whose record is too short or too coarse
    seed: int


class Planted(NamedTuple):
    """A record with surges in it."""

    recording: Recording
    texts: Sequence[int]  # planted by each surge of the plan


def strengths_of(words: str) -> tuple[float, ...]:
    """The strengths named, e.g. `3,5,10`: how many times the usual number of negatives; rising, each once.

    Errors:
        ConfigError: not a number above 1 and at most 1000.

    >>> strengths_of("10, 3,5")
    (3.0, 5.0, 10.0)
    """
    found = set()
    for word in words.split(","):
        try:
            strength = float(word)
        except ValueError as error:
            raise ConfigError(f"--plant {words}: {word.strip()!r} is not a number") from error
        if not 1 < strength <= MOST_STRENGTH:
            raise ConfigError(f"--plant {words}: {word.strip()} is not above 1 and at most {MOST_STRENGTH:g}")
        found.add(strength)
    return tuple(sorted(found))


def plan_of(recording: Recording, *, seed: int) -> Plan:
    """Random surges for the second half of each subject's record.

    Errors:
        ConfigError: no subject has a second half that is long enough, in rows that are fine enough.
    """
    spans = {subject: _second_half(track) for subject, track in recording.tracks.items() if track.pane_s <= WIDEST_PANE_S}
    spans = {subject: span for subject, span in sorted(spans.items()) if span.end_s - span.start_s >= LEAST_HALF_S}
    if not spans:
        raise ConfigError("--plant: no subject has a record of twenty days or more in rows of an hour or less")
    chance = np.random.default_rng(seed)
    surges = [Surge(subject, onset_s, usual_at(recording.tracks[subject], onset_s)) for subject, span in spans.items() for onset_s in _onsets(chance, span)]
    return Plan(surges, spans, len(recording.tracks) - len(spans), seed)


def planted(recording: Recording, plan: Plan, *, k: float) -> Planted:
    """The record with the plan's surges, each of Poisson((k - 1) x usual) further negatives at random seconds."""
    chance = np.random.default_rng([plan.seed, round(k * 1000)])
    texts = chance.poisson([(k - 1) * surge.usual for surge in plan.surges]).tolist()
    pools = _pools(recording, plan.spans)
    further: dict[str, list[Further]] = {subject: [] for subject in plan.spans}
    for surge, many in zip(plan.surges, texts, strict=True):
        further[surge.subject] += _drawn(chance, surge, many=many, pool=pools[surge.subject])
    tracks = {subject: recording.tracks[subject].with_negatives(added) for subject, added in further.items()}
    return Planted(replace(recording, tracks={**recording.tracks, **tracks}), texts)


def _pools(recording: Recording, subjects: Iterable[str]) -> dict[str, Sequence[Manner]]:
    """What the planted texts of each subject are drawn from."""
    own = {subject: track.voices.manners() for subject, track in recording.tracks.items()}
    everyone = list(chain.from_iterable(own.values())) or [COUNTED]
    return {subject: own[subject] if len(own[subject]) >= FEWEST_MANNERS else everyone for subject in subjects}


def _drawn(chance: np.random.Generator, surge: Surge, *, many: int, pool: Sequence[Manner]) -> list[Further]:
    at_s = np.sort(surge.onset_s + chance.integers(SURGE_S, size=many)).tolist()
    manners = chance.integers(len(pool), size=many).tolist()
    return [Further(at, f"planted {surge.subject} {surge.onset_s} {number}", pool[manner]) for number, (at, manner) in enumerate(zip(at_s, manners, strict=True))]


def usual_at(track: Track, onset_s: int) -> float:
    """Negatives in the three hours from `onset_s` on: the mean of the same hours of the days around that the record holds."""
    days = onset_s + DAY_S * np.arange(-DAYS_AROUND, DAYS_AROUND + 1)
    begins = days[(days >= track.first_s) & (days + SURGE_S <= track.end_s)]
    running = np.concatenate([[0], np.cumsum(track.counts[NEGATIVE])])
    found = running[np.searchsorted(track.starts_s, begins + SURGE_S)] - running[np.searchsorted(track.starts_s, begins)]
    return float(found.mean())


def _second_half(track: Track) -> Span:
    return Span((track.first_s + track.end_s) // 2, track.end_s)


def _onsets(chance: np.random.Generator, span: Span) -> list[int]:
    spread_s = MOST_APART_S - LEAST_APART_S
    onsets = []
    at_s = span.start_s + int(chance.integers(spread_s))
    while at_s + SURGE_S <= span.end_s:
        onsets.append(at_s)
        at_s += LEAST_APART_S + int(chance.integers(spread_s))
    return onsets
