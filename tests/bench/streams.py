"""Streams of counts with and without planted surges: resampled StockNet, simulated drift, ideal Poisson."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from alerts.detect.series import CLEAR, NEGATIVE, TOTAL, Floats, Ints
from tests.bench.stocknet import Background, Shown, shown

DAY = 1440
SHARE = 0.2
SURGE_MIN = 180
HIGH_SHARE = 0.75
FIRST_SURGE_DAY, DAYS_APART = 9, 6
PLAIN = Shown(1.0, 0.0)
"""Nothing is lost, and nothing tells clear negatives from others."""


class Stream(NamedTuple):
    """Minutes of one subject."""

    counts: Ints  # (3, n): total, negative, clearly negative; none of these where a stream does not tell them apart
    rate: Floats  # of negatives per minute
    onsets: list[int]  # minutes at which surges begin
    share: Floats  # of negatives
    clear: Floats  # of the negatives: the part that is so clearly


def drift(random: np.random.Generator, minutes: int, *, sd: float, half_life_h: float) -> Floats:
    """A stationary AR(1) process by the minute."""
    keep = 0.5 ** (1 / (half_life_h * 60))
    shocks = random.normal(0, sd * (1 - keep * keep) ** 0.5, minutes)
    shocks[0] = random.normal(0, sd)
    found: Floats = lfilter([1.0], [1.0, -keep], shocks)
    return found


def planted(random: np.random.Generator, total: Ints, negative: Ints, *, rate: Floats, share: Floats, clear: Floats, k: float, seen: Shown, again_min: int = 0) -> Stream:
    """The counts with three-hour surges of Poisson((k - 1) rate) further negatives, where `k` is above 1, of which some are judged so.

    With `again_min` each surge is followed by a second one so many minutes later.
    """
    counts = np.stack([total, negative, random.binomial(negative, clear)])
    days = range(FIRST_SURGE_DAY, len(rate) // DAY - 3, DAYS_APART)
    onsets = [] if k <= 1 else [day * DAY + int(random.integers(DAY)) for day in days]
    onsets = [begin for onset in onsets for begin in ([onset, onset + again_min] if again_min else [onset])]
    for onset in onsets:
        extra = random.poisson((k - 1) * rate[onset : onset + SURGE_MIN])
        told = random.binomial(extra, seen.negative)
        counts[:, onset : onset + SURGE_MIN] += np.stack([extra, told, random.binomial(told, seen.clear / seen.negative)])
    return Stream(counts, rate, onsets, share, clear)


def resampled(random: np.random.Generator, background: Background, *, negatives_per_hour: float, k: float = 1, flipped: float = 0.0, again_min: int = 0) -> Stream:
    """A ticker of StockNet at a mean rate of negatives; a part `flipped` of all judgements is wrong (negative or not, as it were)."""
    texts, seen = background.rate * (negatives_per_hour / 60 / (background.rate * background.share).mean()), shown()
    total = random.poisson(texts)
    share = background.share * (1 - flipped) + (1 - background.share) * flipped
    return planted(
        random,
        total,
        random.binomial(total, share),
        rate=texts * background.share,
        share=background.share,
        clear=background.clear,
        k=k,
        seen=Shown(seen.negative * (1 - flipped) + (1 - seen.negative) * flipped, seen.clear * (1 - flipped)),
        again_min=again_min,
    )


def simulated(random: np.random.Generator, *, negatives_per_hour: float, weeks: int, k: float = 1) -> Stream:
    """A harder stream than recorded ones: a day's rhythm, bursts, and a share of 0.2 whose logit drifts (sd 0.4, half-life 6 h)."""
    minutes = weeks * 7 * DAY
    rhythm = 1 + 0.8 * np.sin(2 * np.pi * (np.arange(minutes) % DAY / DAY - 0.3))
    bursts = lfilter([1.0], [1.0, -(0.5 ** (1 / 30))], random.random(minutes) < 1 / DAY) * 6
    rate = rhythm * np.exp(drift(random, minutes, sd=0.6, half_life_h=4) - 0.18) * (1 + bursts)
    rate *= negatives_per_hour / SHARE / 60 / rate.mean()
    logit = np.log(SHARE / (1 - SHARE)) + drift(random, minutes, sd=0.4, half_life_h=6)
    total = random.poisson(rate)
    share = 1 / (1 + np.exp(-logit))
    return planted(random, total, random.binomial(total, share), rate=rate * SHARE, share=share, clear=np.zeros(minutes), k=k, seen=PLAIN)


def ideal(random: np.random.Generator, *, negatives_per_hour: float, weeks: int, k: float = 1) -> Stream:
    """Poisson totals and a share of 0.2 that never change."""
    rate = np.full(weeks * 7 * DAY, negatives_per_hour / 60)
    total = random.poisson(rate / SHARE)
    return planted(random, total, random.binomial(total, SHARE), rate=rate, share=np.full(len(rate), SHARE), clear=np.zeros(len(rate)), k=k, seen=PLAIN)


