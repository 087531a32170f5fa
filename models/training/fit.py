"""What is fitted after training, in closed form or by one scalar: temperatures and the embedding's map, on rows that training has not seen."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from models.heads import GROUPS

FEWEST_FOR_TEMPERATURE = 40
"""Held-out rows under which a group takes the temperature of all groups together."""
MOST_TEMPERATURE = 4.0
"""A head that needs more is broken, and few rows must not ask for it."""
RIDGE = 1e-3
"""Share of the features' mean variance that is added to every variance."""


def fit_embedding(features: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The linear map (targets, features + 1) that takes features nearest to the target in squares, its last column added."""
    x, y = features.double(), target.double()
    centred, aimed = x - x.mean(0), y - y.mean(0)
    square = centred.T @ centred
    square.diagonal().add_(RIDGE * square.diagonal().mean())
    slopes = torch.linalg.solve(square, centred.T @ aimed).T
    return torch.cat([slopes, (y.mean(0) - slopes @ x.mean(0))[:, None]], dim=1).float().contiguous()


def fit_temperatures(logits: torch.Tensor, labels: torch.Tensor, *, groups: torch.Tensor) -> torch.Tensor:
    """One temperature per group of held-out rows. Source: Guo et al. 2017, arXiv:1706.04599, section 4.2."""
    common = temperature_of(logits, labels)
    chosen = [groups == group for group in range(len(GROUPS))]
    return torch.tensor([temperature_of(logits[rows], labels[rows]) if int(rows.sum()) >= FEWEST_FOR_TEMPERATURE else common for rows in chosen])


def temperature_of(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature that makes `labels` most probable under softmax(logits / temperature), within [1 / MOST_TEMPERATURE, MOST_TEMPERATURE].

    >>> temperature_of(torch.tensor([[9.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])) > 3.9
    True
    """
    exact = logits.double()

    def loss(log_temperature: float) -> float:
        return functional.cross_entropy(exact / math.exp(log_temperature), labels).item()

    best = minimize_scalar(loss, bounds=(math.log(1 / MOST_TEMPERATURE), math.log(MOST_TEMPERATURE)), method="bounded")
    return math.exp(float(best.x))
