"""Why a text was judged as it was: each word is left out in turn, and what that does to the answer is its weight (occlusion).

Faithful to the label by construction, with no gradient and no second model; a word whose meaning others repeat weighs little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.backends.base import Backend, ModelInput
from opinion.records import Evidence

MOST_EVIDENCE = 5
"""Spans given; the rest is noise in most headlines."""
LEAST = 1e-9
"""Probabilities are held above this before the logarithm."""
HAN = "\u3400", "\u9fff"


def explain(backend: Backend, item: ModelInput) -> list[Evidence]:
    """The spans of `title + newline + text` that spoke most for the winning sentiment, strongest first; none that spoke against it.

    Words in Latin script, the tokenizer's pieces (one to four characters) in Chinese.

    Errors:
        InferenceError: the model fails (retryable).
    """
    text = f"{item.title}\n{item.text}" if item.title and item.text else item.title or item.text
    spans = words_of(text, backend.spans(text))
    variants = [text, *(text[:start] + text[end:] for start, end in spans)]
    sentiment = backend.score([ModelInput("", variant, item.kind, item.lang) for variant in variants]).sentiment
    winner = int(sentiment[0].argmax())
    whole = math.log(max(float(sentiment[0, winner]), LEAST))
    weights = [whole - math.log(max(float(row[winner]), LEAST)) for row in sentiment[1:]]
    found = [Evidence(text[start:end], start, end, round(weight, 4)) for (start, end), weight in zip(spans, weights, strict=True) if weight > 0]
    return sorted(found, key=lambda evidence: (-evidence.weight, evidence.start))[:MOST_EVIDENCE]


def words_of(text: str, pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pieces, joined where they are parts of one word; spans without a letter or digit are left out.

    >>> words_of("profit up", [(0, 3), (3, 6), (7, 9)])
    [(0, 6), (7, 9)]
    """
    words: list[tuple[int, int]] = []
    for start, end in pieces:
        if words and words[-1][1] == start and _continues(text[start - 1], text[start]):
            words[-1] = (words[-1][0], end)
        elif not words or start >= words[-1][1]:
            words.append((start, end))
    return [(start, end) for start, end in words if any(character.isalnum() for character in text[start:end])]


def _continues(before: str, character: str) -> bool:
    """Whether two neighbouring characters belong to one word: Chinese writes words without blanks, so there pieces stand for themselves."""
    return not any(HAN[0] <= one <= HAN[1] for one in (before, character)) and (before + character).isalnum()
