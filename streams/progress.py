"""How far each partition has been worked on: metrics for people, marks for the watermark."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from opinion.bus import stop_consumer
from opinion.clock import SystemClock, epoch_ms
from opinion.errors import YuqingError
from opinion.metrics import WorkerMetrics
from opinion.watermark import Mark
from opinion.windows import WindowStore
from streams.batches import Incoming, Newest

log = structlog.get_logger()

REPORT_EVERY_S = 1.0
"""Part of the delay of every alert, so short; each report is one request to Kafka and one to Redis."""
REPORT_WITHIN_S = 8.0
"""A report that hangs (a broker that comes and goes) is given up and made anew."""


class _Standing(NamedTuple):
    """How far one partition was worked on at one moment."""

    next_offset: int
    event_ms: int | None
    moved_ms: int


class Progress:
    """Counts what the agents finished and reports it every second."""

    def __init__(self, store: WindowStore, *, kafka: str, group: str, metrics: WorkerMetrics, assigned: Callable[[], Iterable[tuple[str, int]]]) -> None:
        self._store = store
        self._kafka = kafka
        self._group = group
        self._metrics = metrics
        self._assigned = assigned
        self._wall = SystemClock()
        self._next: dict[tuple[str, int], int] = {}
        self._event_ms: dict[tuple[str, int], int] = {}
        self._moved_ms: dict[tuple[str, int], int] = {}
        self._shown: set[tuple[str, str]] = set()

    def finished(self, batch: Sequence[Incoming], newest: Newest) -> None:
        """Note that a batch, all of one topic, has had its effect."""
        now_ms = epoch_ms(self._wall.now())
        for record in batch:
            key = (record.topic, record.partition)
            self._next[key] = max(self._next.get(key, 0), record.offset + 1)
            self._moved_ms[key] = now_ms
            if record.partition in newest:
                self._event_ms[key] = max(self._event_ms.get(key, 0), newest[record.partition])

    async def run(self) -> None:
        """Report until cancelled; an unreachable server is logged and tried again."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka)  # in no group: a coordinator that is not ready would block it
        started = False
        try:
            while True:
                try:
                    async with asyncio.timeout(REPORT_WITHIN_S):
                        if not started:
                            await consumer.start()
                            started = True
                        await self._report(consumer)
                except (KafkaError, OSError, TimeoutError, YuqingError) as error:
                    log.warning("progress not reported", error=repr(error))
                await asyncio.sleep(REPORT_EVERY_S)
        finally:
            await stop_consumer(consumer)

    async def _report(self, consumer: AIOKafkaConsumer) -> None:
        partitions = [TopicPartition(*key) for key in sorted(self._assigned())]
        self._show_no_more({(partition.topic, str(partition.partition)) for partition in partitions})
        if not partitions:
            return
        for partition in partitions:
            await self._begin(consumer, partition)
        reached = {partition: self._standing(partition) for partition in partitions}
        ends = await consumer.end_offsets(partitions)  # after `reached`: what a finished batch wrote to the next topic lies before its end
        now_ms = epoch_ms(self._wall.now())
        marks = [self._mark(partition, standing, end=ends[partition], now_ms=now_ms) for partition, standing in reached.items()]
        await self._store.report(marks)

    async def _committed(self) -> dict[TopicPartition, int]:
        """What the group has acknowledged: where a worker that has not worked yet stands."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._kafka)
        try:
            await admin.start()
            offsets = await admin.list_consumer_group_offsets(self._group)
        finally:
            await admin.close()
        return {partition: found.offset for partition, found in offsets.items() if found.offset >= 0}

    async def _begin(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Find where the group stands on a partition that came to us since the last report; another worker may have moved it on."""
        key = (partition.topic, partition.partition)
        if (partition.topic, str(partition.partition)) not in self._shown:
            committed = (await self._committed()).get(partition, 0)
            begin = (await consumer.beginning_offsets([partition]))[partition]
            self._next[key] = max(self._next.get(key, 0), begin, committed)
            self._moved_ms.setdefault(key, epoch_ms(self._wall.now()))

    def _show_no_more(self, still: set[tuple[str, str]]) -> None:
        """Take back what is shown of partitions that another worker has now: it would stand there for ever, as a lag that nobody works off."""
        for labels in self._shown - still:
            self._metrics.lag.remove(*labels)
            self._metrics.last_progress.remove(*labels)
        self._shown &= still

    def _standing(self, partition: TopicPartition) -> _Standing:
        key = (partition.topic, partition.partition)
        return _Standing(self._next[key], self._event_ms.get(key), self._moved_ms[key])

    def _mark(self, partition: TopicPartition, standing: _Standing, *, end: int, now_ms: int) -> Mark:
        behind = max(0, end - standing.next_offset)
        labels = (partition.topic, str(partition.partition))
        self._shown.add(labels)
        self._metrics.lag.labels(*labels).set(behind)
        self._metrics.last_progress.labels(*labels).set((now_ms if behind == 0 else standing.moved_ms) / 1000)
        return Mark(f"{partition.topic}-{partition.partition}", standing.event_ms, behind, standing.moved_ms, now_ms)
