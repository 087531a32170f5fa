"""Kafka at arm's length: a producer that survives brokers, topic creation, positions. Everyone else sees records."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from opinion.codec import MAX_RECORD_BYTES
from opinion.errors import BusUnavailable
from opinion.names import Names

log = structlog.get_logger()

BATCH_BYTES = 256 * 1024
"""Most that one batch of a partition holds, before compression; a longer record goes alone."""
COMPRESSION = "zstd"
"""Of 160 documents: 0.2 ms and 24 % of the bytes, where aiokafka's lz4 (level 9) takes 1 ms for 31 % (measured)."""
SEND_DEADLINE_S = 60.0
"""Longest one `send_all` tries before it says BusUnavailable; the caller retries or gives up."""
RETENTION_MS = 8 * 24 * 3600 * 1000
"""Kept as long as the windows are: 8 days."""
DEAD_RETENTION_MS = 30 * 24 * 3600 * 1000
"""Dead letters wait longer for someone to look."""

READ_TIMEOUT_MS = 2000

_MURMUR = 0x5BD1E995

Record = tuple[bytes | None, bytes]
"""Key and value."""


class Producer:
    """An idempotent Kafka producer that is built anew when it breaks.

    aiokafka's idempotent producer stays broken after some broker outages (its issue 1017: OutOfOrderSequenceNumber for
    ever), so any fatal error throws it away and the batch is sent again; ids derived from content make copies harmless.

    new ──start()──▶ ready ◀──rebuild── broken      ready ──stop()──▶ flushed
    """

    def __init__(self, kafka: str, *, on_rebuild: Callable[[], None] | None = None, deadline_s: float = SEND_DEADLINE_S) -> None:
        self._kafka = kafka
        self._on_rebuild = on_rebuild
        self._deadline_s = deadline_s
        self._producer: AIOKafkaProducer | None = None
        self._building = asyncio.Lock()

    async def start(self) -> None:
        """Connect.

        Errors:
            BusUnavailable: no broker answers (retryable).
        """
        await self._ready()

    async def stop(self) -> None:
        """Send what waits, then disconnect."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def send_all(self, topic: str, records: Sequence[Record]) -> None:
        """Send the records, each partition in order; returns when Kafka has acknowledged every one.

        Errors:
            BusUnavailable: not all were acknowledged within the deadline (retryable; some may have been written).
        """
        if not records:
            return
        wait_s = 0.2
        try:
            async with asyncio.timeout(self._deadline_s):
                while True:
                    producer = None
                    try:
                        producer = await self._ready()
                        batches = _batched(producer, records, partitions=sorted(await producer.partitions_for(topic)))
                        await asyncio.gather(*[await producer.send_batch(batch, topic, partition=partition) for partition, batch in batches])
                    except (KafkaError, BusUnavailable) as error:
                        log.warning("kafka send failed, trying again", topic=topic, error=repr(error))
                        await self._discard(producer)
                        await asyncio.sleep(wait_s)
                        wait_s = min(wait_s * 2, 5.0)
                    else:
                        return
        except TimeoutError as error:
            raise BusUnavailable(f"Kafka at {self._kafka} did not acknowledge {len(records)} records of {topic} within {self._deadline_s:g} s") from error

    async def _ready(self) -> AIOKafkaProducer:
        async with self._building:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._kafka,
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES,
                    max_request_size=MAX_RECORD_BYTES,
                    compression_type=COMPRESSION,
                )
                try:
                    await producer.start()
                except (KafkaError, OSError) as error:
                    await producer.stop()
                    raise BusUnavailable(f"no Kafka broker answers at {self._kafka}") from error
                self._producer = producer
            return self._producer

    async def _discard(self, producer: AIOKafkaProducer | None) -> None:
        """Throw a broken producer away, unless another task already did."""
        async with self._building:
            if producer is not self._producer:
                return
            self._producer = None
        if producer is None:
            return
        if self._on_rebuild is not None:
            self._on_rebuild()
        try:
            async with asyncio.timeout(5):
                await producer.stop()
        except (KafkaError, TimeoutError) as error:
            log.debug("broken producer did not stop cleanly", error=repr(error))


async def read_all(kafka: str, topic: str) -> list[bytes]:
    """The value of every record that the topic holds now, each partition in order.

    Errors:
        BusUnavailable: no broker answers (retryable).
    """
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False, max_partition_fetch_bytes=MAX_RECORD_BYTES)
    values: list[bytes] = []
    try:
        await consumer.start()
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=READ_TIMEOUT_MS)).values():
                values += [record.value or b"" for record in records]
    except (KafkaError, OSError) as error:
        raise BusUnavailable(f"cannot read {topic} at {kafka}: {error}") from error
    finally:
        await consumer.stop()
    return values


def _batched(producer: AIOKafkaProducer, records: Sequence[Record], *, partitions: Sequence[int]) -> list[tuple[int, Any]]:
    """The records as (partition, batch), each partition in order.

    Batches made here are acknowledged as one; aiokafka's `send` keeps a future per record, which costs four times as much (bench pipeline).
    """
    batches: list[tuple[int, Any]] = []
    filling: dict[int, Any] = {}
    for key, value in records:
        partition = partitions[partition_index(key, len(partitions))]
        batch = filling.get(partition)
        if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
            batch = filling[partition] = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)  # the first is taken whatever its length
            batches.append((partition, batch))
    for batch in filling.values():
        batch.close()  # nothing more comes: it leaves without lingering
    return batches


def partition_index(key: bytes | None, count: int) -> int:
    """Which of `count` partitions a key belongs to: as every Kafka client chooses by default, so that producers agree. Any for no key.

    Source: murmur2 with Kafka's seed (org.apache.kafka.common.utils.Utils), four bytes at a time.

    >>> partition_index(b"feed:18c17418f5ad82f063ef70de0bd2d3e7", 4)
    1
    """
    if key is None:
        return random.randrange(count)  # noqa: S311 - spreads load, guards nothing
    whole = len(key) // 4
    mixed = 0x9747B28C ^ len(key)
    for word in struct.unpack_from(f"<{whole}I", key):
        scrambled = word * _MURMUR & 0xFFFFFFFF
        mixed = (mixed * _MURMUR & 0xFFFFFFFF) ^ ((scrambled ^ scrambled >> 24) * _MURMUR & 0xFFFFFFFF)
    if len(key) % 4:
        mixed = (mixed ^ int.from_bytes(key[whole * 4 :], "little")) * _MURMUR & 0xFFFFFFFF
    mixed = (mixed ^ mixed >> 13) * _MURMUR & 0xFFFFFFFF
    return ((mixed ^ mixed >> 15) & 0x7FFFFFFF) % count


async def create_topics(kafka: str, names: Names, *, partitions: int, replication: int) -> None:
    """Create the topics that are missing; existing ones are left as they are.

    Errors:
        BusUnavailable: no broker answers, or it refused (retryable).
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        missing = [
            NewTopic(
                name=topic,
                num_partitions=partitions,
                replication_factor=replication,
                topic_configs={"max.message.bytes": str(MAX_RECORD_BYTES), "retention.ms": str(DEAD_RETENTION_MS if topic == names.dead else RETENTION_MS)},
            )
            for topic in names.topics
            if topic not in existing
        ]
        if missing:
            _raise_failures(await admin.create_topics(missing))
    except TopicAlreadyExistsError:
        pass
    except (KafkaError, OSError) as error:
        raise BusUnavailable(f"cannot create topics at {kafka}: {error}") from error
    finally:
        await admin.close()


def _raise_failures(response: object) -> None:
    """Raise for the topics that the broker refused; one that another process made meanwhile is fine."""
    for topic, code, *message in getattr(response, "topic_errors", []):
        kind = for_code(code)
        if code and kind is not TopicAlreadyExistsError:
            raise BusUnavailable(f"Kafka refused to create {topic}: {message[0] if message else kind.__name__}")
