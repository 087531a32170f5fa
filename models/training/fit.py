"""What is fitted after training, in closed form or by one scalar: temperatures and the embedding's map, on rows that training has not seen. Pure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from models.backends.base import Floats
from models.features import GROUPS

Labels = NDArray[np.int64]

FEWEST_FOR_TEMPERATURE = 40
"""Held-out rows under which a group takes the temperature of all groups together."""
MOST_TEMPERATURE = 4.0
"""A head that needs more is broken, and few rows must not ask for it."""
RIDGE = 1e-3
"""Share of the features' mean variance that is added to every variance."""


def fit_embedding(features: Floats, target: Floats) -> Floats:
    """The linear map (targets, features + 1) that takes features nearest to the target in squares, its last column added."""
    x, y = features.astype(np.float64), target.astype(np.float64)
    centred, aimed = x - x.mean(0), y - y.mean(0)
    square = centred.T @ centred
    square[np.diag_indices_from(square)] += RIDGE * square.diagonal().mean()
    slopes = np.linalg.solve(square, centred.T @ aimed).T
    return np.concatenate([slopes, (y.mean(0) - slopes @ x.mean(0))[:, None]], axis=1).astype(np.float32)


def fit_temperatures(logits: Floats, labels: Labels, *, groups: Labels) -> Floats:
    """One temperature per group of held-out rows. Source: Guo et al. 2017, arXiv:1706.04599, section 4.2."""
    common = temperature_of(logits, labels)
    chosen = [groups == group for group in range(len(GROUPS))]
    return np.array([temperature_of(logits[rows], labels[rows]) if int(rows.sum()) >= FEWEST_FOR_TEMPERATURE else common for rows in chosen], np.float32)


def temperature_of(logits: Floats, labels: Labels) -> float:
    """The temperature that makes `labels` most probable under softmax(logits / temperature), within [1 / MOST_TEMPERATURE, MOST_TEMPERATURE].

    >>> temperature_of(np.array([[9.0, 0.0]] * 4), np.array([0, 0, 0, 1])) > 3.9
    True
    """
    exact = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return -float(log_softmax(exact / math.exp(log_temperature), axis=1)[np.arange(len(labels)), labels].mean())

    best = minimize_scalar(loss, bounds=(math.log(1 / MOST_TEMPERATURE), math.log(MOST_TEMPERATURE)), method="bounded")
    return math.exp(float(best.x))
