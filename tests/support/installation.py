"""A whole installation for tests: a worker with the null judge and an alerter as they run for real, on given servers, started and stopped as asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from alerts.alerter import run_alerter
from alerts.archive import Archive
from alerts.delivery_queue import DeliveryQueue
from alerts.silence_store import SilenceStore
from alerts.store import AlertStore
from alerts.subscriptions import Match, Subscription, SubscriptionStore
from opinion.bus import Producer, create_topics
from opinion.clock import SystemClock
from opinion.codec import encode
from opinion.names import Names
from opinion.records import Document
from opinion.settings import Settings
from opinion.tasks import end
from opinion.windows import WindowStore
from tests.support.workers import environment, until, worker
from yuqing.embedded.process import free_port


class Installation:
    """One namespace on Kafka and Redis, and a data directory."""

    def __init__(self, *, kafka: str, redis_url: str, redis: Redis, names: Names, folder: Path) -> None:
        self.kafka, self.redis_url, self.redis, self.names, self.folder = kafka, redis_url, redis, names, folder
        folder.mkdir(exist_ok=True)
        self.settings = Settings(
            kafka=kafka, redis=redis_url, namespace=names.namespace, data_dir=folder, api_port=free_port(), allow_private_webhooks=True, tick_interval_s=0.5, session_timeout_s=6
        )
        self.alerts = AlertStore(redis, names)
        self.windows = WindowStore(redis, names)
        self.subscriptions = SubscriptionStore(redis, names)
        self.silences = SilenceStore(redis, names, clock=SystemClock())
        self.queue = DeliveryQueue(redis, names, clock=SystemClock())

    async def subscribe(self, name: str, *, url: str, key: str, **fields: Any) -> None:
        """Add a receiver of companies."""
        await self.subscriptions.put(Subscription(id=f"sub_{name}", name=name, url=url, keys=[key], match=Match(subjects=["entity:*"]), **fields))

    async def publish(self, documents: Sequence[Document]) -> None:
        """As a scraper does."""
        await create_topics(self.kafka, self.names, partitions=4, replication=1)
        producer = Producer(self.kafka)
        await producer.send_all(self.names.documents, [(item.doc_id.encode(), encode(item)) for item in documents])
        await producer.stop()

    @asynccontextmanager
    async def running(self, *, alerter: bool = True) -> AsyncIterator[httpx.AsyncClient]:
        """A worker and, unless told otherwise, an alerter; its API, asked by who may do everything."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(worker(environment(kafka=self.kafka, redis_url=self.redis_url, names=self.names)))
            if alerter:
                task = asyncio.create_task(run_alerter(self.settings))
                stack.push_async_callback(end, task)
                await until(lambda: (self.folder / "api-token").exists() or task.done(), within_s=20)
            token = (self.folder / "api-token").read_text().strip() if alerter else ""
            api = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.settings.api_port}", headers={"authorization": f"Bearer {token}"}, trust_env=False, timeout=20)
            yield await stack.enter_async_context(api)

    async def counted(self, subject: str) -> int:
        """Documents in the panes of a subject."""
        return sum(pane.counts.documents for pane in await self.windows.panes(subject))

    async def quoted(self, subject: str) -> list[str]:
        """Ids of the documents that alerts on a subject could quote."""
        now = datetime.now(UTC)
        return [item.doc_id for item in await self.windows.evidence(subject, start_at=now - timedelta(days=3), end_at=now + timedelta(hours=1))]

    async def archived(self, doc_id: str) -> bool:
        """Whether the archive shows a document."""
        archive = Archive(self.folder / "documents.db", keep=timedelta(days=14))
        try:
            return await archive.get(doc_id) is not None
        finally:
            archive.close()

    async def wipe(self) -> None:
        """Lose everything that Redis holds."""
        async for key in self.redis.scan_iter(match=f"{self.names.prefix}*"):
            await self.redis.delete(key)
