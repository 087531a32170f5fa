"""Documents in, ScoredDocuments out: the step behind agent `score`. Knows nothing of Faust."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from models.stories import StoryIndex, novelty, story_id_of
from models.story_index import EventIndex
from models.story_link import Signature, signature_of, unpacked
from opinion.bus import Producer
from opinion.clock import Clock, epoch_ms
from opinion.codec import checked, decode, encode
from opinion.erased import ErasedIds, scored_deletion
from opinion.errors import PoisonText, Reason, RecordError
from opinion.events import event_time
from opinion.metrics import JUDGED_LANGUAGES, WorkerMetrics
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
    """Decode, judge, link stories, publish; and let go of what was erased.

    An id gets on the list of erased ones only when everything of it that stands before the deletion in the log is published. So a batch that is worked on
    again, in whole or in parts, publishes what it did before, and panes do not depend on it.
    """

    def __init__(
        self,
        judge: Judging,
        *,
        events: EventIndex,
        stories: StoryIndex,
        producer: Producer,
        dead: DeadLetters,
        erased: ErasedIds,
        names: Names,
        clock: Clock,
        metrics: WorkerMetrics,
        executor: ThreadPoolExecutor,
    ) -> None:
        self._judge = judge
        self._events = events
        self._stories = stories
        self._producer = producer
        self._dead = dead
        self._erased = erased
        self._names = names
        self._clock = clock
        self._metrics = metrics
        self._executor = executor

    async def run(self, batch: Sequence[Incoming]) -> Newest:
        """Publish the judgement of every document, and every deletion; documents that cannot be judged become dead letters, erased ones nothing.

        Errors:
            InferenceError, BusUnavailable, StoreUnavailable (retryable).
        """
        decoded, letters = self._decode(batch)
        documents, deletions = await self._parted(decoded)
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
        told = [*scored, *(scored_deletion(document, at=self._clock.now()) for document in deletions)]
        await self._producer.send_all(self._names.scored, [(item.document.doc_id.encode(), encode(item)) for item in told])
        await self._forget([document.doc_id for document in deletions])
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
                documents.append((record, checked(decode(record.value, Document))))
            except RecordError as error:
                letters.append((record, error.reason, str(error)))
        return documents, letters

    async def _parted(self, decoded: Sequence[tuple[Incoming, Document]]) -> tuple[list[tuple[Incoming, Document]], list[Document]]:
        """What is to be judged, and the deletions; without what was erased before, be it in this batch."""
        erased = set(await self._erased.among([document.doc_id for _, document in decoded]))
        documents: list[tuple[Incoming, Document]] = []
        deletions: list[Document] = []
        for record, document in decoded:
            if document.op is Op.DELETE:
                erased.add(document.doc_id)
                deletions.append(document)
            elif document.doc_id in erased:
                self._metrics.not_counted.labels("erased").inc()
            else:
                documents.append((record, document))
        return documents, deletions

    async def _forget(self, doc_ids: Sequence[str]) -> None:
        if doc_ids:
            await self._events.forget(doc_ids)
            await self._erased.add(doc_ids)

    async def _judged(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        if not documents:
            return []
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._judge.judge, documents)

    async def _with_stories(self, answered: Sequence[tuple[Document, Judgement]]) -> list[ScoredDocument]:
        with self._metrics.inference_duration.labels("stories").time():
            timed = [(document, judgement, *event_time(document), story_id_of(document)) for document, judgement in answered]
            stories = await self._events_of([(document, judgement, epoch_ms(at), text) for document, judgement, at, _, text in timed])
            sizes = await self._stories.observe([(story, document.doc_id, epoch_ms(at)) for story, (document, _, at, _, _) in zip(stories, timed, strict=True)])
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
                text_id=text,
                story_size=size,
                novelty=novelty(size),
                model=judgement.model,
                backend=judgement.backend,
                scored_at=now,
            )
            for (document, judgement, event_at, counted, text), story, size in zip(timed, stories, sizes, strict=True)
        ]

    async def _events_of(self, told: Sequence[tuple[Document, Judgement, int, str]]) -> list[str]:
        """The event of each (document, judgement, event ms, text id): the text's own id where the model gave no embedding to compare."""
        compared = [item for item in told if item[1].embedding]
        found = await self._events.assign([(document.doc_id, text, _signature(document, judgement, at)) for document, judgement, at, text in compared]) if compared else []
        events = {document.doc_id: event for (document, _, _, _), event in zip(compared, found, strict=True)}
        return [events.get(document.doc_id, text) for document, _, _, text in told]

    def _count(self, scored: Sequence[ScoredDocument]) -> None:
        age = self._metrics.document_age.labels("scored")
        for labels, count in Counter((item.sentiment.label, item.document.kind.value) for item in scored).items():
            self._metrics.scored.labels(*labels).inc(count)
        for labels, count in Counter((_language(item.document), item.sentiment.label) for item in scored).items():
            self._metrics.languages.labels(*labels).inc(count)
        for item in scored:
            age.observe(max(0.0, (item.scored_at - item.document.fetched_at).total_seconds() / self._clock.speed))


def _language(document: Document) -> str:
    found = document.lang.partition("-")[0]
    return found if found in JUDGED_LANGUAGES else "other"


def _signature(document: Document, judgement: Judgement, event_ms: int) -> Signature:
    return signature_of(document, event_ms, [mention.id for mention in judgement.entities], unpacked(judgement.embedding))
