"""Documents to judgements: the model's scores, the companies named, the windows they count in."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from models.backends.base import Backend, Floats, ModelInput
from models.entities import LinkedEntity
from models.explain import explain, explain_quickly
from opinion.errors import InferenceError, PoisonText
from opinion.records import TOPICS, Document, DocumentKind, EntityMention, Evidence, Judgement, Sentiment

UNIT = 10_000
"""Probabilities are given in ten-thousandths: more digits differ between batches and processors."""
SECOND_TOPIC_AT = 0.35
"""Probability from which a document also counts for its second topic."""
RELEVANCE_AT = 0.5
"""Relevance from which a document counts for a company, so that round-ups do not."""
MOST_NAMES = 12
"""Companies of one text that are judged by themselves: a list of more says the same of all."""
KNOWN_GOOD = ModelInput("", "Shares rose after the results.", DocumentKind.NEWS, "en")
"""Tried when a text fails alone: where this fails too, the fault is the model's and not the text's."""


class Linking(Protocol):
    """Something that finds the companies of a document."""

    def link(self, document: Document) -> list[LinkedEntity]:
        """The companies, most relevant first."""
        ...


class Row(NamedTuple):
    """The scores of one text."""

    sentiment: Floats  # (3,)
    topics: Floats  # (20,)
    embedding: Floats  # (384,)
    entities: Floats  # (names, 3)


class Judge:
    """A backend and a linker. One call at a time; `entity_seconds` hears how long linking a batch took."""

    def __init__(self, backend: Backend, linker: Linking, *, entity_seconds: Callable[[float], None] | None = None) -> None:
        self._backend, self._linker = backend, linker
        self._entity_seconds = entity_seconds
        self.model = f"{backend.model}@{backend.revision}"

    def judge(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        """One answer per document, in order. A text that the model fails on does not spoil its neighbours.

        Errors:
            InferenceError: the model fails on any text (retryable).
        """
        started = time.perf_counter()
        linked = [self._linker.link(document) for document in documents]
        if self._entity_seconds is not None and documents:
            self._entity_seconds(time.perf_counter() - started)
        scores = self._scored([input_of(document, entities) for document, entities in zip(documents, linked, strict=True)])
        return [self._answer(one, entities) for one, entities in zip(scores, linked, strict=True)]

    def explain(self, document: Document) -> list[Evidence]:
        """The spans that spoke most for the document's sentiment, strongest first. Costs one pass per word: not for the stream.

        Errors:
            InferenceError: the model fails (retryable).
        """
        return explain(self._backend, input_of(document))

    def explain_quickly(self, document: Document, *, company: str = "") -> list[Evidence]:
        """The same, nearly, for a bounded part of the cost: 25 passes at most. Of a `company`, why it is so of that one, where the document names several.

        Errors:
            InferenceError: the model fails (retryable).
        """
        apart = judged_apart(self._linker.link(document)) if company else []
        names = tuple(entity.spans[0] for entity in apart if entity.id == company)
        return explain_quickly(self._backend, msgspec.structs.replace(input_of(document), names=names))

    def _scored(self, inputs: Sequence[ModelInput]) -> list[Row | PoisonText]:
        """The scores of each input alone; a batch that fails is tried in halves until only the culprit is left."""
        if not inputs:
            return []
        try:
            scores = self._backend.score(inputs)
        except InferenceError as error:
            if len(inputs) == 1:
                self._backend.score([KNOWN_GOOD])
                return [PoisonText(f"the model fails on this text alone: {error}")]
            half = len(inputs) // 2
            return [*self._scored(inputs[:half]), *self._scored(inputs[half:])]
        return [
            Row(sentiment, topics, embedding, entities)
            for sentiment, topics, embedding, entities in zip(scores.sentiment, scores.topics, scores.embedding, scores.entities, strict=True)
        ]

    def _answer(self, scores: Row | PoisonText, entities: Sequence[LinkedEntity]) -> Judgement | PoisonText:
        if isinstance(scores, PoisonText):
            return scores
        sentiment = Sentiment(*rounded(scores.sentiment))
        topics = dict(zip(TOPICS, rounded(scores.topics), strict=True))
        ranked = sorted(topics, key=lambda name: -topics[name])
        mentions = [
            EntityMention(entity.id, entity.name, round(entity.relevance, 4), sentiment if own is None else Sentiment(*rounded(own)))
            for entity, own in zip(entities, own_scores(scores, entities), strict=True)
        ]
        return Judgement(
            sentiment=sentiment,
            polarity=round(sentiment.polarity, 4),
            topics=topics,
            topic=ranked[0],
            entities=mentions,
            subjects=subjects_of(ranked[0], ranked[1] if topics[ranked[1]] >= SECOND_TOPIC_AT else None, entities=entities),
            model=self.model,
            backend=self._backend.name,
            embedding=packed(scores.embedding),
        )


def packed(embedding: Floats) -> bytes:
    """The embedding in signed bytes, its largest value at 127: cosines keep three digits, at a quarter of the size."""
    scaled = embedding * (127 / max(float(np.abs(embedding).max()), 1e-9))
    data: bytes = np.rint(scaled).astype(np.int8).tobytes()
    return data


def input_of(document: Document, entities: Sequence[LinkedEntity] = ()) -> ModelInput:
    """What of a document the model is given: names only where it names several companies, for one alone has the text's own sentiment."""
    named = judged_apart(entities)
    return ModelInput(document.title, document.text, document.kind, document.lang, tuple(entity.spans[0] for entity in named))


def judged_apart(entities: Sequence[LinkedEntity]) -> list[LinkedEntity]:
    """The companies that are judged by themselves: those that stand in the text, where there are several; at most MOST_NAMES, by relevance."""
    named = [entity for entity in entities if entity.spans]
    return named[:MOST_NAMES] if len(named) > 1 else []


def own_scores(scores: Row, entities: Sequence[LinkedEntity]) -> list[Floats | None]:
    """For each company what the text says of it; None where only the whole text was judged."""
    own = {entity.id: np.asarray(row) for entity, row in zip(judged_apart(entities), scores.entities, strict=True) if np.isfinite(row).all()}
    return [own.get(entity.id) for entity in entities]


def subjects_of(topic: str, second: str | None, *, entities: Sequence[LinkedEntity]) -> list[str]:
    """The windows a document counts in.

    >>> subjects_of("Macro", None, entities=[LinkedEntity("XNAS:AAPL", "Apple", 0.9), LinkedEntity("XNAS:MSFT", "Microsoft", 0.2)])
    ['topic:Macro', 'entity:XNAS:AAPL']
    """
    topics = [f"topic:{name}" for name in (topic, second) if name is not None]
    return topics + [f"entity:{entity.id}" for entity in entities if entity.relevance >= RELEVANCE_AT]


def rounded(probabilities: Floats) -> list[float]:
    """The probabilities in ten-thousandths that sum to one: the largest remainders are rounded up.

    >>> rounded(np.array([1 / 3, 1 / 3, 1 / 3]))
    [0.3334, 0.3333, 0.3333]
    """
    exact = np.asarray(probabilities, np.float64)
    exact = exact / exact.sum() * UNIT
    units = np.floor(exact).astype(int)
    missing = UNIT - int(units.sum())
    units[np.argsort(units - exact, kind="stable")[:missing]] += 1
    return [int(unit) / UNIT for unit in units]
