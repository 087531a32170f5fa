"""Documents with embeddings made up for tests: those of one meaning lie near each other, in one language and across."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np

from models.story_link import Signature, Vector, _means, signature_of
from opinion.clock import epoch_ms
from tests.support.records import NOON, document


def embedding(meaning: int, *, closeness: float = 0.9, lang: str = "en", variant: int = 0) -> Vector:
    """An embedding of length 1; two of one meaning have the centred cosine of the product of their closenesses."""
    mean = _means()[lang]

    def direction(seed: int) -> Vector:
        vector = np.random.default_rng(seed).standard_normal(len(mean)).astype(np.float32)
        vector -= mean * (vector @ mean) / (mean @ mean)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)

    part = closeness * direction(meaning) + (1 - closeness**2) ** 0.5 * direction(10_000 + 100 * meaning + variant)
    return np.asarray(mean + part / np.linalg.norm(part) * (1 - mean @ mean) ** 0.5, np.float32)


def signature(text: str, *, title: str = "", meaning: int = 1, closeness: float = 0.9, hours: float = 0, entities: tuple[str, ...] = (), **changes: Any) -> Signature:
    """The signature of a text told that many hours after noon."""
    lang = changes.setdefault("lang", "en")
    variant = sum(map(ord, title + text)) % 100
    vector = embedding(meaning, closeness=closeness, lang=lang, variant=variant)
    return signature_of(document(1, title=title, text=text, **changes), epoch_ms(NOON + timedelta(hours=hours)), entities, vector)
