"""Kafka at arm's length: a producer that survives brokers, topic creation, positions. Everyone else sees records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.partitioner import DefaultPartitioner

from opinion.codec import MAX_RECORD_BYTES
from opinion.errors import BusUnavailable
from opinion.names import Names
from opinion.tasks import end

log = structlog.get_logger()

BATCH_BYTES = 256 * 1024
"""Most that one batch of a partition holds, before compression; a longer record goes alone."""
SEND_DEADLINE_S = 60.0
"""Longest one `send_all` tries before it says BusUnavailable; the caller retries or gives up."""
RETENTION = timedelta(days=8)
"""Kept as long as the windows are, where the settings say nothing else."""
DEAD_RETENTION = timedelta(days=30)
"""Dead letters wait longer for someone to look."""
RETENTION_KEY = "retention.ms"
SET_ON_TOPIC = 1
"""What Kafka calls a setting of one topic (KIP-226), and no default of the brokers."""

READ_TIMEOUT_MS = 2000
STOP_WITHIN_S = 2.0
SERVER_RETRY_S = 2.0
FLUSH_WITHIN_S = 5.0
"""A producer that is thrown away may still hold what other tasks gave it."""

_partition_of = DefaultPartitioner()

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
        wait_s, producer = 0.2, None
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
            await self._discard(producer)  # it would still write what is given up here, and a caller that tries again would have it twice
            raise BusUnavailable(f"Kafka at {self._kafka} did not acknowledge {len(records)} records of {topic} within {self._deadline_s:g} s") from error

    async def _ready(self) -> AIOKafkaProducer:
        async with self._building:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._kafka,
                    enable_idempotence=True,
                    max_batch_size=BATCH_BYTES,
                    max_request_size=MAX_RECORD_BYTES,
                    compression_type="lz4",
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
            async with asyncio.timeout(FLUSH_WITHIN_S):
                await producer.flush()
                await producer.stop()
        except (KafkaError, TimeoutError) as error:
            log.debug("broken producer did not stop cleanly", error=repr(error))
            await _abandon(producer)


async def _abandon(producer: AIOKafkaProducer) -> None:
    """End a producer that cannot send what it holds. Its own `stop` waits until it can, and a producer left alone sends it when Kafka is back."""
    producer._closed = True  # noqa: SLF001
    await producer.client.close()
    await producer._sender.close()  # noqa: SLF001


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, started or not, within STOP_WITHIN_S; its connections are closed then.

    Where a request waits to be repeated, aiokafka's own `stop` raises a cancellation that nobody asked for and leaves connections open (0.14).
    """
    stopping = asyncio.create_task(_stopped(consumer), name="stop")  # of its own, so that what stops halfway in it is not us
    await asyncio.wait({stopping}, timeout=STOP_WITHIN_S)
    await end(stopping)


async def _stopped(consumer: AIOKafkaConsumer) -> None:
    try:
        await consumer.stop()
    except asyncio.CancelledError:
        await consumer._client.close()  # noqa: SLF001 - it cannot be stopped twice


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
        raise BusUnavailable(_why(f"read {topic}", kafka, error)) from error
    finally:
        await stop_consumer(consumer)
    return values


def _batched(producer: AIOKafkaProducer, records: Sequence[Record], *, partitions: Sequence[int]) -> list[tuple[int, Any]]:
    """The records as (partition, batch), each partition in order.

    Batches made here are acknowledged as one; aiokafka's `send` keeps a future per record, which costs 15 us more each (measured).
    """
    batches: list[tuple[int, Any]] = []
    filling: dict[int, Any] = {}
    for key, value in records:
        partition = _partition_of(key, partitions, partitions)
        batch = filling.get(partition)
        if batch is None or batch.append(key=key, value=value, timestamp=None) is None:
            batch = filling[partition] = producer.create_batch()
            batch.append(key=key, value=value, timestamp=None)  # the first is taken whatever its length
            batches.append((partition, batch))
    for batch in filling.values():
        batch.close()  # nothing more comes: it leaves without lingering
    return batches


