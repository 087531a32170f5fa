"""The two agents without Faust or Kafka: logs in memory, read in whatever pieces, pieces again, and copies that come late."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from models.stories import RedisStoryIndex
from models.story_index import RedisEventIndex
from opinion.bus import Producer
from opinion.clock import ManualClock
from opinion.codec import decode, encode
from opinion.erased import ErasedIds
from opinion.errors import BusUnavailable, PoisonText
from opinion.metrics import WorkerMetrics
from opinion.names import Names
from opinion.records import Document, Judgement, ScoredDocument
from opinion.windows import WindowStore
from streams.aggregate import AggregateStep
from streams.batches import Incoming, Step
from streams.dead import DeadLetters
from streams.score import ScoreStep
from tests.support.meanings import embedding
from tests.support.null_judge import NullJudge
from tests.support.records import NOON

PARTITIONS = 3


class MeaningJudge(NullJudge):
    """The null judge, with a meaning of its own for every title."""

    def judge(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        """One answer per document."""
        return [
            answer if isinstance(answer, PoisonText) else msgspec.structs.replace(answer, embedding=_packed(document.title))
            for document, answer in zip(documents, super().judge(documents), strict=True)
        ]


def _packed(title: str) -> bytes:
    return bytes(np.rint(embedding(zlib.crc32(title.encode()) % 1000) * 127).astype(np.int8))


class Logs:
    """Topics in memory: a list of records per partition. Also a producer, as far as steps use one."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.topics: dict[str, list[list[Incoming]]] = {topic: [[] for _ in range(PARTITIONS)] for topic in names.topics}
        self.outages = 0  # so many writes to come fail

    async def send_all(self, topic: str, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Append records to the partitions of their keys."""
        if records and self.outages:
            self.outages -= 1
            raise BusUnavailable("down")
        for key, value in records:
            partition = zlib.crc32(key or b"") % PARTITIONS
            log = self.topics[topic][partition]
            log.append(Incoming(topic, partition, len(log), key, value))

    async def publish(self, document: Document) -> None:
        """Append a document."""
        await self.send_all(self.names.documents, [(document.doc_id.encode(), encode(document))])

    def scored(self, partition: int) -> list[ScoredDocument]:
        """What was told of a partition's documents."""
        return [decode(record.value, ScoredDocument) for record in self.topics[self.names.scored][partition]]


class Agents:
    """A worker's two steps on a log in memory and real Redis, and how far each has come."""

    def __init__(self, redis: Redis, logs: Logs, *, executor: ThreadPoolExecutor) -> None:
        names, clock, metrics = logs.names, ManualClock(NOON), WorkerMetrics(CollectorRegistry())
        producer = cast("Producer", logs)
        dead, erased = DeadLetters(producer, names, clock=clock, metrics=metrics), ErasedIds(redis, names)
        self.store = WindowStore(redis, names)
        shared: dict[str, Any] = {"dead": dead, "erased": erased, "clock": clock, "metrics": metrics}
        events, stories = RedisEventIndex(redis, names), RedisStoryIndex(redis, names)
        self.topics: dict[str, Step] = {  # by what each reads
            names.documents: ScoreStep(MeaningJudge(), events=events, stories=stories, producer=producer, names=names, executor=executor, **shared),
            names.scored: AggregateStep(self.store, **shared),
        }
        self._logs = logs
        self._done = {topic: [0] * PARTITIONS for topic in self.topics}

    async def work(self, topic: str, *, take: Sequence[int], again: int = 0) -> None:
        """Work on so many further records of each partition in one batch, and on so many of those before them again; on none where the bus is down."""
        done, logs = self._done[topic], self._logs.topics[topic]
        batch = [record for partition, count in enumerate(take) for record in logs[partition][max(0, done[partition] - again) : done[partition] + count]]
        try:
            if batch:
                await self.topics[topic].run(batch)
        except BusUnavailable:
            return
        for partition, count in enumerate(take):
            done[partition] = min(len(logs[partition]), done[partition] + count)

    async def finish(self) -> None:
        """Work on all there is."""
        for topic in self.topics:
            await self.work(topic, take=[len(log) for log in self._logs.topics[topic]])
