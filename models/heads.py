"""The judging part: pooled states of the encoder to calibrated probabilities of sentiment and topics, per text and per company named, and an embedding.

Each head is one hidden layer over the mean of three encoder layers, the first token and the register (news or social). The head for a company
reads the states of the words that name it besides. The embedding is a linear map to that of the encoder before it was tuned, so that texts of
one meaning stay near each other across languages.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save
from scipy.special import erf, softmax

from models.backends.base import SENTIMENTS, Floats
from models.features import GROUPS, HEAD_NAMES, MEAN_LAYERS, Pooled, widths_of
from opinion.errors import ModelLoadError
from opinion.records import TOPICS, PaneKind

Groups = NDArray[np.int64]
"""Index into features.GROUPS of each text."""


class Head(Struct, frozen=True):
    """One hidden layer, its answer, and a temperature per group."""

    inner: Floats  # (hidden, features + 1)
    inner_bias: Floats
    outer: Floats  # (labels, hidden)
    outer_bias: Floats
    temperatures: Floats  # (len(GROUPS),)

    def logits(self, features: Floats) -> Floats:
        """Scores before temperature, (N, labels), of features with the register as their last column."""
        hidden = features @ self.inner.T + self.inner_bias
        active = 0.5 * hidden * (1 + erf(hidden / np.float32(2**0.5)))  # GELU, Hendrycks and Gimpel 2016, arXiv:1606.08415
        return np.asarray(active @ self.outer.T + self.outer_bias, np.float32)

    def probabilities(self, features: Floats, groups: Groups) -> Floats:
        """Calibrated probabilities, (N, labels)."""
        return np.asarray(softmax(self.logits(features) / self.temperatures[groups][:, None], axis=1), np.float32)


class Heads(Struct, frozen=True):
    """All heads."""

    sentiment: Head
    topics: Head
    entity: Head  # sentiment for one company of a text
    embedding: Floats  # (hidden, 3 x hidden + 1): the map of the means, its last column is added

    def embedded(self, features: Floats) -> Floats:
        """Embeddings of length 1, (N, hidden)."""
        mapped = features[:, : self.embedding.shape[1] - 1] @ self.embedding[:, :-1].T + self.embedding[:, -1]
        return np.asarray(mapped / np.maximum(np.linalg.norm(mapped, axis=1, keepdims=True), 1e-12), np.float32)

    def judged(self, pooled: Pooled, groups: Groups, rows_of_names: NDArray[np.int64]) -> list[Floats]:
        """Sentiment, topics and embedding of each text, and the sentiment of each name; `rows_of_names` says in which text it stands."""
        features = with_register(pooled.features, groups)
        named = np.concatenate([pooled.spans, features[rows_of_names]], axis=1)
        return [
            self.sentiment.probabilities(features, groups),
            self.topics.probabilities(features, groups),
            self.embedded(pooled.features),
            self.entity.probabilities(named, groups[rows_of_names]),
        ]


def with_register(features: Floats, groups: Groups) -> Floats:
    """The features and a last column: 1 for social texts, -1 for news."""
    signs = np.array([1.0 if kind is PaneKind.SOCIAL else -1.0 for _, kind in GROUPS], np.float32)
    return np.concatenate([features, signs[groups][:, None]], axis=1)


def heads_bytes(heads: Mapping[str, Head], embedding: Floats) -> bytes:
    """The heads (HEAD_NAMES) and the embedding's map as a file: matrices in float16, the rest in float32. The same weights give the same bytes."""
    tensors: dict[str, NDArray[Any]] = {"embedding": np.ascontiguousarray(embedding, np.float16)}
    for name, head in heads.items():
        for field in Head.__struct_fields__:
            tensor = getattr(head, field)
            tensors[f"{name}.{field}"] = np.ascontiguousarray(tensor, np.float16 if tensor.ndim == 2 else np.float32)
    return save(tensors)


def load_heads(path: Path, *, sha256: str, hidden: int) -> Heads:
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
    return heads_from(data, hidden=hidden)


def heads_from(data: bytes, *, hidden: int) -> Heads:
    """The heads in a file's bytes.

    Errors:
        ModelLoadError: not such a file, shapes that do not fit, or values that are no numbers.
    """
    try:
        tensors = {name: tensor.astype(np.float32) for name, tensor in load(data).items()}
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
    broken = [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]
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
