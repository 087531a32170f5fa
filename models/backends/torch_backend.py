"""The model on PyTorch: CPU in bfloat16 where the processor multiplies it, else float32; GPU in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from models.backends.base import SENTIMENTS, Floats, ModelInput, OnBatch, Scores
from models.heads import Heads, groups_of, with_register
from models.reader import Reader, Reading
from opinion.errors import InferenceError
from opinion.records import TOPICS


class TorchBackend:
    """A reader with heads on it; `on_batch` hears of every pass."""

    name = "torch"

    def __init__(self, reader: Reader, heads: Heads, *, model: str, revision: str, on_batch: OnBatch | None = None) -> None:
        self._reader, self._heads, self._on_batch = reader, heads, on_batch
        self.device = reader.device.type
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
        """Sentiment, topics and embedding of each text, and the sentiment of each name."""
        heads, pooled = self._heads, reading.pooled
        with torch.inference_mode():
            groups = groups_of(inputs, pooled.features.device)
            features = with_register(pooled.features, groups)
            rows = torch.tensor([row for row, _ in reading.names], dtype=torch.long, device=groups.device)
            answers = (
                heads.sentiment.probabilities(features, groups),
                heads.topics.probabilities(features, groups),
                heads.embedded(pooled.features),
                heads.entity.probabilities(torch.cat([pooled.spans, features[rows]], dim=1), groups[rows]),
            )
        scores: list[Floats] = [answer.float().cpu().numpy() for answer in answers]
        if not all(np.isfinite(part).all() for part in scores):
            msg = f"the forward pass of {len(inputs)} texts gave no finite numbers"
            raise InferenceError(msg)
        return scores
