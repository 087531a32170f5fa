"""How much an alert is likely to matter to one receiver, learned from what its people took on and what they dismissed. Pure.

A logistic regression on a dozen plain facts, fitted anew from all that was said whenever it is asked: little data, no state, and every answer can be
explained by the facts that moved it most. Source: Hastie, Tibshirani, Friedman, The Elements of Statistical Learning, 4.4 (with an L2 penalty).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from opinion.names import digest
from opinion.records import Alert, Severity

LEAST = 20
"""Fewer answers than this teach nothing that chance would not."""
PENALTY = 1.0
"""Of the squared weights, each fact being of the order of one: a weight needs several answers behind it."""
ROUNDS = 25
"""Of Newton's method; it stands still after five to ten."""
MOST_REASONS = 3
SUBJECTS = 64
"""Subjects are told apart by so many buckets of their id: those that people answered for most come out."""


class Answer(Struct, frozen=True):
    """What somebody thought of an alert."""

    facts: dict[str, float]
    mattered: bool


class Ranking(Struct, frozen=True):
    """A fitted model."""

    names: list[str]
    weights: list[float]
    bias: float
    means: dict[str, float]  # of the facts, in what was answered


class Priority(Struct, frozen=True):
    """How likely an alert matters, and by what."""

    value: float  # in [0, 1]
    reasons: list[str]  # facts that moved it most, strongest first, with their sign


def facts_of(alert: Alert) -> dict[str, float]:
    """Plain facts of an alert, each of the order of one."""
    window, rank = alert.window, list(Severity).index(alert.severity)
    kind = alert.subject.partition(":")[0]
    return {
        "severity": float(rank),
        "how far above the threshold": math.log1p(max(0.0, window.score - window.theta)),
        "how many times the usual": math.log(max(window.lift, 0.1)),
        "number of stories": math.log1p(window.stories),
        "number of publishers": math.log1p(window.publishers),
        "number of negative texts": math.log1p(window.negative),
        f"a subject of kind {kind}": 1.0,
        f"by the {alert.lane.value} of negatives": 1.0,
        f"subjects like {alert.subject} ({int(digest(alert.subject, chars=8), 16) % SUBJECTS})": 1.0,
        "told in Chinese": float(any(item.lang.startswith("zh") for item in alert.evidence)),
        "told in social media": float(any(item.kind == "social" for item in alert.evidence)),
    }


def fit(answers: Sequence[Answer]) -> Ranking | None:
    """The model of what was answered; None below LEAST answers, or where all were alike."""
    labels = np.array([answer.mattered for answer in answers], float)
    if len(answers) < LEAST or labels.min() == labels.max():
        return None
    names = sorted({name for answer in answers for name in answer.facts})
    facts = np.array([[answer.facts.get(name, 0.0) for name in names] for answer in answers])
    means = facts.mean(axis=0)
    design = np.hstack([facts - means, np.ones((len(answers), 1))])
    penalty = np.diag([PENALTY] * len(names) + [0.0])
    weights = np.zeros(len(names) + 1)
    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (labels - chance) - penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty + 1e-9 * np.eye(len(weights))
        weights = weights + np.linalg.solve(curvature, slope)
    return Ranking(names, weights[:-1].tolist(), float(weights[-1]), dict(zip(names, means.tolist(), strict=True)))


def priority_of(alert: Alert, ranking: Ranking) -> Priority:
    """How likely it matters, as far as those who answered show."""
    parts = contributions(facts_of(alert), ranking)
    value = 1 / (1 + math.exp(-max(-30.0, min(30.0, ranking.bias + sum(parts.values())))))
    strongest = sorted(parts.items(), key=lambda part: (-abs(part[1]), part[0]))[:MOST_REASONS]
    return Priority(round(value, 3), [f"{'+' if weight > 0 else '-'} {name}" for name, weight in strongest if abs(weight) >= 0.05])


def contributions(facts: Mapping[str, float], ranking: Ranking) -> dict[str, float]:
    """What each fact adds to the log odds, against the average of what was answered."""
    return {name: weight * (facts.get(name, 0.0) - ranking.means[name]) for name, weight in zip(ranking.names, ranking.weights, strict=True)}
