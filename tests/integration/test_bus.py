from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.partitioner import DefaultPartitioner

from opinion.bus import BATCH_BYTES, Producer, Record, create_topics, read_all
from opinion.errors import BusUnavailable
from opinion.names import Names
from tests.support.workers import until
from yuqing.embedded.kafka import EmbeddedKafka

pytestmark = pytest.mark.integration
PARTITIONS = 3


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
        await consumer.stop()
    return found
