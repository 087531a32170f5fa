"""Fitting one head on pooled features, and its temperatures on rows it has not seen. Seeded: the same rows give the same head."""

from __future__ import annotations

import math

import torch
from scipy.optimize import minimize_scalar
from torch import nn
from torch.nn import functional

from models.heads import GROUPS, Head

HIDDEN = 128
DROPOUT = 0.4
EPOCHS = 14
BATCH_ROWS = 128
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.05
LABEL_SMOOTHING = 0.05
"""Chosen on held-out rows among a few dozen runs; hidden 128 or 256, 12 to 25 epochs and dropout .3 to .5 differ by less than the noise."""
FEWEST_FOR_TEMPERATURE = 40
"""Held-out rows under which a group takes the temperature of all groups together."""
MOST_TEMPERATURE = 4.0
"""A head that needs more is broken, and few rows must not ask for it."""


def fit_head(features: torch.Tensor, labels: torch.Tensor, *, weights: torch.Tensor, n_labels: int, seed: int) -> Head:
    """A head for (N, width) features with the register as their last column; temperatures are 1."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout and initial weights draw from the global one
    mean, deviation = features.mean(0), features.std(0) + 1e-6
    mean[-1], deviation[-1] = 0.0, 1.0
    inner, outer = nn.Linear(features.shape[1], HIDDEN), nn.Linear(HIDDEN, n_labels)
    model = nn.Sequential(nn.Dropout(DROPOUT / 2), inner, nn.GELU(), nn.Dropout(DROPOUT), outer)
    _train(model, (features - mean) / deviation, labels, weights=weights / weights.mean(), generator=generator)
    scaled = (inner.weight.detach() / deviation).half().float()  # the scaling of the features goes into the weights, as they are stored
    return Head(
        inner=scaled,
        inner_bias=inner.bias.detach() - scaled @ mean,
        outer=outer.weight.detach().half().float(),
        outer_bias=outer.bias.detach(),
        temperatures=torch.ones(len(GROUPS)),
    )


def _train(model: nn.Module, features: torch.Tensor, labels: torch.Tensor, *, weights: torch.Tensor, generator: torch.Generator) -> None:
    steps = -(-len(labels) // BATCH_ROWS) * EPOCHS
    optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.split(torch.randperm(len(labels), generator=generator), BATCH_ROWS):
            losses = functional.cross_entropy(model(features[rows]), labels[rows], reduction="none", label_smoothing=LABEL_SMOOTHING)
            optimiser.zero_grad()
            torch.autograd.backward((losses * weights[rows]).mean())
            optimiser.step()
            schedule.step()


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
