"""From durable transitions to deliveries: a reader of `yuqing.alerts.v1` that enqueues, and moves on a while later."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from opinion.bus import partitions_of, stop_consumer
from opinion.clock import monotonic_s
from opinion.codec import decode
from opinion.errors import RecordError, YuqingError
from opinion.names import Names
from opinion.records import Alert

log = structlog.get_logger()

RETRY_S = 2.0
POLL_MS = 500
HELD_BACK_S = 5.0
"""A transition counts as read only so long after it was enqueued: a Redis that dies may forget its last second or two (`appendfsync everysec`)."""
COMMIT_AGAIN_S = 3600.0
"""A position is written so often even if nothing comes: brokers forget those that are not, after a week."""

Enqueue = Callable[[Alert], Awaitable[Any]]


async def announce(kafka: str, names: Names, *, enqueue: Enqueue) -> None:
    """Enqueue every transition, in order, until cancelled. At least once: ids of deliveries are derived, so repeats are harmless.

    All partitions are read without joining a group: who leads is settled elsewhere, and a new leader need not wait for a dead one's session to end.
    """
    while True:
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=names.deliver_group, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            partitions = await partitions_of(kafka, names.alerts)
            await consumer.start()
            consumer.assign([TopicPartition(names.alerts, partition) for partition in partitions])
            await _follow(consumer, enqueue)
        except (KafkaError, OSError, YuqingError) as error:
            log.warning("deliveries wait for Kafka or Redis", error=str(error))
            await asyncio.sleep(RETRY_S)
        finally:
            await stop_consumer(consumer)


async def _follow(consumer: AIOKafkaConsumer, enqueue: Enqueue) -> None:
    """Enqueue until the topic has more partitions than are read."""
    read = consumer.assignment()
    fresh: deque[tuple[float, TopicPartition, int]] = deque()  # when it was enqueued, and the position after it
    done: dict[TopicPartition, int] = {}
    again_s = monotonic_s() + COMMIT_AGAIN_S
    while len(read) >= len(consumer.partitions_for_topic(next(iter(read)).topic) or read):
        for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
            for record in records:
                await _enqueue(record, enqueue)
                fresh.append((monotonic_s(), partition, record.offset + 1))
        now_s, moved = monotonic_s(), False
        while fresh and fresh[0][0] <= now_s - HELD_BACK_S:
            _, partition, position = fresh.popleft()
            done[partition] = position
            moved = True
        if moved or (done and now_s >= again_s):
            await consumer.commit(done)
            again_s = now_s + COMMIT_AGAIN_S


async def _enqueue(record: ConsumerRecord, enqueue: Enqueue) -> None:
    try:
        alert = decode(record.value, Alert)
    except RecordError as error:
        log.warning("an alert record cannot be read and is passed over", offset=record.offset, reason=error.reason.value, error=str(error))
    else:
        await enqueue(alert)
