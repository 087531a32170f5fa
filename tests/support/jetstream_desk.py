"""A scraper of one Jetstream with everything real, and what came of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, cast

import msgspec
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.asyncio import Redis

from opinion.bus import Producer, read_all
from opinion.clock import epoch_ms
from opinion.codec import decode
from opinion.metrics import ScraperMetrics
from opinion.records import Document
from opinion.settings import Feed, Settings
from scrapers.cursor import Cursor, CursorStore
from scrapers.health import Health
from scrapers.scrape import Scraper, Shard
from scrapers.source import fitted
from scrapers.sources import jetstream
from tests.support.jetstream import EVERY_US, Event, post
from tests.support.workers import until

WAIT_S = 0.2
BEGAN_AT = datetime.now(UTC) - timedelta(minutes=30)
BEGAN_US = epoch_ms(BEGAN_AT) * 1000
"""These tests run by the clock on the wall: what happens on the network happened half an hour ago."""
NAME = "bluesky"


def at_us(number: int) -> int:
    return BEGAN_US + number * EVERY_US


def posts(*numbers: int) -> list[Event]:
    return [post(number, time_us=at_us(number)) for number in numbers]


class Desk(NamedTuple):
    """A scraper of one Jetstream, everything real, and what came of it."""

    settings: Settings
    redis: Redis
    registry: CollectorRegistry

    @property
    def feed(self) -> Feed:
        return self.settings.sources[0]

    @property
    def cursors(self) -> CursorStore:
        return CursorStore(self.redis, self.settings.names, source="jetstream")

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"yuqing_scraper_{name}_total", {"source": NAME, **labels}) or 0.0

    def ended(self, outcome: str) -> float:
        return self.metric("fetches", outcome=outcome)

    async def told(self, count: int, *, within_s: float = 40) -> list[Document]:
        """What Kafka holds once so many documents were published."""
        await until(lambda: self.metric("documents") >= count, within_s=within_s, every_s=0.05)
        return await self.documents()

    async def documents(self) -> list[Document]:
        return [decode(value, Document) for value in await read_all(self.settings.kafka or "", self.settings.names.documents)]

    async def health(self) -> Health:
        return msgspec.json.decode(cast("bytes", await self.redis.hget(self.settings.names.sources, NAME)), type=Health)

    @asynccontextmanager
    async def scraping(self, producer: Producer | None = None) -> AsyncIterator[None]:
        """A scraper runs meanwhile."""
        producer = producer or Producer(self.settings.kafka or "")
        running = asyncio.create_task(Scraper(self.settings, redis=self.redis, producer=producer, metrics=ScraperMetrics(self.registry), shard=Shard()).run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await producer.stop()


def desk_on(url: str, *, kafka: str, redis_url: str, redis: Redis, namespace: str, **options: str) -> Desk:
    """A desk for the Jetstream at an address; empty: the hosts by turns."""
    feed = Feed(source="jetstream", url=url, name=NAME, interval_s=WAIT_S, options={name: SecretStr(value) for name, value in options.items()})
    settings = Settings(kafka=kafka, redis=redis_url, namespace=namespace, sources=[feed], allow_private_sources=True, partitions=1)
    return Desk(settings, redis, CollectorRegistry())


def texts(events: Sequence[Event]) -> list[str]:
    return [event.record["text"] for event in events if event.record]


def once(documents: Sequence[Document], events: Sequence[Event]) -> bool:
    """Whether these are the posts, each of them once."""
    counts = Counter(document.text for document in documents)
    assert set(counts) == set(texts(events))
    assert set(counts.values()) == {1}
    return True


async def is_well(desk: Desk) -> bool:
    health = await desk.health()
    return health.failures == 0 and health.state in ("ok", "partial") and health.documents > 0


async def begin_at(desk: Desk, event: Event, *, back: timedelta = timedelta(0), rewound: bool = False) -> None:
    """The scraper has been here before, and published all that was before this event."""
    _, feed = fitted(desk.feed)
    us = event.time_us - back // timedelta(microseconds=1)
    await desk.cursors.commit(jetstream.SOURCE.place_key(feed), Cursor(place=f"{us},{us if rewound else 0},{event.seq}"), seen={}, at=BEGAN_AT)
