"""From durable transitions to deliveries: a consumer of `yuqing.alerts.v1` that enqueues and only then moves on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from opinion.codec import decode
from opinion.errors import RecordError, YuqingError
from opinion.names import Names
from opinion.records import Alert

log = structlog.get_logger()

RETRY_S = 2.0

Enqueue = Callable[[Alert], Awaitable[Any]]


async def announce(kafka: str, names: Names, *, enqueue: Enqueue) -> None:
    """Enqueue every transition, in order, until cancelled. At least once: ids of deliveries are derived, so repeats are harmless."""
    while True:
        consumer = AIOKafkaConsumer(
            names.alerts, bootstrap_servers=kafka, group_id=names.deliver_group, enable_auto_commit=False, auto_offset_reset="earliest", session_timeout_ms=10_000
        )
        try:
            await consumer.start()
            await _follow(consumer, enqueue)
        except (KafkaError, OSError, YuqingError) as error:
            log.warning("deliveries wait for Kafka or Redis", error=str(error))
            await asyncio.sleep(RETRY_S)
        finally:
            await consumer.stop()


async def _follow(consumer: AIOKafkaConsumer, enqueue: Enqueue) -> None:
    async for record in consumer:
        try:
            alert = decode(record.value, Alert)
        except RecordError as error:
            log.warning("an alert record cannot be read and is passed over", offset=record.offset, reason=error.reason.value, error=str(error))
        else:
            await enqueue(alert)
        await consumer.commit()
