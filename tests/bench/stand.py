"""A test stand: Kafka and Redis of its own in a temporary directory, and installations of the program on them, one per measurement."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis

from opinion.bus import Producer, create_topics
from opinion.codec import encode
from opinion.names import Names
from opinion.redis_client import connect
from opinion.settings import Settings, load_settings
from tests.bench.corpus import documents
from yuqing.embedded.kafka import EmbeddedKafka
from yuqing.embedded.process import free_port
from yuqing.embedded.redis import EmbeddedRedis

PUBLISHED_AT_ONCE = 1000


class Stand(NamedTuple):
    """Running servers."""

    folder: Path  # for logs and state
    settings: Settings  # name the servers
    redis: Redis
    pids: dict[str, int]  # of the servers

    def installation(self, name: str, **changes: object) -> Settings:
        """Settings of an installation with topics, keys and ports of its own."""
        own = {"namespace": f"bench-{name}", "worker_port": free_port(), "api_port": free_port(), "scraper_port": free_port()}
        return self.settings.model_copy(update=own | changes)

    async def publish(self, names: Names, *, count: int, seed: int) -> None:
        """Put `count` documents into Kafka."""
        kafka, _ = self.settings.require_servers()
        await create_topics(kafka, names, partitions=self.settings.partitions, replication=1)
        producer = Producer(kafka)
        records: list[tuple[bytes | None, bytes]] = [(document.doc_id.encode(), encode(document)) for document in documents(count, seed=seed)]
        for start in range(0, count, PUBLISHED_AT_ONCE):
            await producer.send_all(names.documents, records[start : start + PUBLISHED_AT_ONCE])
        await producer.stop()


@asynccontextmanager
async def stand() -> AsyncIterator[Stand]:
    """A stand; its servers and directory are gone afterwards. The model is read from where `yuqing prepare` unpacked it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="yuqing-bench-")))
        kafka, redis = EmbeddedKafka(folder / "kafka"), EmbeddedRedis(folder / "redis")
        for server in (kafka, redis):
            stack.push_async_callback(server.stop)
            await server.start()
        client = connect(redis.address)
        stack.push_async_callback(client.aclose)
        found = load_settings()
        settings = found.model_copy(update={"kafka": kafka.address, "redis": redis.address, "data_dir": folder, "model_dir": found.models_dir, "log_level": "warning"})
        assert kafka.pid is not None
        assert redis.pid is not None
        yield Stand(folder, settings, client, {"kafka": kafka.pid, "redis": redis.pid})
