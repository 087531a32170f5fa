"""The encoder with trainable adapters on every linear map, trainable norms and a vector per kind of document; the rest is frozen."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from models.adapters import KINDS_NAME, SCALE, Tensors
from models.encoder import Affine, Encoder


class TunableEncoder(Encoder):
    """An encoder whose `parameters` a training loop may change; forward passes see the change at once.

    Low-rank adapters: Hu et al. 2021, arXiv:2106.09685. `dropout` acts on the embedded words, in training only.
    """

    def __init__(self, directory: Path, *, device: torch.device, dtype: torch.dtype, rank: int, dropout: float, seed: int) -> None:
        super().__init__(directory, device=device, dtype=dtype)
        generator = torch.Generator().manual_seed(seed)
        self.training = False
        self._dropout = dropout
        self.downs: dict[str, nn.Parameter] = {}
        self.ups: dict[str, nn.Parameter] = {}
        self.norms: dict[str, tuple[nn.Parameter, nn.Parameter]] = {}
        self.kinds = nn.Parameter(self._kinds.float())
        for layer in self._layers:
            for affine in (layer.qkv, layer.attention, layer.inner, layer.outer):
                n_out, n_in = affine.weight.shape
                down = torch.randn(rank, n_in, generator=generator) / math.sqrt(n_in)
                self.downs[affine.name] = nn.Parameter(down.to(device))
                self.ups[affine.name] = nn.Parameter(torch.zeros(n_out, rank, device=device))
        for norm in [self._norm, *[norm for layer in self._layers for norm in (layer.attention_norm, layer.outer_norm)]]:
            self.norms[norm.name] = (nn.Parameter(norm.weight.float()), nn.Parameter(norm.bias.float()))

    def parameters(self) -> list[nn.Parameter]:
        """All that is trained here."""
        return [*self.downs.values(), *self.ups.values(), *(part for pair in self.norms.values() for part in pair), self.kinds]

    def tensors(self) -> Tensors:
        """What was trained, under the names that `models.adapters` merges by."""
        found: dict[str, torch.Tensor] = {f"{name}.down": down for name, down in self.downs.items()}
        found |= {f"{name}.up": up for name, up in self.ups.items()}
        for name, (weight, bias) in self.norms.items():
            found |= {f"{name}.weight": weight, f"{name}.bias": bias}
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in (found | {KINDS_NAME: self.kinds}).items()}

    def _embedded(self, ids: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        words = functional.embedding(ids, self._words).to(self.dtype)
        hidden = self._normed(words + self._positions[: ids.shape[1]] + self.kinds.to(self.dtype)[kinds][:, None], self._norm)
        return functional.dropout(hidden, self._dropout, training=self.training)

    def _linear(self, hidden: torch.Tensor, affine: Affine) -> torch.Tensor:
        # The product first: a matrix of the whole size costs less than two thin ones beside it on a processor (measured: a quarter of a step).
        change = (self.ups[affine.name] * SCALE) @ self.downs[affine.name]
        return functional.linear(hidden, affine.weight + change.to(self.dtype), affine.bias)

    def _mixed(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        # Written out: the backward pass of torch's own took a fifth of a step on short texts (measured).
        scores = torch.matmul(query / math.sqrt(query.shape[-1]), key.transpose(-1, -2))
        if mask is not None:
            scores = scores.masked_fill(~mask, -1e4)
        return torch.matmul(torch.softmax(scores, dim=-1), value)

    def _normed(self, hidden: torch.Tensor, norm: Affine) -> torch.Tensor:
        weight, bias = self.norms[norm.name]
        return functional.layer_norm(hidden, (self.shape.hidden,), weight.to(self.dtype), bias.to(self.dtype), self.shape.epsilon)
