"""Hosts that hang hold up nobody else: neither connections, nor lookups of names, nor the parser are what others wait for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from statistics import quantiles
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from opinion.addresses import is_public
from opinion.bus import Producer
from opinion.clock import monotonic_s
from opinion.metrics import ScraperMetrics
from opinion.names import Names
from opinion.redis_client import connect
from opinion.settings import Feed, Settings
from scrapers.scrape import FeedLoop, Scraper, Shard, run_scraper
from tests.support.feed_server import FeedServer, Reply, reply
from tests.support.workers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

INTERVAL_S = 1.0
FEEDS, STUCK = 60, 10
CROWD = 150
"""Stuck hosts in a crowd: more than a pool of connections usually holds."""


class Hosts(FeedServer):
    """Feeds on a host each, with something new on every request; `stuck` ones take the connection and say nothing."""

    def __init__(self, n_hosts: int) -> None:
        self.addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(n_hosts)]
        super().__init__(hosts=self.addresses)
        self.stuck: Sequence[str] = ()
        self.arrived: dict[str, list[float]] = defaultdict(list)

    def feed(self, address: str) -> Feed:
        """The feed of a host, named after it."""
        return Feed(url=f"http://{address}:{self.ports[address]}/rss", name=address, interval_s=INTERVAL_S)

    def _reply_to(self, path: str) -> Reply:
        host = self.requests[-1].headers["host"].partition(":")[0]
        self.arrived[host].append(monotonic_s())
        if host in self.stuck:
            return Reply(hangs=True)
        guid = f"{host}/{len(self.arrived[host])}"
        return reply(f"<rss version='2.0'><channel><item><guid>{guid}</guid><title>News {guid}</title></item></channel></rss>".encode())


class Timed(FeedLoop):
    """A loop that notes how long after its time each request was at its server, in seconds."""

    hosts: Hosts
    late_s: dict[str, list[float]]
    _due_s: float | None = None

    async def step(self) -> float:
        arrived = self.hosts.arrived[self.name]
        before = len(arrived)
        wait_s = await super().step()
        if self._due_s is not None and len(arrived) > before:
            self.late_s[self.name].append(arrived[before] - self._due_s)
        self._due_s = monotonic_s() + wait_s
        return wait_s


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture(autouse=True)
def internet(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.1.0.0/16 stands for it."""
    monkeypatch.setattr("opinion.addresses.is_public", lambda address: address.startswith("127.1.") or is_public(address))


@pytest.fixture
def settings(kafka_address: str, redis_url: str, names: Names) -> Settings:
    return Settings(kafka=kafka_address, redis=redis_url, namespace=names.namespace, scraper_port=0)


@asynccontextmanager
async def scraping(settings: Settings, redis: Redis, metrics: ScraperMetrics) -> AsyncIterator[None]:
    producer = Producer(settings.kafka or "")
    running = asyncio.create_task(Scraper(settings, redis=redis, producer=producer, metrics=metrics, shard=Shard()).run())
    try:
        yield
        assert not running.done()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await producer.stop()


def polled_often(late_s: dict[str, list[float]], addresses: Sequence[str]) -> bool:
    return all(len(late_s[address]) >= 4 for address in addresses)


async def test_hosts_that_hang_do_not_make_others_late(settings: Settings, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    p95_s = []
    for n_stuck in (0, STUCK):
        late: dict[str, list[float]] = defaultdict(list)
        async with Hosts(FEEDS) as site:
            site.stuck = site.addresses[FEEDS - n_stuck :]
            monkeypatch.setattr("scrapers.scrape.FeedLoop", type("Ours", (Timed,), {"hosts": site, "late_s": late}))
            free = site.addresses[: FEEDS - STUCK]
            sources = [site.feed(address) for address in site.addresses]
            async with scraping(settings.model_copy(update={"sources": sources}), redis, ScraperMetrics(CollectorRegistry())):
                await until(partial(polled_often, late, free), within_s=40)
            assert all(len(site.arrived[address]) == 1 for address in site.stuck)
        p95_s.append(quantiles([late_s for address in free for late_s in late[address]], n=20)[-1])
    assert p95_s[1] < p95_s[0] + 1.0, p95_s


async def test_a_crowd_of_hosts_that_hang_leaves_connections_for_the_others(settings: Settings, redis: Redis) -> None:
    metrics = ScraperMetrics(CollectorRegistry())
    async with Hosts(CROWD + STUCK) as site:
        free, site.stuck = site.addresses[:STUCK], site.addresses[STUCK:]
        async with scraping(settings.model_copy(update={"sources": [site.feed(address) for address in site.addresses]}), redis, metrics):
            await until(lambda: site.in_flight >= CROWD, within_s=20)
            before = {address: len(site.arrived[address]) for address in free}
            await until(lambda: all(len(site.arrived[address]) >= before[address] + 2 for address in free), within_s=10)
    assert sum(metrics.fetches.labels(address, "source_unavailable")._value.get() for address in free) == 0


async def test_names_that_nobody_resolves_do_not_make_others_wait(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = threading.Event()
    asked: list[str] = []
    async with Hosts(STUCK) as site:
        free = {f"free{number}.example": address for number, address in enumerate(site.addresses)}
        stuck = [f"stuck{number}.example" for number in range(4 * STUCK)]
        monkeypatch.setattr(socket, "getaddrinfo", lookup(free, asked=asked, resolved=resolved))
        sources = [site.feed(address).model_copy(update={"name": name, "url": f"http://{name}:{site.ports[address]}/rss"}) for name, address in free.items()]
        sources += [Feed(url=f"http://{name}/rss", name=name, interval_s=INTERVAL_S) for name in stuck]
        running = asyncio.create_task(run_scraper(settings.model_copy(update={"sources": sources})))
        try:
            await until(lambda: set(stuck) <= set(asked), within_s=20)
            before = {name: asked.count(name) for name in free}
            await until(lambda: all(asked.count(name) >= before[name] + 2 for name in free), within_s=10)
        finally:
            resolved.set()
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


def lookup(known: dict[str, str], *, asked: list[str], resolved: threading.Event) -> Callable[..., Any]:
    """A resolver that knows some names, and is slow to know nothing of others of `.example`."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if not str(host).endswith(".example"):
            return real(host, port, *arguments, **options)
        asked.append(host)
        if host not in known:
            resolved.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
        return real(known[host], port, *arguments, **options)

    return getaddrinfo
