"""Where a backup and a restored state stand in Kafka. By time, not by offset: after a loss the log may be another one, whose offsets mean something else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

from opinion.bus import partitions_of
from opinion.clock import epoch_ms, from_epoch_ms, monotonic_s
from opinion.codec import MAX_RECORD_BYTES
from opinion.errors import BusUnavailable, ConfigError
from opinion.names import Names

MARGIN = timedelta(minutes=2)
"""Clocks of those who write to Kafka may differ by so much. What is read twice because of it changes nothing."""
READ_MS = 5_000
LOOK_S = 0.5

Offsets = dict[int, int]
"""Partition -> offset."""


class Reader(NamedTuple):
    """A topic and the consumer group that reads it."""

    topic: str
    group: str


def readers(names: Names) -> tuple[Reader, Reader, Reader]:
    """Of documents, of scored documents, of alerts."""
    return (
        Reader(names.documents, names.worker_group),
        Reader(names.scored, names.worker_group),
        Reader(names.alerts, names.deliver_group),
    )


async def since(kafka: str, reader: Reader, *, now: datetime, read: Mapping[int, int] | None = None) -> datetime:
    """From when on a record of the topic may not have had its effect: the time of the first that is not read yet, or a while ago.

    What is read is what the group says, or `read`.

    Errors:
        BusUnavailable: Kafka does not answer (retryable).
    """
    async with _consumer(kafka, reader) as (consumer, partitions):
        ends, begins = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
        oldest = now
        for partition in partitions:
            place = max((await consumer.committed(partition) if read is None else read.get(partition.partition)) or 0, begins[partition])
            if place >= ends[partition]:
                continue
            consumer.seek(partition, place)
            records = (await consumer.getmany(partition, timeout_ms=READ_MS, max_records=1)).get(partition, [])
            oldest = min([oldest, *(from_epoch_ms(record.timestamp) for record in records)])
        return oldest - MARGIN


async def offsets_at(kafka: str, reader: Reader, at: datetime) -> Offsets:
    """The first offset of every partition whose record is not older; the end where there is none.

    Errors:
        BusUnavailable: Kafka does not answer (retryable).
    """
    async with _consumer(kafka, reader) as (consumer, partitions):
        ends = await consumer.end_offsets(partitions)
        found = await consumer.offsets_for_times(dict.fromkeys(partitions, epoch_ms(at)))
        return {partition.partition: ends[partition] if found.get(partition) is None else found[partition].offset for partition in partitions}


async def committed(kafka: str, reader: Reader) -> Offsets:
    """How far the group has read, of the partitions where it has.

    Errors:
        BusUnavailable: Kafka does not answer (retryable).
    """
    async with _consumer(kafka, reader) as (consumer, partitions):
        found = {partition.partition: await consumer.committed(partition) for partition in partitions}
        return {partition: cast("int", offset) for partition, offset in found.items() if offset is not None}


async def commit(kafka: str, reader: Reader, offsets: Mapping[int, int]) -> None:
    """Let the group go on from these offsets.

    Errors:
        BusUnavailable: Kafka does not answer (retryable), or somebody is in the group.
    """
    if not offsets:
        return
    async with _consumer(kafka, reader) as (consumer, _):
        await consumer.commit({TopicPartition(reader.topic, partition): offset for partition, offset in offsets.items()})


async def records_from(kafka: str, reader: Reader, offsets: Mapping[int, int]) -> list[tuple[int, int, bytes]]:
    """Partition, offset and value of all records from these offsets on, each partition in order.

    Errors:
        BusUnavailable: Kafka does not answer (retryable).
    """
    found: list[tuple[int, int, bytes]] = []
    async with _consumer(kafka, reader) as (consumer, partitions):
        ends = await consumer.end_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, offsets[partition.partition])
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for partition, records in (await consumer.getmany(timeout_ms=READ_MS)).items():
                found += [(partition.partition, record.offset, record.value or b"") for record in records]
    return found


async def wait_until_alone(kafka: str, names: Names, *, within_s: float, echo: Callable[[str], None]) -> None:
    """Return when no worker is in its group any more: Kafka counts one that was killed among it for a while.

    Errors:
        ConfigError: there still is one after so long.
        BusUnavailable: Kafka does not answer (retryable).
    """
    until_s, said = monotonic_s() + within_s, False
    while (members := await _members(kafka, names.worker_group)) != 0:
        if monotonic_s() > until_s and members is None:
            raise BusUnavailable(f"Kafka at {kafka} does not say who works: it has no coordinator of groups")
        if monotonic_s() > until_s:
            raise ConfigError("a worker runs: stop all processes first, then restore")
        if members and not said:
            echo(f"waiting for up to {within_s:.0f} s: a worker runs, or ended just now")
            said = True
        await asyncio.sleep(LOOK_S)


async def _members(kafka: str, group: str) -> int | None:
    """How many are in a group; None while a Kafka that was started a moment ago does not know."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    try:
        await admin.start()
        (answer,) = await admin.describe_consumer_groups([group])
    except GroupCoordinatorNotAvailableError:
        return None
    except (KafkaError, OSError) as error:
        raise BusUnavailable(f"Kafka at {kafka} does not say who works: {error}") from error
    finally:
        await admin.close()
    return sum(len(found[5]) for found in answer.groups)


@asynccontextmanager
async def _consumer(kafka: str, reader: Reader) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """A consumer of all partitions that speaks for the group without being in it."""
    numbers = await partitions_of(kafka, reader.topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=reader.group, enable_auto_commit=False, auto_offset_reset="earliest", max_partition_fetch_bytes=MAX_RECORD_BYTES)
    try:
        await consumer.start()
        partitions = [TopicPartition(reader.topic, number) for number in numbers]
        consumer.assign(partitions)
        yield consumer, partitions
    except (KafkaError, OSError) as error:
        raise BusUnavailable(f"Kafka at {kafka} does not say where {reader.topic} stands: {error}") from error
    finally:
        await consumer.stop()
