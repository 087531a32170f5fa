"""A background of real rhythm: StockNet's tweets, judged by the shipped model, made as thick as wanted by resampling.

StockNet keeps about five distinct tweets an hour in all; a desk that watches a company sees more. Each ticker's tweets are
therefore drawn anew, minute by minute: Poisson totals whose rate follows the distances of the twenty nearest real tweets (on
the ticker's own week), binomial negatives whose share is that of the hundred nearest, of which
as many are clear as of the sixty nearest negatives. Bursts, quiet nights, moods of days and
the model's judgements are real; that one text follows another by chance is assumed.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alerts.detect.series import Floats, Ints
from opinion.records import CLEAR_FROM

JUDGED = Path(__file__).parent.parent / "data" / "stocknet" / "judged.npz"
PERMILLE = 1000
DAY_S = 86400
WEEK_H = 168
NEAR_RATE, NEAR_SHARE, NEAR_CLEAR = 20, 100, 60
EVEN_TEXTS = 5.0
"""Texts an hour of the week is given beside its own: none is quite silent."""


class Background(NamedTuple):
    """One ticker by the minute."""

    rate: Floats  # of texts; mean 1
    share: Floats  # of negatives
    clear: Floats  # of the negatives: the part that is so clearly


class Shown(NamedTuple):
    """Of texts that are negative, the parts that are judged so, and clearly so."""

    negative: float
    clear: float


class Tweets(NamedTuple):
    """Distinct tweets of one ticker."""

    at_s: Ints
    negative: Ints  # 0 or 1
    clear: Ints  # 0 or 1


def distinct(path: Path = JUDGED, *, most: int = 20) -> list[Tweets]:
    """The tickers with most tweets, each story counted once a day, and each author once an hour and ticker."""
    with np.load(path) as data:
        at_s, ticker, author, story = (data[name].astype(np.int64) for name in ("at_s", "ticker", "author", "story"))
        negative, clear = ((data["negative"] >= PERMILLE * least).astype(np.int64) for least in (0.5, CLEAR_FROM))
    order = np.argsort(at_s, kind="stable")
    at_s, ticker, author, story, negative, clear = (column[order] for column in (at_s, ticker, author, story, negative, clear))
    first = _first(ticker, story, at_s // DAY_S) & _first(ticker, author, at_s // 3600)
    found = [Tweets(at_s[chosen], negative[chosen], clear[chosen]) for chosen in (first & (ticker == number) for number in range(int(ticker.max()) + 1))]
    return sorted(found, key=lambda tweets: -len(tweets.at_s))[:most]


@cache
def shown(path: Path = JUDGED) -> Shown:
    """How the model judges tweets that people labelled negative and that nothing was trained on: planted ones are lost like those."""
    with np.load(path) as data:
        negative = data["labelled_negative"]
    return Shown(float((negative >= PERMILLE * 0.5).mean()), float((negative >= PERMILLE * CLEAR_FROM).mean()))


def background(tweets: Tweets, *, first_s: int, last_s: int) -> Background:
    """Rate and share by the minute over [first_s, last_s)."""
    minutes = np.arange(first_s, last_s, 60)
    profile = np.bincount(tweets.at_s // 3600 % WEEK_H, minlength=WEEK_H) + EVEN_TEXTS
    speed = profile / profile.mean()
    clock = np.concatenate([[0.0], np.cumsum(speed[np.arange(first_s // 3600, -(-last_s // 3600)) % WEEK_H])])
    hours = np.arange(len(clock)) * 3600 + first_s // 3600 * 3600
    inside = (tweets.at_s >= first_s) & (tweets.at_s < last_s)
    at, negative = np.interp(tweets.at_s[inside], hours, clock), tweets.negative[inside]
    now = np.interp(minutes, hours, clock)
    place = np.searchsorted(at, now)
    low, high = _around(place, NEAR_RATE, len(at))
    rate = (high - low) / np.maximum(at[high - 1] - at[low], 1e-3) * speed[minutes // 3600 % WEEK_H]
    low, high = _around(place, NEAR_SHARE, len(at))
    share = _part(negative, low, high, prior=(1, 5))
    told = negative == 1
    low, high = _around(np.searchsorted(at[told], now), NEAR_CLEAR, int(told.sum()))
    return Background(rate / rate.mean(), share, _part(tweets.clear[inside][told], low, high, prior=(1, 7)))


def _part(chosen: Ints, low: Ints, high: Ints, *, prior: tuple[float, float]) -> Floats:
    seen = np.concatenate([[0], np.cumsum(chosen)])
    found: Floats = (seen[high] - seen[low] + prior[0]) / (high - low + prior[1])
    return found


def _around(place: Ints, count: int, length: int) -> tuple[Ints, Ints]:
    low = np.clip(place - count // 2, 0, max(0, length - count))
    return low, np.minimum(low + count, length)


def _first(*columns: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Whether each row is the first of its kind."""
    _, at = np.unique(np.stack(columns), axis=1, return_index=True)
    found = np.zeros(len(columns[0]), np.bool_)
    found[at] = True
    return found