def always_negative(random: np.random.Generator, background: Background, *, negatives_per_hour: float, k: float = 1) -> Stream:
    """The volumes of a ticker where three of four texts are negative all the time: a share has no room to rise."""
    rate = background.rate * (negatives_per_hour / 60)
    total, share = random.poisson(rate / HIGH_SHARE), np.full(len(rate), HIGH_SHARE)
    return planted(random, total, random.binomial(total, share), rate=rate, share=share, clear=background.clear, k=k, seen=shown())


def with_bad_days(random: np.random.Generator, stream: Stream, *, factor: float, clear: float | None = None) -> Stream:
    """The stream with days, two weeks apart, on which the share of negatives is `factor` times the usual; where they begin as its onsets.

    The first begins at a random minute of two weeks: days that are bad for all subjects are a shift of all, and held back as one.
    Of the further negatives a part `clear` is so clearly; None: as many as of the usual ones.
    """
    counts = stream.counts.copy()
    onsets = list(range((FIRST_SURGE_DAY + 7) * DAY + int(random.integers(14 * DAY)), counts.shape[1] - 3 * DAY, 14 * DAY))
    for onset in onsets:
        day = slice(onset, onset + DAY)
        more = np.minimum(1.0, (factor - 1) * stream.share[day] / np.maximum(1e-9, 1 - stream.share[day]))
        further = random.binomial(counts[TOTAL, day] - counts[NEGATIVE, day], more)
        counts[NEGATIVE:, day] += np.stack([further, random.binomial(further, stream.clear[day] if clear is None else clear)])
    return stream._replace(counts=counts, onsets=onsets)


def with_bias(random: np.random.Generator, stream: Stream, *, from_minute: int, part: float) -> Stream:
    """The stream as a model judges it that, from a minute on, calls a part of all texts negative that are not."""
    counts = stream.counts.copy()
    later = slice(from_minute, counts.shape[1])
    wrong = random.binomial(counts[TOTAL, later] - counts[NEGATIVE, later], part)
    counts[NEGATIVE:, later] += np.stack([wrong, random.binomial(wrong, stream.clear[later])])
    return stream._replace(counts=counts, onsets=[from_minute])


def oracle_delays(random: np.random.Generator, *, negatives_per_hour: float, k: float, per_week: float, runs: int = 2000, weeks: int = 400) -> list[float]:
    """Minutes to the alarm of a CUSUM on negatives that knows rate and strength, at `per_week` false alarms; infinite beyond the surge.

    Source: Moustakides 1986 (optimal for known laws). Its threshold is read from the heights of its excursions without a surge.
    """
    rate = negatives_per_hour / 60
    gain, loss = np.log(k), (k - 1) * rate
    steps = random.poisson(rate, weeks * 7 * DAY) * gain - loss
    walk = np.concatenate([[0.0], np.cumsum(steps)])
    lows = np.minimum.accumulate(walk)
    starts = np.nonzero(np.diff(lows, prepend=1.0) < 0)[0]
    heights = np.maximum.reduceat(walk - lows, starts)
    threshold = np.sort(heights)[-round(per_week * weeks)]
    level = np.zeros(runs)
    for _ in range(3 * 60):  # the state that a surge meets
        level = np.maximum(0.0, level + random.poisson(rate, runs) * gain - loss)
    alarmed = np.full(runs, np.inf)
    for minute in range(1, SURGE_MIN + 1):
        level = np.maximum(0.0, level + random.poisson(k * rate, runs) * gain - loss)
        alarmed = np.where((level > threshold) & np.isinf(alarmed), minute, alarmed)
    return [float(minute) for minute in alarmed]


def alike(streams: Sequence[Stream]) -> list[Stream]:
    """The streams without a word on which negatives are clear."""
    return [stream._replace(counts=np.concatenate([stream.counts[:CLEAR], np.zeros_like(stream.counts[CLEAR:])])) for stream in streams]


def even_surges(random: np.random.Generator, streams: Sequence[Stream], *, factor: float) -> list[Stream]:
    """The streams with `factor` times the texts at the same share, six hours of each day."""
    loud = []
    for stream in streams:
        counts = stream.counts.copy()
        chosen = np.arange(counts.shape[1]) % DAY < DAY // 4
        counts[TOTAL, chosen] = random.poisson(factor * stream.rate[chosen] / stream.share[chosen])
        counts[NEGATIVE, chosen] = random.binomial(counts[TOTAL, chosen], stream.share[chosen])
        counts[CLEAR, chosen] = random.binomial(counts[NEGATIVE, chosen], stream.clear[chosen])
        loud.append(stream._replace(counts=counts))
    return loud
