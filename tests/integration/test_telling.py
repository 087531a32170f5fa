from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry

from alerts.announce import HELD_BACK_S, announce
from alerts.channels.channel import Sender
from alerts.deliver import Deliverer
from alerts.delivery_queue import DeliveryQueue
from alerts.notifier import Notifier
from alerts.silence_store import SilenceStore
from alerts.subscriptions import Subscription, SubscriptionStore, new_key
from alerts.telling import Telling
from opinion.bus import Producer, create_topics
from opinion.clock import SystemClock
from opinion.codec import encode
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.records import AlertStatus, DeliveryOutcome
from opinion.redis_client import connect
from opinion.tasks import end
from tests.support.receiver import Receiver
from tests.support.records import alert
from tests.support.workers import until
from yuqing.embedded.redis import EmbeddedRedis

pytestmark = pytest.mark.integration


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    found = EmbeddedRedis(tmp_path / "redis")
    await found.start()
    yield found
    await found.stop()


async def killed_and_forgetful(server: EmbeddedRedis, *, kept_bytes: int) -> None:
    """SIGKILL to Redis, which comes back without what it wrote last."""
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await until(lambda: not server.alive(), within_s=10, every_s=0.01)
    os.truncate(server.data_dir / "appendonly.aof", kept_bytes)
    await server.start()


async def test_what_a_redis_forgot_that_died_is_told_all_the_same(kafka_address: str, server: EmbeddedRedis, names: Names) -> None:
    redis, clock, producer = connect(server.address), SystemClock(), Producer(kafka_address)
    subscriptions, queue = SubscriptionStore(redis, names), DeliveryQueue(redis, names, clock=clock)
    await create_topics(kafka_address, names, partitions=2, replication=1)
    async with Receiver() as receiver, httpx.AsyncClient(trust_env=False) as client:
        await subscriptions.put(Subscription(id="sub_1", name="desk", url=receiver.url, keys=[new_key()]))
        notifier = Notifier(redis, names, queue=queue, subscriptions=subscriptions, silences=SilenceStore(redis, names, clock=clock), inhibitions=[], clock=clock)
        deliverer = Deliverer(queue, subscriptions, sender=Sender(client, allow_private=True), clock=clock, metrics=AlerterMetrics(CollectorRegistry()))
        telling = asyncio.create_task(Telling(redis, names, kafka=kafka_address, notifier=notifier, deliverer=deliverer).run())

        async def settled() -> bool:
            return [item.outcome for item in (await queue.page()).deliveries] == [DeliveryOutcome.DELIVERED]

        kept_bytes = (server.data_dir / "appendonly.aof").stat().st_size
        await producer.send_all(names.alerts, [(b"al_1", encode(alert(1)))])
        await until(lambda: receiver.received, within_s=20, every_s=0.02)
        await until(settled, within_s=20, every_s=0.02)
        await killed_and_forgetful(server, kept_bytes=kept_bytes)
        await until(lambda: len(receiver.received) == 2, within_s=20, every_s=0.02)
        await producer.send_all(names.alerts, [(b"al_1", encode(alert(2, status=AlertStatus.RESOLVED)))])
        await until(lambda: len(receiver.received) == 3, within_s=20, every_s=0.02)
        await end(telling)
    first, again, last = receiver.received
    assert (first.headers["webhook-id"], first.body) == (again.headers["webhook-id"], again.body)
    assert [first.sequence, last.sequence] == [1, 2]
    await producer.stop()
    await redis.aclose()


async def test_transitions_are_read_on_from_where_they_are_surely_kept(kafka_address: str, names: Names) -> None:
    producer, heard = Producer(kafka_address), list[int]()
    await create_topics(kafka_address, names, partitions=1, replication=1)

    async def hear(told: object) -> None:
        heard.append(getattr(told, "sequence", 0))

    await producer.send_all(names.alerts, [(b"al_1", encode(alert(1))), (b"al_1", b"no alert"), (b"al_1", encode(alert(2)))])
    reading = asyncio.create_task(announce(kafka_address, names, enqueue=hear))
    await until(lambda: heard == [1, 2], within_s=20, every_s=0.02)
    await end(reading)
    reading = asyncio.create_task(announce(kafka_address, names, enqueue=hear))
    await until(lambda: heard == [1, 2, 1, 2], within_s=20, every_s=0.02)
    await asyncio.wait({reading}, timeout=HELD_BACK_S + 1)
    await producer.send_all(names.alerts, [(b"al_1", encode(alert(3)))])
    await until(lambda: heard[4:] == [3], within_s=20, every_s=0.02)
    await end(reading)
    reading = asyncio.create_task(announce(kafka_address, names, enqueue=hear))
    await until(lambda: heard[5:] == [3], within_s=20, every_s=0.02)
    await end(reading)
    await producer.stop()
