"""Documents in, ScoredDocuments out: the step behind agent `score`. Knows nothing of Faust."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from models.stories import StoryIndex, novelty, story_id_of
from opinion.bus import Producer
from opinion.clock import Clock, epoch_ms
from opinion.codec import checked, decode, encode
from opinion.errors import PoisonText, Reason, RecordError
from opinion.events import event_time
from opinion.metrics import WorkerMetrics
from opinion.names import Names
from opinion.records import Document, Judgement, Op, ScoredDocument
from streams.batches import Incoming, Newest
from streams.dead import DeadLetters


class Judging(Protocol):
    """Something that judges documents; called in a thread of its own, one call at a time."""

    def judge(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        """One answer per document, in order."""
        ...


Letter = tuple[Incoming, Reason, str]


class ScoreStep:
    """Decode, judge, link stories, publish."""

    def __init__(
        self, judge: Judging, *, stories: StoryIndex, producer: Producer, dead: DeadLetters, names: Names, clock: Clock, metrics: WorkerMetrics, executor: ThreadPoolExecutor
    ) -> None:
        self._judge = judge
        self._stories = stories
        self._producer = producer
        self._dead = dead
        self._names = names
        self._clock = clock
        self._metrics = metrics
        self._executor = executor

    async def run(self, batch: Sequence[Incoming]) -> Newest:
        """Publish the judgement of every document; those that cannot be judged become dead letters.

        Errors:
            InferenceError, BusUnavailable, StoreUnavailable (retryable).
        """
        documents, letters = self._decode(batch)
        judged = await self._judged([document for _, document in documents])
        answered: list[tuple[Document, Judgement]] = []
        newest: Newest = {}
        for (record, document), answer in zip(documents, judged, strict=True):
            if isinstance(answer, PoisonText):
                letters.append((record, answer.reason, str(answer)))
            else:
                answered.append((document, answer))
                newest[record.partition] = max(newest.get(record.partition, 0), epoch_ms(event_time(document)[0]))
        scored = await self._with_stories(answered)
        await self._producer.send_all(self._names.scored, [(item.document.doc_id.encode(), encode(item)) for item in scored])
        await self._dead.bury(letters)
        self._count(scored)
        return newest

    async def bury(self, record: Incoming, *, reason: Reason, detail: str) -> None:
        """Put one record aside."""
        await self._dead.bury([(record, reason, detail)])

    def _decode(self, batch: Sequence[Incoming]) -> tuple[list[tuple[Incoming, Document]], list[Letter]]:
        documents: list[tuple[Incoming, Document]] = []
        letters: list[Letter] = []
        for record in batch:
            try:
                document = checked(decode(record.value, Document))
            except RecordError as error:
                letters.append((record, error.reason, str(error)))
                continue
            if document.op == Op.DELETE:
                self._metrics.not_counted.labels("deleted").inc()
            else:
                documents.append((record, document))
        return documents, letters

    async def _judged(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        if not documents:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._judge.judge, documents)

    async def _with_stories(self, answered: Sequence[tuple[Document, Judgement]]) -> list[ScoredDocument]:
        with self._metrics.inference_duration.labels("stories").time():
            timed = [(document, judgement, *event_time(document), story_id_of(document)) for document, judgement in answered]
            sizes = await self._stories.observe([(story, document.doc_id, epoch_ms(at)) for document, _, at, _, story in timed])
        now = self._clock.now()
        return [
            ScoredDocument(
                document=document,
                event_at=event_at,
                counted=counted,
                sentiment=judgement.sentiment,
                polarity=judgement.polarity,
                topics=judgement.topics,
                topic=judgement.topic,
                entities=judgement.entities,
                subjects=judgement.subjects,
                story_id=story,
                story_size=size,
                novelty=novelty(size),
                model=judgement.model,
                backend=judgement.backend,
                scored_at=now,
            )
            for (document, judgement, event_at, counted, story), size in zip(timed, sizes, strict=True)
        ]

    def _count(self, scored: Sequence[ScoredDocument]) -> None:
        age = self._metrics.document_age.labels("scored")
        for labels, count in Counter((item.sentiment.label, item.document.kind.value) for item in scored).items():
            self._metrics.scored.labels(*labels).inc(count)
        for item in scored:
            age.observe(max(0.0, (item.scored_at - item.document.fetched_at).total_seconds() / self._clock.speed))
