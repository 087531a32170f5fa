"""A judge that costs nothing and answers by the words: for tests and benchmarks of everything around the model."""

from __future__ import annotations

from collections.abc import Sequence

from opinion.errors import InferenceError, PoisonText
from opinion.records import TOPICS, Document, Judgement
from tests.support.records import NEGATIVE, NEUTRAL, POSITIVE


class NullJudge:
    """Negative where the text says "bad", positive where it says "good", neutral else; the topic goes by the length."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures

    def judge(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        """One answer per document; a text that says "poison" cannot be judged."""
        if self.failures:
            self.failures -= 1
            raise InferenceError("out of memory, this once")
        return [self._one(document) for document in documents]

    def _one(self, document: Document) -> Judgement | PoisonText:
        words = f"{document.title} {document.text}"
        if "poison" in words:
            return PoisonText(f"{document.doc_id} cannot be judged")
        sentiment = NEGATIVE if "bad" in words else POSITIVE if "good" in words else NEUTRAL
        topic = TOPICS[len(document.text) % len(TOPICS)]
        subjects = [f"topic:{topic}", *[f"entity:{symbol}" for symbol in document.symbols]]
        topics = {name: float(name == topic) for name in TOPICS}
        return Judgement(sentiment=sentiment, polarity=sentiment.polarity, topics=topics, topic=topic, subjects=subjects, model="null@0", backend="null")
