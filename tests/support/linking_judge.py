"""A judge that links companies as the real one does and guesses the rest: for benchmarks of everything but the model."""

from __future__ import annotations

from collections.abc import Sequence

from models.entities import Linker
from models.judge import subjects_of
from opinion.errors import PoisonText
from opinion.records import TOPICS, Document, EntityMention, Judgement
from tests.support.records import NEGATIVE, NEUTRAL, POSITIVE

SENTIMENTS = (NEGATIVE, NEUTRAL, POSITIVE)
BEST, OTHER = 0.62, 0.02
"""Probabilities of the best topic and of each of the 19 others."""


class LinkingJudge:
    """Real entities; sentiment and topic go by the length of the text, so that all twenty topics and three sentiments occur."""

    def __init__(self) -> None:
        self._linker = Linker.load()
        self._topics = {topic: dict.fromkeys(TOPICS, OTHER) | {topic: BEST} for topic in TOPICS}

    def judge(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        """One answer per document, in order."""
        return [self._one(document) for document in documents]

    def _one(self, document: Document) -> Judgement:
        length = len(document.text)
        sentiment, topic = SENTIMENTS[length % len(SENTIMENTS)], TOPICS[length % len(TOPICS)]
        linked = self._linker.link(document)
        return Judgement(
            sentiment=sentiment,
            polarity=sentiment.polarity,
            topics=self._topics[topic],
            topic=topic,
            entities=[EntityMention(entity.id, entity.name, round(entity.relevance, 4), sentiment) for entity in linked],
            subjects=subjects_of(topic, None, entities=linked),
            model="linking@0",
            backend="null",
        )