async def wait_for_topics(kafka: str, names: Names, *, partitions: int, replication: int, retention: timedelta | None = None) -> None:
    """Return when the topics exist, and keep what they are told for as long as asked; waits for Kafka, however long, and says so when the reason changes."""
    said = ""
    while True:
        try:
            await create_topics(kafka, names, partitions=partitions, replication=replication, retention=retention)
        except BusUnavailable as error:
            if str(error) != said:
                log.warning("waiting for Kafka", error=str(error))
            said = str(error)
            await asyncio.sleep(SERVER_RETRY_S)
        else:
            return


async def create_topics(kafka: str, names: Names, *, partitions: int, replication: int, retention: timedelta | None = None) -> None:
    """Create the topics that are missing. Existing ones are left as they are, except that they follow `retention` where it is given.

    Dead letters have a term of their own.

    Errors:
        BusUnavailable: no broker answers, or it refused (retryable).
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        existing = set(await admin.list_topics())
        terms = {topic: DEAD_RETENTION if topic == names.dead else retention or RETENTION for topic in names.topics}
        missing = [
            NewTopic(
                name=topic,
                num_partitions=partitions,
                replication_factor=replication,
                topic_configs={"max.message.bytes": str(MAX_RECORD_BYTES), RETENTION_KEY: _ms(term)},
            )
            for topic, term in terms.items()
            if topic not in existing
        ]
        if missing:
            _raise_failures(await admin.create_topics(missing))
        if retention is not None:
            await _keep_for(admin, {topic: term for topic, term in terms.items() if topic in existing})
    except TopicAlreadyExistsError:
        pass
    except (KafkaError, OSError) as error:
        raise BusUnavailable(_why("create topics", kafka, error)) from error
    finally:
        await admin.close()


async def partitions_of(kafka: str, topic: str) -> list[int]:
    """The partitions of a topic.

    Errors:
        BusUnavailable: no broker answers, or there is no such topic (retryable).
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        (found,) = await admin.describe_topics([topic])
    except (KafkaError, OSError) as error:
        raise BusUnavailable(_why(f"look up {topic}", kafka, error)) from error
    finally:
        await admin.close()
    if not found["partitions"]:
        raise BusUnavailable(f"there is no topic {topic} at {kafka}")
    return sorted(partition["partition"] for partition in found["partitions"])


async def _keep_for(admin: AIOKafkaAdminClient, terms: Mapping[str, timedelta]) -> None:
    """Let topics keep what they are told for so long. What else was set on one by hand stays: the request that this client knows replaces all of it."""
    asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in terms]
    changed = []
    for answer in await admin.describe_configs(asked):
        for _, _, _, topic, entries in answer.resources:
            own = {name: value for name, value, _, source, *_ in entries if source == SET_ON_TOPIC}
            if own.get(RETENTION_KEY) != _ms(terms[topic]):
                changed.append(ConfigResource(ConfigResourceType.TOPIC, topic, own | {RETENTION_KEY: _ms(terms[topic])}))
    for answer in await admin.alter_configs(changed) if changed else []:
        for code, message, _, topic in answer.resources:
            if code:
                log.warning("a topic keeps its old retention", topic=topic, error=message or for_code(code).__name__)


def _ms(term: timedelta) -> str:
    return str(int(term.total_seconds() * 1000))


def _why(what: str, kafka: str, error: Exception) -> str:
    if isinstance(error, KafkaConnectionError):
        return f"no Kafka broker answers at {kafka}"
    return f"cannot {what} at {kafka}: {error}"


def _raise_failures(response: object) -> None:
    """Raise for the topics that the broker refused; one that another process made meanwhile is fine."""
    for topic, code, *message in getattr(response, "topic_errors", []):
        kind = for_code(code)
        if code and kind is not TopicAlreadyExistsError:
            raise BusUnavailable(f"Kafka refused to create {topic}: {message[0] if message else kind.__name__}")
