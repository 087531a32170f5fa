"""A Kafka topic of somebody else's, written to by a test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete

from opinion.codec import MAX_RECORD_BYTES
from opinion.records import Document
from tests.support.workers import until

Message = tuple[bytes | None, bytes | None]
"""Key and value."""


class Topic:
    """One topic of a broker."""

    def __init__(self, kafka: str, name: str, producer: AIOKafkaProducer, admin: AIOKafkaAdminClient) -> None:
        self.kafka = kafka
        self.name = name
        self._producer = producer
        self._admin = admin

    async def write(self, *values: Any, partition: int = 0) -> None:
        """Append messages: bytes as they are, all else as JSON."""
        await self.append([(None, value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False).encode()) for value in values], partition=partition)

    async def append(self, messages: Sequence[Message], *, partition: int = 0) -> None:
        """Append messages with their keys; those without a value are tombstones."""
        for sent in [await self._producer.send(self.name, value, key=key, partition=partition) for key, value in messages]:
            await sent

    async def forget(self, before: int, *, partition: int = 0) -> None:
        """Remove what lies before an offset, as retention does."""
        await self._admin.delete_records({TopicPartition(self.name, partition): RecordsToDelete(before_offset=before)})

    async def grow(self, partitions: int) -> None:
        """Have so many partitions."""
        await self._admin.create_partitions({self.name: NewPartitions(total_count=partitions)})

        async def writable() -> bool:
            return len(await self._producer.partitions_for(self.name)) == partitions

        await self._producer.client.force_metadata_update()
        await until(writable, within_s=20, every_s=0.1)

    async def make(self, *, partitions: int = 1) -> None:
        """Create it, and return once it can be written to."""
        await self._admin.create_topics([NewTopic(self.name, partitions, 1, topic_configs={"max.message.bytes": str(MAX_RECORD_BYTES)})])
        await until(lambda: self._leads(partitions), within_s=20, every_s=0.1)

    async def remove(self) -> None:
        """Delete it."""
        await self._admin.delete_topics([self.name])

    async def _leads(self, partitions: int) -> bool:
        (found,) = await self._admin.describe_topics([self.name])
        return len(found["partitions"]) == partitions and all(partition["leader"] >= 0 for partition in found["partitions"])


@asynccontextmanager
async def topic(kafka: str, name: str, *, partitions: int = 1) -> AsyncIterator[Topic]:
    """A topic with so many partitions; with none it is not made yet."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, max_request_size=MAX_RECORD_BYTES)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await producer.start()
    try:
        found = Topic(kafka, name, producer, admin)
        if partitions:
            await found.make(partitions=partitions)
        yield found
    finally:
        await producer.stop()
        await admin.close()


def row(number: int, **changes: Any) -> dict[str, Any]:
    """What a message says."""
    return {"id": number, "title": f"Bank {number} falls"} | changes


def numbers(documents: Sequence[Document]) -> list[int]:
    """Of which messages the documents are."""
    return sorted(int(document.native_id.rpartition(":")[2]) for document in documents)
