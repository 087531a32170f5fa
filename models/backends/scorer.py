"""A reader with heads on it: what every backend of ours is, whatever framework runs the encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from models.backends.base import SENTIMENTS, Floats, ModelInput, OnBatch, Scores
from models.features import groups_of
from models.heads import Heads
from models.passes import Passes, Reading
from opinion.errors import InferenceError
from opinion.records import TOPICS


class Scorer:
    """`on_batch` hears of every pass."""

    def __init__(self, reader: Passes, heads: Heads, *, name: str, model: str, revision: str, on_batch: OnBatch | None = None) -> None:
        self._reader, self._heads, self._on_batch = reader, heads, on_batch
        self.name, self.device = name, reader.device
        self.model, self.revision = model, revision

    def score(self, inputs: Sequence[ModelInput]) -> Scores:
        """The scores of each input, in order.

        Errors:
            InferenceError: the pass failed (retryable).
        """
        sentiment, topics, embedding = (np.zeros((len(inputs), width), np.float32) for width in (len(SENTIMENTS), len(TOPICS), self._reader.hidden))
        entities: list[Floats] = [np.full((len(item.names), len(SENTIMENTS)), np.nan, np.float32) for item in inputs]
        for reading in self._reader.read(inputs):
            *whole, named = self._judged(reading, [inputs[index] for index in reading.indices])
            for kept, part in zip((sentiment, topics, embedding), whole, strict=True):
                kept[reading.indices] = part
            for (row, which), probabilities in zip(reading.names, named, strict=True):
                entities[reading.indices[row]][which] = probabilities
            if self._on_batch is not None:
                self._on_batch(reading.stats)
        return Scores(sentiment, topics, embedding, entities)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the pieces that the model reads lie in `text`: [start, end), in order, blanks left out."""
        return self._reader.spans(text)

    def _judged(self, reading: Reading, inputs: Sequence[ModelInput]) -> list[Floats]:
        scores = self._heads.judged(reading.pooled, groups_of(inputs), np.array([row for row, _ in reading.names], np.int64))
        if not all(np.isfinite(part).all() for part in scores):
            msg = f"the forward pass of {len(inputs)} texts gave no finite numbers"
            raise InferenceError(msg)
        return scores
