"""The judging part: pooled features of the encoder to calibrated probabilities of sentiment and topics.

Each head is one hidden layer over the mean of three encoder layers, the first token and the register (news or social). Lower layers are there
because the last one was trained to tell *what* a text is about: layer 9 alone judges sentiment better than layer 12.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from msgspec import Struct
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch.nn import functional

from models.backends.base import SENTIMENTS, ModelInput
from opinion.errors import ModelLoadError
from opinion.records import TOPICS, PaneKind

MEAN_LAYERS = (6, 9, 12)
"""Layers whose mean over the tokens is a feature."""
GROUPS = (("en", PaneKind.NEWS), ("en", PaneKind.SOCIAL), ("zh", PaneKind.NEWS), ("zh", PaneKind.SOCIAL))
"""Language and register that have a temperature of their own, in the order of the stored ones. Other languages count as English."""


class Pooled(NamedTuple):
    """What the heads read of a batch of N texts."""

    features: torch.Tensor  # (N, 4 x hidden), float32
    mean: torch.Tensor  # (N, hidden), float32: the last layer's mean, e5's own embedding


class Head(Struct, frozen=True):
    """One hidden layer, its answer, and a temperature per group."""

    inner: torch.Tensor  # (hidden, features + 1)
    inner_bias: torch.Tensor
    outer: torch.Tensor  # (labels, hidden)
    outer_bias: torch.Tensor
    temperatures: torch.Tensor  # (len(GROUPS),)

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Scores before temperature, (N, labels), of features with the register as their last column."""
        return functional.linear(functional.gelu(functional.linear(features, self.inner, self.inner_bias)), self.outer, self.outer_bias)

    def probabilities(self, features: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Calibrated probabilities, (N, labels)."""
        return torch.softmax(self.logits(features) / self.temperatures[groups][:, None], dim=1)


class Heads(Struct, frozen=True):
    """Both heads, and the hash of the file they came from."""

    sentiment: Head
    topics: Head
    sha256: str

    @property
    def revision(self) -> str:
        """The short name of these weights."""
        return self.sha256[:12]


def pooled(layers: Iterable[torch.Tensor], real: torch.Tensor) -> Pooled:
    """What the heads read, from the encoder's `layers` (rows, tokens, hidden) and the mask of tokens that are not padding."""
    weights = real[..., None]
    counts = weights.sum(1)
    means: list[torch.Tensor] = []
    hidden = torch.empty(0)
    for number, hidden in enumerate(layers, 1):
        if number in MEAN_LAYERS:
            means.append((hidden * weights).sum(1, dtype=torch.float32) / counts)
    return Pooled(torch.cat([*means, hidden[:, 0].float()], dim=1), means[-1])


def group_of(item: ModelInput) -> int:
    """Index into GROUPS of an input."""
    return GROUPS.index(("zh" if item.lang.startswith("zh") else "en", PaneKind.of(item.kind)))


def with_register(features: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
    """The features and a last column: 1 for social texts, -1 for news."""
    signs = torch.tensor([1.0 if kind is PaneKind.SOCIAL else -1.0 for _, kind in GROUPS], device=features.device)
    return torch.cat([features, signs[groups][:, None]], dim=1)


def groups_of(inputs: Sequence[ModelInput], device: torch.device) -> torch.Tensor:
    """Index into GROUPS of each input."""
    return torch.tensor([group_of(item) for item in inputs], device=device)


def heads_bytes(sentiment: Head, topics: Head) -> bytes:
    """The heads as a file: matrices in float16, the rest in float32. The same weights give the same bytes."""
    tensors = {}
    for name, head in (("sentiment", sentiment), ("topics", topics)):
        for field in Head.__struct_fields__:
            tensor = getattr(head, field)
            tensors[f"{name}.{field}"] = tensor.half().contiguous() if tensor.ndim == 2 else tensor.float().contiguous()
    return save(tensors)


def load_heads(path: Path, *, sha256: str, device: torch.device, width: int) -> Heads:
    """The heads in the file, for an encoder whose features are `width` wide.

    Errors:
        ModelLoadError: no file, another hash than the card says, or shapes that do not fit.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise ModelLoadError(msg) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        msg = f"{path} has sha256 {found[:12]}, its card says {sha256[:12]}: it was changed or cut off"
        raise ModelLoadError(msg)
    return heads_from(data, device=device, width=width)


def heads_from(data: bytes, *, device: torch.device, width: int) -> Heads:
    """The heads in a file's bytes.

    Errors:
        ModelLoadError: not such a file, or shapes that do not fit.
    """
    try:
        tensors = {name: tensor.to(device, torch.float32) for name, tensor in load(data).items()}
        sentiment, topics = (Head(**{field: tensors[f"{name}.{field}"] for field in Head.__struct_fields__}) for name in ("sentiment", "topics"))
    except (SafetensorError, KeyError) as error:
        msg = f"not a file of heads: {error}"
        raise ModelLoadError(msg) from error
    for head, labels in ((sentiment, len(SENTIMENTS)), (topics, len(TOPICS))):
        hidden = head.inner.shape[0]
        shapes = [tuple(getattr(head, field).shape) for field in Head.__struct_fields__]
        if shapes != [(hidden, width + 1), (hidden,), (labels, hidden), (labels,), (len(GROUPS),)]:
            msg = f"heads of shapes {shapes} do not fit features of {width} and {labels} labels"
            raise ModelLoadError(msg)
    return Heads(sentiment, topics, hashlib.sha256(data).hexdigest())
