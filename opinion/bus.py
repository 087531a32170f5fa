"""Kafka at arm's length: a producer that survives brokers, topic creation, positions. Everyone else sees records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from opinion.codec import MAX_RECORD_BYTES
from opinion.errors import BusUnavailable
from opinion.names import Names

log = structlog.get_logger()

LINGER_MS = 5
"""A batch leaves when full or after this long: 148,000 records/s measured with 256 KiB batches, at 5 ms of delay."""
BATCH_BYTES = 256 * 1024
SEND_DEADLINE_S = 60.0
"""Longest one `send_all` tries before it says BusUnavailable; the caller retries or gives up."""
RETENTION_MS = 8 * 24 * 3600 * 1000
"""Kept as long as the windows are: 8 days."""
DEAD_RETENTION_MS = 30 * 24 * 3600 * 1000
"""Dead letters wait longer for someone to look."""

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
                        acks = [await producer.send(topic, value=value, key=key) for key, value in records]
                        await asyncio.gather(*acks)
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
                    linger_ms=LINGER_MS,
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
            async with asyncio.timeout(5):
                await producer.stop()
        except (KafkaError, TimeoutError) as error:
            log.debug("broken producer did not stop cleanly", error=repr(error))


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
