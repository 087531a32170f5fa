"""What the heads read of a text, as names and sizes. No framework is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.backends.base import Floats, ModelInput
from opinion.records import PaneKind

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

    features: Floats  # (N, 4 x hidden): means of MEAN_LAYERS, then the first token of the last
    spans: Floats  # (K, 2 x hidden): means of SPAN_LAYERS


def group_of(item: ModelInput) -> int:
    """Index into GROUPS of an input."""
    return GROUPS.index(("zh" if item.lang.startswith("zh") else "en", PaneKind.of(item.kind)))


def groups_of(inputs: Sequence[ModelInput]) -> NDArray[np.int64]:
    """Index into GROUPS of each input."""
    return np.array([group_of(item) for item in inputs], np.int64)


def kinds_of(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """0 for news and 1 for social: index of the encoder's vectors of kinds."""
    return groups % 2  # see the order of GROUPS


def widths_of(hidden: int) -> dict[str, int]:
    """Features that each head reads of an encoder of that width, the register not counted."""
    whole = hidden * (len(MEAN_LAYERS) + 1)
    return {"sentiment": whole, "topics": whole, "entity": whole + hidden * len(SPAN_LAYERS)}
