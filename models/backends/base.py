"""What every backend does: inputs to scores, in order. No framework is imported here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from opinion.records import DocumentKind

Floats = NDArray[np.float32]

SENTIMENTS = ("negative", "neutral", "positive")
"""Order of the columns of `Scores.sentiment`."""


class ModelInput(Struct, frozen=True):
    """One text to judge, with what the heads know besides."""

    title: str
    text: str
    kind: DocumentKind = DocumentKind.NEWS
    lang: str = "und"  # BCP 47
    names: tuple[tuple[int, int], ...] = ()  # [start, end) in `title + newline + text`: a name of each company to judge by itself


class Scores(NamedTuple):
    """Judgements of N inputs, row by row in their order."""

    sentiment: Floats  # (N, 3), calibrated, rows sum to 1; columns are SENTIMENTS
    topics: Floats  # (N, 20), calibrated, rows sum to 1; columns are records.TOPICS
    embedding: Floats  # (N, 384), rows of length 1
    entities: Sequence[Floats]  # N of (names, 3), as `sentiment`; a row is NaN where the name lies beyond what the model reads


class BatchStats(Struct, frozen=True):
    """How one forward pass went."""

    documents: int
    tokens: int  # padding counted
    tokenise_s: float
    forward_s: float


OnBatch = Callable[[BatchStats], None]


class Backend(Protocol):
    """Something that runs the model. Synchronous; called by one thread at a time."""

    name: str  # `torch`
    device: str  # `cpu`, `cuda`
    model: str
    revision: str

    def score(self, inputs: Sequence[ModelInput]) -> Scores:
        """The scores of each input, in order. Any text has an answer: empty, huge, or full of control characters.

        Errors:
            InferenceError: the pass failed (retryable).
        """
        ...

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the pieces that the model reads lie in `text`: [start, end), in order, blanks left out."""
        ...
