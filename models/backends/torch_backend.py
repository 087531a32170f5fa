"""The model on PyTorch: CPU in bfloat16 where the processor multiplies it, else float32; GPU in bfloat16."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from models.backends.base import SENTIMENTS, Floats, ModelInput, OnBatch, Scores
from models.heads import Heads, Pooled, groups_of, with_register
from models.reader import Reader
from opinion.errors import InferenceError
from opinion.records import TOPICS


class TorchBackend:
    """A reader with heads on it; `on_batch` hears of every pass."""

    name = "torch"

    def __init__(self, reader: Reader, heads: Heads, *, model: str, on_batch: OnBatch | None = None) -> None:
        self._reader, self._heads, self._on_batch = reader, heads, on_batch
        self.device = reader.device.type
        self.model, self.revision = model, heads.revision

    def score(self, inputs: Sequence[ModelInput]) -> Scores:
        """The scores of each input, in order.

        Errors:
            InferenceError: the pass failed (retryable).
        """
        answer = Scores(*(np.zeros((len(inputs), width), np.float32) for width in (len(SENTIMENTS), len(TOPICS), self._reader.hidden)))
        for reading in self._reader.read(inputs):
            scores = self._judged(reading.pooled, [inputs[index] for index in reading.indices])
            for whole, part in zip(answer, scores, strict=True):
                whole[reading.indices] = part
            if self._on_batch is not None:
                self._on_batch(reading.stats)
        return answer

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the pieces that the model reads lie in `text`: [start, end), in order, blanks left out."""
        return self._reader.spans(text)

    def _judged(self, pooled: Pooled, inputs: Sequence[ModelInput]) -> list[Floats]:
        with torch.inference_mode():
            groups = groups_of(inputs, pooled.features.device)
            features = with_register(pooled.features, groups)
            answers = (self._heads.sentiment.probabilities(features, groups), self._heads.topics.probabilities(features, groups), functional.normalize(pooled.mean, dim=1))
        scores: list[Floats] = [answer.float().cpu().numpy() for answer in answers]
        if not all(np.isfinite(part).all() for part in scores):
            msg = f"the forward pass of {len(inputs)} texts gave no finite numbers"
            raise InferenceError(msg)
        return scores
