"""A scraper in the test's own process whose intake is open, and a sender."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

import httpx
import msgspec
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.asyncio import Redis

from opinion.bus import Producer, read_all
from opinion.codec import decode
from opinion.metrics import ScraperMetrics
from opinion.names import Names
from opinion.records import Document
from opinion.redis_client import connect
from opinion.settings import Settings
from opinion.tasks import end
from scrapers.health import Health
from scrapers.intake import INTAKE, Inbox
from scrapers.intake_server import PATH
from scrapers.scrape import Scraper, Shard, _taking
from yuqing.embedded.process import free_port

TOKEN = "hush-hush"
JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}


class Desk(NamedTuple):
    """A scraper whose intake is open, and a sender with the right token."""

    client: httpx.AsyncClient
    settings: Settings
    registry: CollectorRegistry
    redis: Redis
    inbox: Inbox

    async def post(self, *rows: Any, **headers: str) -> httpx.Response:
        return await self.client.post(PATH, content=lines(*rows), headers=LINES | headers)

    async def published(self) -> list[Document]:
        """All that Kafka has, however often."""
        return [decode(value, Document) for value in await read_all(self.settings.kafka or "", self.settings.names.documents)]

    async def health(self, name: str = INTAKE) -> Health | None:
        value = await self.redis.hget(self.settings.names.sources, name)
        return msgspec.json.decode(cast("bytes", value), type=Health) if value else None

    def fetches(self, outcome: str) -> float | None:
        return self.registry.get_sample_value("yuqing_scraper_fetches_total", {"source": INTAKE, "outcome": outcome})

    async def raw(self, head: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection on which the start of a request was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.settings.intake_port)
        writer.write(head.encode())
        await writer.drain()
        return reader, writer


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "title": f"Profit fell {number}"} | changes


def settings_of(kafka: str, redis_url: str, names: Names, **changes: Any) -> Settings:
    given: dict[str, Any] = {"kafka": kafka, "redis": redis_url, "namespace": names.namespace, "intake_port": free_port(), "intake_token": SecretStr(TOKEN)}
    return Settings(**given | {"max_body_bytes": 100_000, "allow_private_sources": True} | changes)


@asynccontextmanager
async def scraping(settings: Settings) -> AsyncIterator[Desk]:
    """A scraper in this process, wired as `run_scraper` does."""
    kafka, redis_url = settings.require_servers()
    registry = CollectorRegistry()
    metrics, redis, producer = ScraperMetrics(registry), connect(redis_url), Producer(kafka)
    async with _taking(settings, metrics) as inbox:
        work = asyncio.create_task(Scraper(settings, redis=redis, producer=producer, metrics=metrics, shard=Shard(), inbox=inbox).run())
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.intake_port}", headers=headers, timeout=60, trust_env=False) as client:
            try:
                yield Desk(client, settings, registry, redis, inbox)
            finally:
                await end(work)
    await producer.stop()
    await redis.aclose()


def problem(answer: httpx.Response, status: int, words: str) -> httpx.Response:
    """The answer, which is one line that says what is wrong."""
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert (answer.status_code, told["status"]) == (status, status), told
    assert words in told["detail"], told
    assert "\n" not in told["detail"]
    assert TOKEN not in answer.text
    return answer
