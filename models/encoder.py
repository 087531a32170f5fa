"""One forward pass of the encoder in torch, from token ids to hidden states.

It is written out because a worker needs nothing else of a model library, and because the word table (four fifths of the weights) can then
stay mapped from disk, of which a pass touches only the rows of its words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct
from safetensors import SafetensorError, safe_open
from torch.nn import functional

from models.encoder_files import ENCODER_FILE, KINDS, QKV, WORDS, WORDS_FILE
from models.unpack import Shape
from opinion.errors import ModelLoadError


class Affine(Struct, frozen=True):
    """One linear map or one normalisation, and the name that adapters know it by."""

    name: str
    weight: torch.Tensor
    bias: torch.Tensor


class _Layer(Struct, frozen=True):
    qkv: Affine  # one matrix for the three, so one product for the three
    attention: Affine
    attention_norm: Affine
    inner: Affine
    outer: Affine
    outer_norm: Affine


class Encoder:
    """Hidden states of token ids.

    Errors:
        ModelLoadError: `directory` does not hold an unpacked model.
    """

    def __init__(self, directory: Path, *, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        try:
            with safe_open(directory / WORDS_FILE, framework="pt", device="cpu") as file:
                words = file.get_tensor(WORDS)  # stays mapped on a CPU
                self._words = words if device.type == "cpu" else words.to(device)
            with safe_open(directory / ENCODER_FILE, framework="pt", device="cpu") as file:
                self.shape = Shape(**json.loads((file.metadata() or {})["shape"]))
                self._kinds = file.get_tensor(KINDS).to(device, dtype)
                self._positions = file.get_tensor("embeddings.positions").to(device, dtype)
                self._norm = self._affine(file, "embeddings.norm", "embeddings.norm")
                self._layers = [self._layer(file, f"layers.{index}.") for index in range(self.shape.layers)]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            msg = f"{directory} holds no unpacked model: {error}"
            raise ModelLoadError(msg) from error

    def _affine(self, file: Any, name: str, *parts: str) -> Affine:
        weight, bias = (torch.cat([file.get_tensor(f"{part}.{half}") for part in parts]).to(self.device, self.dtype) for half in ("weight", "bias"))
        return Affine(name, weight, bias)

    def _layer(self, file: Any, at: str) -> _Layer:
        return _Layer(
            qkv=self._affine(file, f"{at}qkv", *[at + part for part in QKV]),
            **{name: self._affine(file, at + name, at + name) for name in ("attention", "attention_norm", "inner", "outer", "outer_norm")},
        )

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The ids of a batch, and which of them are real: two tensors of (rows, longest row)."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self.shape.pad] * (longest - len(row))] for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return ids.to(self.device), (torch.arange(longest) < lengths[:, None]).to(self.device)

    def layers(self, ids: torch.Tensor, real: torch.Tensor, kinds: torch.Tensor) -> Iterator[torch.Tensor]:
        """The hidden states after each layer, (rows, tokens, hidden).

        `ids` (rows, tokens) are padded, `real` is False where they are; `kinds` (rows,) is 0 for news and 1 for social texts.
        """
        hidden = self._embedded(ids, kinds)
        mask = None if bool(real.all()) else real[:, None, None, :]
        for layer in self._layers:
            hidden = self._normed(hidden + self._attention(hidden, layer, mask), layer.attention_norm)
            inner = functional.gelu(self._linear(hidden, layer.inner))
            hidden = self._normed(hidden + self._linear(inner, layer.outer), layer.outer_norm)
            yield hidden

    def _embedded(self, ids: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        words = functional.embedding(ids, self._words).to(self.dtype)
        return self._normed(words + self._positions[: ids.shape[1]] + self._kinds[kinds][:, None], self._norm)

    def _linear(self, hidden: torch.Tensor, affine: Affine) -> torch.Tensor:
        return functional.linear(hidden, affine.weight, affine.bias)

    def _normed(self, hidden: torch.Tensor, norm: Affine) -> torch.Tensor:
        return functional.layer_norm(hidden, (self.shape.hidden,), norm.weight, norm.bias, self.shape.epsilon)

    def _attention(self, hidden: torch.Tensor, layer: _Layer, mask: torch.Tensor | None) -> torch.Tensor:
        n_rows, n_tokens, width = hidden.shape
        query, key, value = self._linear(hidden, layer.qkv).view(n_rows, n_tokens, 3, self.shape.heads, width // self.shape.heads).permute(2, 0, 3, 1, 4)
        return self._linear(self._mixed(query, key, value, mask).transpose(1, 2).reshape(n_rows, n_tokens, width), layer.attention)

    def _mixed(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
