"""The heads while they are trained: scaled features, dropout, one hidden layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.features import GROUPS, HEAD_NAMES, MEAN_LAYERS
from models.heads import Head
from opinion.records import TOPICS


class Seen(NamedTuple):
    """features.Pooled as tensors, with gradients."""

    features: torch.Tensor
    spans: torch.Tensor


LABELS = {"sentiment": 3, "topics": len(TOPICS), "entity": 3}


class TrainedHead(nn.Module):
    """One head over features scaled by a fixed `mean` and `deviation`; the register, their last column, is not scaled."""

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor, *, hidden: int, n_labels: int, dropout: float) -> None:
        super().__init__()
        self.mean = torch.cat([mean, torch.zeros(1, device=mean.device)])
        self.deviation = torch.cat([deviation, torch.ones(1, device=mean.device)])
        self.inner, self.outer = nn.Linear(len(self.mean), hidden), nn.Linear(hidden, n_labels)
        self.layers = nn.Sequential(nn.Dropout(dropout / 2), self.inner, nn.GELU(), nn.Dropout(dropout), self.outer)
        self.to(mean.device)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Scores, (N, labels)."""
        answer: torch.Tensor = self.layers((features - self.mean) / self.deviation)
        return answer

    def head(self) -> Head:
        """The head as it is stored: the scaling goes into its first matrix; temperatures are 1."""
        scaled = (self.inner.weight.detach() / self.deviation).half().float()
        inner, inner_bias, outer, outer_bias = (
            tensor.float().cpu().numpy().copy() for tensor in (scaled, self.inner.bias.detach() - scaled @ self.mean, self.outer.weight.detach().half(), self.outer.bias.detach())
        )
        return Head(inner, inner_bias, outer, outer_bias, temperatures=np.ones(len(GROUPS), np.float32))


class TrainedHeads(nn.Module):
    """All heads. `seen` are poolings of some rows before training: their spread scales the features."""

    def __init__(self, seen: Sequence[Seen], *, hidden: int, dropout: float) -> None:
        super().__init__()
        features = torch.cat([one.features for one in seen])
        spans = torch.cat([one.spans for one in seen])
        whole = features.mean(0), features.std(0) + 1e-6
        named = torch.cat([spans.mean(0), whole[0]]), torch.cat([spans.std(0) + 1e-6, whole[1]])
        self.heads = nn.ModuleDict({name: TrainedHead(*(named if name == "entity" else whole), hidden=hidden, n_labels=LABELS[name], dropout=dropout) for name in HEAD_NAMES})

    def forward(self, pooled: Seen, groups: torch.Tensor, rows_of_names: torch.Tensor) -> dict[str, torch.Tensor]:
        """The scores of every head: of the texts, and for `entity` of the names."""
        features = torch.cat([pooled.features, (groups % 2 * 2.0 - 1)[:, None]], dim=1)  # as heads.with_register does: 1 for social texts, -1 for news
        named = torch.cat([pooled.spans, features[rows_of_names]], dim=1)
        return {name: head(named if name == "entity" else features) for name, head in self.heads.items()}

    def stored(self) -> dict[str, Head]:
        """The heads as they are stored."""
        return {name: head.head() for name, head in self.heads.items()}  # type: ignore[operator]


class MeaningMap(nn.Module):
    """A linear map from the means of the tuned encoder to the last mean of the untuned one, which it starts from.

    It keeps tuning near the meaning; what is stored is fitted afterwards.
    """

    def __init__(self, targets: torch.Tensor) -> None:
        super().__init__()
        self.targets = targets  # (rows, hidden), of length 1
        hidden = targets.shape[1]
        self.map = nn.Linear(len(MEAN_LAYERS) * hidden, hidden)
        with torch.no_grad():
            self.map.weight.zero_()
            self.map.weight[:, -hidden:] = torch.eye(hidden)
            self.map.bias.zero_()
        self.to(targets.device)

    def forward(self, features: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """One minus the cosine to the targets `rows` of texts with these features."""
        means = features[:, : self.map.in_features]
        return 1 - functional.cosine_similarity(self.map(means), self.targets[rows], dim=1)


def last_means(seen: Sequence[Seen]) -> torch.Tensor:
    """The last layer's means, of length 1, (rows, hidden)."""
    features = torch.cat([one.features for one in seen])
    hidden = features.shape[1] // (len(MEAN_LAYERS) + 1)
    return functional.normalize(features[:, (len(MEAN_LAYERS) - 1) * hidden : len(MEAN_LAYERS) * hidden], dim=1)
