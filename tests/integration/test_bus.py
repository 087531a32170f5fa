from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource
from aiokafka.partitioner import DefaultPartitioner

from opinion.bus import BATCH_BYTES, SET_ON_TOPIC, Producer, Record, create_topics, read_all, stop_consumer
from opinion.errors import BusUnavailable
from opinion.names import Names
from tests.support.workers import until
from yuqing.embedded.kafka import EmbeddedKafka

pytestmark = pytest.mark.integration
PARTITIONS = 3
DAY_MS = 86_400_000


async def test_records_keep_their_partition_and_order_across_batches(kafka_address: str, names: Names) -> None:
    await create_topics(kafka_address, names, partitions=PARTITIONS, replication=1)
    records: list[Record] = [(b"key-%d" % (number % 7), b"%06d" % number + b"x" * 1500) for number in range(900)]
    records.insert(450, (b"key-0", b"longer than a batch" + b"x" * BATCH_BYTES))
    every = list(range(PARTITIONS))
    producer = Producer(kafka_address)
    await producer.send_all(names.documents, records)
    await producer.stop()
    assert await read_partitions(kafka_address, names.documents, count=len(records)) == {
        partition: [value for key, value in records if DefaultPartitioner()(key, every, every) == partition] for partition in every
    }


async def test_what_was_given_up_is_not_written_when_kafka_is_back(names: Names, tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path)
    address = await kafka.start()
    await create_topics(address, names, partitions=1, replication=1)
    rebuilds = []
    producer = Producer(address, on_rebuild=lambda: rebuilds.append(1), deadline_s=1)
    await producer.send_all(names.documents, [(b"k", b"before")])
    await kafka.stop()
    for _ in range(2):
        with pytest.raises(BusUnavailable):
            await producer.send_all(names.documents, [(b"k", b"given up")])
    await kafka.start()
    await until(lambda: sent(producer, names), within_s=60)
    assert await read_all(address, names.documents) == [b"before", b"after"]
    await producer.stop()
    await kafka.stop()
    assert rebuilds


async def sent(producer: Producer, names: Names) -> bool:
    try:
        await producer.send_all(names.documents, [(b"k", b"after")])
    except BusUnavailable:
        return False
    return True


async def read_partitions(kafka: str, topic: str, *, count: int) -> dict[int, list[bytes | None]]:
    found: dict[int, list[bytes | None]] = {partition: [] for partition in range(PARTITIONS)}
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        while sum(map(len, found.values())) < count:
            for partition, messages in (await consumer.getmany(timeout_ms=1000)).items():
                found[partition.partition] += [message.value for message in messages]
    finally:
        await stop_consumer(consumer)
    return found


async def test_a_retention_that_is_asked_for_holds_for_topics_that_exist_and_leaves_the_rest_of_them_alone(kafka_address: str, names: Names) -> None:
    await create_topics(kafka_address, names, partitions=1, replication=1)
    before = await settings_of(kafka_address, names)
    assert {topic: own["retention.ms"] for topic, own in before.items()} == {topic: str((30 if topic == names.dead else 8) * DAY_MS) for topic in names.topics}
    await create_topics(kafka_address, names, partitions=1, replication=1, retention=timedelta(days=2))
    after = await settings_of(kafka_address, names)
    assert after == {topic: own | ({} if topic == names.dead else {"retention.ms": str(2 * DAY_MS)}) for topic, own in before.items()}
    await create_topics(kafka_address, names, partitions=1, replication=1)
    assert await settings_of(kafka_address, names) == after


async def settings_of(kafka: str, names: Names) -> dict[str, dict[str, str]]:
    """What is set on each topic itself."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (answer,) = await admin.describe_configs([ConfigResource("topic", topic) for topic in names.topics])
    finally:
        await admin.close()
    return {topic: {name: value for name, value, _, source, *_ in entries if source == SET_ON_TOPIC} for _, _, _, topic, entries in answer.resources}
