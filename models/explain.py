"""Why a text was judged as it was: each word is left out in turn, and what that does to the answer is its weight (occlusion).

Faithful to the label by construction, with no gradient and no second model; a word whose meaning others repeat weighs little.
Where time is short, stretches of neighbouring words are left out first, and then single words of the stretches that weighed most.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from models.backends.base import Backend, Floats, ModelInput
from opinion.records import Evidence

MOST_EVIDENCE = 5
"""Spans given; the rest is noise in most headlines."""
LEAST = 1e-9
"""Probabilities are held above this before the logarithm."""
HAN = "\u3400", "\u9fff"
STRETCHES, FINER = 8, 2
"""Parts that a text is looked at in when time is short, and how many of these word by word: 25 texts are judged for one of 64 words, not 65."""
MOST_WORDS = 64
"""Of such a text: titles and first sentences decide most."""


def explain(backend: Backend, item: ModelInput) -> list[Evidence]:
    """The spans of `title + newline + text` that spoke most for the winning sentiment, strongest first; none that spoke against it.

    An input with a name is explained for the sentiment on that one; its own words stay. Spans are words in Latin script, the tokenizer's pieces (one to four
    characters) in Chinese.

    Errors:
        InferenceError: the model fails (retryable).
    """
    text = _text(item)
    spans = words_of(text, backend.spans(text))
    return _strongest(text, spans, _weights(backend, item, text, spans))


def explain_quickly(backend: Backend, item: ModelInput) -> list[Evidence]:
    """What `explain` finds, nearly: of the first MOST_WORDS words, and only in the stretches of them that weigh most.

    Errors:
        InferenceError: the model fails (retryable).
    """
    text = _text(item)
    spans = words_of(text, backend.spans(text))[:MOST_WORDS]
    if len(spans) <= 2 * STRETCHES:
        return explain(backend, item)
    text = text[: spans[-1][1]]
    bounds = [len(spans) * part // STRETCHES for part in range(STRETCHES + 1)]
    stretches = [(spans[first][0], spans[last - 1][1]) for first, last in pairwise(bounds)]
    weights = _weights(backend, item, text, stretches)
    heaviest = sorted(range(STRETCHES), key=lambda part: (-weights[part], part))[:FINER]
    words = [span for part in sorted(heaviest) for span in spans[bounds[part] : bounds[part + 1]]]
    return _strongest(text, words, _weights(backend, item, text, words))


def _text(item: ModelInput) -> str:
    return f"{item.title}\n{item.text}" if item.title and item.text else item.title or item.text


def _weights(backend: Backend, item: ModelInput, text: str, spans: Sequence[tuple[int, int]]) -> list[float]:
    """For each span, by how much the winning sentiment's log-probability falls without it; 0 for one that holds the name."""
    kept = [span for span in spans if not any(span[0] < end and start < span[1] for start, end in item.names)]
    sentiment = _sentiments(backend, [_without(item, text, (0, 0)), *(_without(item, text, span) for span in kept)])
    winner = int(sentiment[0].argmax())
    whole = math.log(max(float(sentiment[0, winner]), LEAST))
    weights = {span: whole - math.log(max(float(row[winner]), LEAST)) for span, row in zip(kept, sentiment[1:], strict=True)}
    return [weights.get(span, 0.0) for span in spans]


def _without(item: ModelInput, text: str, span: tuple[int, int]) -> ModelInput:
    start, end = span
    names = tuple((left - (end - start), right - (end - start)) if left >= end else (left, right) for left, right in item.names)
    return ModelInput("", text[:start] + text[end:], item.kind, item.lang, names)


def _sentiments(backend: Backend, inputs: Sequence[ModelInput]) -> Floats:
    """Of each input: on its name, where it has one that the model reads in all of them."""
    scores = backend.score(inputs)
    if inputs[0].names and np.isfinite(own := np.array([rows[0] for rows in scores.entities])).all():
        return own
    return scores.sentiment


def _strongest(text: str, spans: Sequence[tuple[int, int]], weights: Sequence[float]) -> list[Evidence]:
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
