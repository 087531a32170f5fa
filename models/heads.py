"""The judging part: pooled states of the encoder to calibrated probabilities of sentiment and topics, per text and per company named, and an embedding.

Each head is one hidden layer over the mean of three encoder layers, the first token and the register (news or social). The head for a company
reads the states of the words that name it besides. The embedding is a linear map to that of the encoder before it was tuned, so that texts of
one meaning stay near each other across languages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
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
SPAN_LAYERS = (9, 12)
"""Layers whose mean over the pieces of a name is a feature of that company."""
HEAD_NAMES = ("sentiment", "topics", "entity")
GROUPS = (("en", PaneKind.NEWS), ("en", PaneKind.SOCIAL), ("zh", PaneKind.NEWS), ("zh", PaneKind.SOCIAL))
"""Language and register that have a temperature of their own, in the order of the stored ones. Other languages count as English."""


class Span(NamedTuple):
    """A name in a batch: row, and its tokens [start, end)."""

    row: int
    start: int
    end: int


class Pooled(NamedTuple):
    """What the heads read of a batch of N texts and K names in them."""

    features: torch.Tensor  # (N, 4 x hidden), float32
    spans: torch.Tensor  # (K, 2 x hidden), float32


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
    """All heads."""

    sentiment: Head
    topics: Head
    entity: Head  # sentiment for one company of a text
    embedding: torch.Tensor  # (hidden, 3 x hidden + 1): the map of the means, its last column is added

    def embedded(self, features: torch.Tensor) -> torch.Tensor:
        """Embeddings of length 1, (N, hidden)."""
        means = features[:, : self.embedding.shape[1] - 1]
        return functional.normalize(functional.linear(means, self.embedding[:, :-1], self.embedding[:, -1]), dim=1)


def pooled(layers: Iterable[torch.Tensor], real: torch.Tensor, names: Sequence[Span] = ()) -> Pooled:
    """What the heads read, from the encoder's `layers` (rows, tokens, hidden) and the mask of tokens that are not padding."""
    weights = real[..., None]
    counts = weights.sum(1)
    means: list[torch.Tensor] = []
    spans: list[torch.Tensor] = []
    hidden = torch.empty(0)
    for number, hidden in enumerate(layers, 1):
        if number in MEAN_LAYERS:
            means.append((hidden * weights).sum(1, dtype=torch.float32) / counts)
        if names and number in SPAN_LAYERS:
            spans.append(torch.stack([hidden[name.row, name.start : name.end].float().mean(0) for name in names]))
    width = hidden.shape[-1] * len(SPAN_LAYERS)
    return Pooled(torch.cat([*means, hidden[:, 0].float()], dim=1), torch.cat(spans, dim=1) if spans else torch.zeros(0, width, device=real.device))


def kinds_of(groups: torch.Tensor) -> torch.Tensor:
    """0 for news and 1 for social: index of the encoder's vectors of kinds."""
    return groups % 2  # see the order of GROUPS


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


def widths_of(hidden: int) -> dict[str, int]:
    """Features that each head reads of an encoder of that width, the register not counted."""
    whole = hidden * (len(MEAN_LAYERS) + 1)
    return {"sentiment": whole, "topics": whole, "entity": whole + hidden * len(SPAN_LAYERS)}


def heads_bytes(heads: Mapping[str, Head], embedding: torch.Tensor) -> bytes:
    """The heads (HEAD_NAMES) and the embedding's map as a file: matrices in float16, the rest in float32. The same weights give the same bytes."""
    tensors = {"embedding": embedding.half().contiguous()}
    for name, head in heads.items():
        for field in Head.__struct_fields__:
            tensor = getattr(head, field)
            tensors[f"{name}.{field}"] = tensor.half().contiguous() if tensor.ndim == 2 else tensor.float().contiguous()
    return save(tensors)


def load_heads(path: Path, *, sha256: str, device: torch.device, hidden: int) -> Heads:
    """The heads in the file, for an encoder that is `hidden` wide.

    Errors:
        ModelLoadError: no file, another hash than the card says, shapes that do not fit, or values that are no numbers.
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
    return heads_from(data, device=device, hidden=hidden)


def heads_from(data: bytes, *, device: torch.device, hidden: int) -> Heads:
    """The heads in a file's bytes.

    Errors:
        ModelLoadError: not such a file, shapes that do not fit, or values that are no numbers.
    """
    try:
        tensors = {name: tensor.to(device, torch.float32) for name, tensor in load(data).items()}
        heads = {name: Head(**{field: tensors[f"{name}.{field}"] for field in Head.__struct_fields__}) for name in HEAD_NAMES}
        embedding = tensors["embedding"]
    except (SafetensorError, KeyError) as error:
        msg = f"not a file of heads: {error}"
        raise ModelLoadError(msg) from error
    for name, head in heads.items():
        _check(head, name=name, width=widths_of(hidden)[name], labels=len(TOPICS if name == "topics" else SENTIMENTS))
    if tuple(embedding.shape) != (hidden, hidden * len(MEAN_LAYERS) + 1):
        msg = f"an embedding of shape {tuple(embedding.shape)} does not fit an encoder of {hidden}"
        raise ModelLoadError(msg)
    broken = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        msg = f"the heads hold values that are no numbers: {', '.join(broken)}"
        raise ModelLoadError(msg)
    return Heads(**heads, embedding=embedding)


def _check(head: Head, *, name: str, width: int, labels: int) -> None:
    size = head.inner.shape[0]
    shapes = [tuple(getattr(head, field).shape) for field in Head.__struct_fields__]
    if shapes != [(size, width + 1), (size,), (labels, size), (labels,), (len(GROUPS),)]:
        msg = f"the head {name} of shapes {shapes} does not fit features of {width} and {labels} labels"
        raise ModelLoadError(msg)
