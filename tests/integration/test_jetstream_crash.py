"""A scraper of a Jetstream as a process of its own: killed where it hurts, and fed what is heavy."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import psutil
import pytest
from redis.asyncio import Redis

from opinion.names import Names
from opinion.records import Op
from opinion.redis_client import connect
from scrapers.health import Health
from tests.support.jetstream import Jetstream, deletion, post
from tests.support.jetstream_desk import NAME, WAIT_S, Desk, at_us, begin_at, desk_on, once, posts, texts
from tests.support.proxy import Proxy
from tests.support.workers import environment, until
from yuqing.embedded.process import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

MOST_GROWTH_MB = 32


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def desk_of(kafka_address: str, redis_url: str, redis: Redis, names: Names) -> Any:
    return partial(desk_on, kafka=kafka_address, redis_url=redis_url, redis=redis, namespace=names.namespace)


@asynccontextmanager
async def scraper(desk: Desk, folder: Path, *, redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`yuqing scrape` as a process of its own."""
    kafka, _ = desk.settings.require_servers()
    (folder / "yuqing.toml").write_text(f'[[sources]]\nsource = "jetstream"\nname = "{NAME}"\nurl = "{desk.feed.url}"\ninterval_s = {WAIT_S}\n', encoding="utf-8")
    settings = {"YUQING_CONFIG": str(folder / "yuqing.toml"), "YUQING_SCRAPER_PORT": str(free_port()), "YUQING_ALLOW_PRIVATE_SOURCES": "true", "YUQING_PARTITIONS": "1"}
    variables = environment(kafka=kafka, redis_url=redis_url, names=desk.settings.names, **settings)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "yuqing", "scrape", env=variables)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_scraper_that_is_killed_before_kafka_has_a_batch_or_before_its_place_is_kept_loses_nothing(desk_of: Any, redis_url: str, tmp_path: Path) -> None:
    events = posts(*range(300))
    events += [deletion(300, of=events[5]), deletion(301, of=events[150])]
    async with Jetstream(events[:100]) as server, Proxy(redis_url) as proxy:
        desk = desk_of(server.url)
        await begin_at(desk, events[0])
        before_kafka, before_redis = b"HMGET", b"MULTI"
        for moment in (before_kafka, before_redis):
            proxy.mute(at=moment)
            async with scraper(desk, tmp_path, redis_url=proxy.url) as process:
                await asyncio.wait_for(proxy.muted.wait(), 40)
                found = len(await desk.documents())
                process.kill()
                await process.wait()
            proxy.unmute()
            assert found == (0 if moment == before_kafka else 100)
        await server.tell(*events[100:])
        async with scraper(desk, tmp_path, redis_url=proxy.url):
            await until(lambda: is_deleted(desk, 2), within_s=40)
        documents = await desk.documents()
    copies = Counter((document.doc_id, document.op, document.content_hash) for document in documents)
    written = {document.text: document.doc_id for document in documents if document.op is Op.CREATE}
    gone = {document.doc_id for document in documents if document.op is Op.DELETE}
    assert set(texts(events)) - {texts(events)[150]} <= set(written)
    assert len(gone) == 2
    assert written[texts(events)[5]] in gone  # it comes with its deletion this time, and nobody but Kafka knows that it was published
    assert len({(doc_id, op) for doc_id, op, _ in copies}) == len(copies)
    assert max(copies.values()) == 2
    assert sum(count == 2 for count in copies.values()) <= 100


async def is_deleted(desk: Desk, count: int) -> bool:
    return sum(document.op is Op.DELETE for document in await desk.documents()) >= count


async def test_long_messages_and_a_backlog_cost_little_memory(desk_of: Any, redis_url: str, tmp_path: Path) -> None:
    few = posts(*range(100))
    long = [post(number, "stocks " + "x" * size, time_us=at_us(number)) for number, size in enumerate([1_500_000] * 20 + [4_000_000] * 10, start=100)]
    backlog = posts(*range(200, 5_200))
    most_mb = 0.0
    async with Jetstream(few) as server:
        desk = desk_of(server.url)
        await begin_at(desk, few[0])
        async with scraper(desk, tmp_path, redis_url=redis_url) as process:

            async def has(count: int) -> bool:
                nonlocal most_mb
                most_mb = max(most_mb, rss_mb(process.pid))
                kept = await desk.redis.hget(desk.settings.names.sources, NAME)
                return kept is not None and msgspec.json.decode(cast("bytes", kept), type=Health).documents >= count

            await until(lambda: has(100), within_s=40, every_s=0.05)
            usual_mb, most_mb = most_mb, 0.0
            await server.tell(*long, *backlog)
            await until(lambda: has(5_100), within_s=60, every_s=0.02)
            health = await desk.health()
        documents = await desk.documents()
    assert once(documents, [*few, *backlog])
    assert health.state in ("ok", "partial")
    assert most_mb - usual_mb < MOST_GROWTH_MB, (usual_mb, most_mb)


def rss_mb(pid: int) -> float:
    """Of the scraper and its parser."""
    process = psutil.Process(pid)
    return sum(part.memory_info().rss for part in [process, *process.children()]) / 1e6
