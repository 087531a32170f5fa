"""A scraper of one source, with real Kafka and Redis, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

import msgspec
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.asyncio import Redis

from opinion.bus import Producer, read_all
from opinion.codec import decode
from opinion.metrics import ScraperMetrics
from opinion.names import Names
from opinion.records import Document
from opinion.settings import Feed, Settings
from scrapers.cursor import Cursor, CursorStore
from scrapers.health import Health
from scrapers.scrape import Scraper, Shard
from scrapers.source import Gap, fitted
from tests.support.workers import until

NAME = "desk"
INTERVAL_S = 0.2


class Desk(NamedTuple):
    """One source, scraped now and then."""

    settings: Settings
    redis: Redis
    registry: CollectorRegistry
    metrics: ScraperMetrics

    def metric(self, name: str, **labels: str) -> float:
        """A counter of the scraper, over all its runs."""
        return self.registry.get_sample_value(f"yuqing_scraper_{name}_total", {"source": NAME, **labels}) or 0.0

    def ended(self, outcome: str) -> float:
        """How many polls ended so."""
        return self.metric("fetches", outcome=outcome)

    async def told(self, count: int, *, within_s: float = 30) -> list[Document]:
        """All that was published, once so many were."""
        await until(lambda: self.metric("documents") >= count, within_s=within_s, every_s=0.05)
        return await self.documents()

    async def documents(self) -> list[Document]:
        """All that was published."""
        return [decode(value, Document) for value in await read_all(self.settings.kafka or "", self.settings.names.documents)]

    async def cursor(self) -> Cursor:
        """Where the source stands."""
        (feed,) = self.settings.sources
        source, feed = fitted(feed)
        return await CursorStore(self.redis, self.settings.names, source=source.name).load(source.place_key(feed))

    async def health(self) -> Health:
        """What is known of the source."""
        return msgspec.json.decode(cast("bytes", await self.redis.hget(self.settings.names.sources, NAME)), type=Health)

    async def gap(self, *, within_s: float = 30) -> Gap:
        """The gap that was last told, once one was."""
        await until(lambda: self.metric("gaps"), within_s=within_s, every_s=0.05)
        found: list[Gap] = []

        async def kept() -> bool:
            health = await self.health()
            found[:] = [health.gap] if health.gap is not None else []
            return bool(found)

        await until(kept, within_s=within_s, every_s=0.05)
        return found[0]

    @asynccontextmanager
    async def scraping(self) -> AsyncIterator[None]:
        """A scraper runs meanwhile."""
        producer = Producer(self.settings.kafka or "")
        running = asyncio.create_task(Scraper(self.settings, redis=self.redis, producer=producer, metrics=self.metrics, shard=Shard()).run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await producer.stop()


def desk(source: str, *, kafka: str, redis_url: str, redis: Redis, names: Names, **options: str) -> Desk:
    """A desk with that source."""
    feed = Feed(source=source, name=NAME, interval_s=INTERVAL_S, options={name: SecretStr(value) for name, value in options.items()})
    settings = Settings(kafka=kafka, redis=redis_url, namespace=names.namespace, sources=[feed], allow_private_sources=True, partitions=1)
    registry = CollectorRegistry()
    return Desk(settings, redis, registry, ScraperMetrics(registry))
