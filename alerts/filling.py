"""Fills the archive from `yuqing.scored.v1`, each partition from where the file says it stands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from alerts.archive import Archive
from opinion.bus import partitions_of, stop_consumer
from opinion.clock import Clock
from opinion.codec import decode
from opinion.errors import RecordError, YuqingError
from opinion.records import ScoredDocument

log = structlog.get_logger()

RETRY_S = 2.0
MOST_RECORDS = 500
WAIT_MS = 500
"""Longest wait for records: what people see is at most this late."""
PURGE_EVERY = timedelta(minutes=10)

Heard = Callable[[ScoredDocument], None]


class Filling:
    """Keeps an archive up with the log.

    run() until cancelled: assigned ──▶ read ──▶ put, offsets with it ──▶ told to whoever listens
    """

    def __init__(self, kafka: str, topic: str, *, archive: Archive, clock: Clock, heard: Heard) -> None:
        self._kafka = kafka
        self._topic = topic
        self._archive = archive
        self._clock = clock
        self._heard = heard
        self._purged_at: datetime | None = None

    async def run(self) -> None:
        """Fill until cancelled; an unreachable Kafka and a full disk are waited for."""
        while True:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka, enable_auto_commit=False, auto_offset_reset="earliest")
            try:
                stands = await self._archive.open()
                numbers = await partitions_of(self._kafka, self._topic)  # a consumer that follows nothing yet knows no topic
                await consumer.start()
                partitions = [TopicPartition(self._topic, number) for number in numbers]
                consumer.assign(partitions)
                for partition in partitions:
                    if partition.partition in stands:
                        consumer.seek(partition, stands[partition.partition])
                    else:
                        await consumer.seek_to_beginning(partition)
                await self._follow(consumer)
            except (KafkaError, OSError, YuqingError) as error:
                log.warning("the archive of documents waits", error=str(error))
                await asyncio.sleep(RETRY_S)
            finally:
                await stop_consumer(consumer)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        while True:
            for partition, records in (await consumer.getmany(timeout_ms=WAIT_MS, max_records=MOST_RECORDS)).items():
                await self._take(partition.partition, [(record.offset, record.value) for record in records])
            now = self._clock.now()
            if self._purged_at is None or now - self._purged_at >= PURGE_EVERY:
                self._purged_at = now
                await self._archive.purge(now=now)

    async def _take(self, partition: int, records: Sequence[tuple[int, bytes]]) -> None:
        scored: list[tuple[int, ScoredDocument]] = []
        for offset, value in records:
            try:
                scored.append((offset, decode(value, ScoredDocument)))
            except RecordError as error:
                log.warning("a scored document cannot be read and is passed over", partition=partition, offset=offset, reason=error.reason.value)
        await self._archive.put(partition, scored)
        for _, item in scored:
            self._heard(item)
