"""The scraper process: every feed in a loop of its own, none of which can stop the others."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Protocol

import structlog
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from opinion.bus import Producer, wait_for_topics
from opinion.clock import Clock, SystemClock, monotonic_s
from opinion.errors import BusUnavailable, ConfigError, Reason, SourceError, SourceRateLimited, StoreUnavailable
from opinion.metrics import ScraperMetrics
from opinion.metrics_server import MetricsServer
from opinion.names import digest
from opinion.records import Document
from opinion.redis_client import connect
from opinion.settings import Feed, Settings
from opinion.tasks import end, together
from scrapers.cursor import CursorStore
from scrapers.default_feeds import expanded
from scrapers.drop import DROP, LOOK_S, DropPoller, drop_of
from scrapers.fetch import Fetcher
from scrapers.health import Health, HealthStore, after_failure, after_success, settled, state_of
from scrapers.intake import INTAKE, RETRY_S, Inbox, IntakePoller, intake_of
from scrapers.listen import Connection, listen
from scrapers.parsing import Parser
from scrapers.poll import Polled, Poller
from scrapers.publish import Publisher
from scrapers.schedule import first_wait_s, next_wait_s
from scrapers.source import Ask, Stream, fitted
from scrapers.sources.feed import NAME
from scrapers.stream import StreamPoller
from scrapers.urls import host_of, masked

log = structlog.get_logger()

SERVER_RETRY_S = 2.0
MOST_LOOKUPS = 128
"""Names looked up at once, each in a thread, which a dead name server holds for half a minute; Python's own measure is four and one per core."""


class Shard(Struct, frozen=True):
    """Which part of the feeds a process polls: number `part` of `parts`, from 1."""

    part: int = 1
    parts: int = 1

    def holds(self, feed: Feed) -> bool:
        """Whether the feed is of this part."""
        return int(digest(feed.key), 16) % self.parts == self.part - 1


def shard_of(text: str) -> Shard:
    """The shard that `i/n` names.

    Errors:
        ConfigError: not of that form, or outside 1..n.

    >>> shard_of("2/3")
    Shard(part=2, parts=3)
    """
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise ConfigError(f"--shard {text!r} is not of the form i/n with 1 <= i <= n, e.g. 1/3")
    return Shard(int(part), int(parts))


def named(feeds: Sequence[Feed]) -> dict[str, Feed]:
    """The feeds, `default` being many, by the names that people see: as configured, else the host; a number tells feeds of one name apart.

    >>> list(named([Feed(url="https://a.example/1"), Feed(url="https://a.example/2")]))
    ['a.example', 'a.example#2']
    """
    names: Counter[str] = Counter()
    found: dict[str, Feed] = {}
    for feed in expanded(feeds):
        name = feed.name or (host_of(feed.url) if feed.source == "feed" else feed.source)
        names[name] += 1
        found[name if names[name] == 1 else f"{name}#{names[name]}"] = feed
    return found


class Polling(Protocol):
    """What a loop asks for news."""

    async def poll(self, feed: Feed) -> Polled:
        """Publish what is new; the errors of `Poller.poll`."""
        ...


class FeedLoop:
    """One feed: polled, counted, its health kept, until cancelled."""

    def __init__(
        self, name: str, feed: Feed, *, poller: Polling, store: HealthStore, metrics: ScraperMetrics, interval_s: float, clock: Clock, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self.name = self._name = name
        self._feed = feed
        self._poller = poller
        self._store = store
        self._metrics = metrics
        self._interval_s = feed.interval_s or (interval_s if feed.source == NAME else fitted(feed)[0].manners.interval_s)
        self._clock = clock
        self._sleep = sleep
        self.health = Health(since=clock.now(), url=masked(feed.url) if feed.url else feed.source)
        metrics.start_source(name)

    async def run(self) -> None:
        """Poll for ever. Whatever one poll fails with, the next one comes."""
        await self._restore()
        await self._sleep(first_wait_s(self._feed.key, self._interval_s))
        while True:
            await self._sleep(await self.step())

    async def step(self) -> float:
        """Poll once; returns the wait until the next, in seconds."""
        reason: Reason | None = None
        asked_s, hint_s, at_once = None, 0.0, False
        began_s = monotonic_s()
        try:
            polled = await self._poller.poll(self._feed)
        except (BusUnavailable, StoreUnavailable) as error:
            log.warning("not published, polling again", source=self._name, error=str(error))
            self._metrics.failures.labels(error.reason.value).inc()
            return SERVER_RETRY_S
        except SourceError as error:
            reason, asked_s = error.reason, error.wait_s if isinstance(error, SourceRateLimited) else None
            self._failed(error.reason, str(error))
        except Exception as error:
            reason = Reason.UNEXPECTED
            log.exception("a poll failed in a way nobody thought of", source=self._name)
            self._failed(reason, f"{type(error).__name__} (see the log)")
        else:
            hint_s, at_once = polled.hinted_s, polled.at_once
            self._succeeded(polled)
        self._metrics.fetch_duration.labels(self._name).observe(monotonic_s() - began_s)
        jitter = random.uniform(-1, 1)  # noqa: S311 - not a secret
        wait_s = 0.0 if at_once else next_wait_s(self._interval_s, jitter=jitter, failures=self.health.failures, reason=reason, asked_s=asked_s, hinted_s=hint_s)
        await self._keep(wait_s)
        return wait_s

    def _succeeded(self, polled: Polled) -> None:
        self._metrics.fetches.labels(self._name, polled.outcome).inc()
        problems = polled.problems
        dropped = None if problems is None else sum(problem.reason != "duplicate" for problem in problems)
        for problem in problems or ():
            self._metrics.dropped.labels(self._name, problem.reason).inc()
        now = self._clock.now()
        if polled.published:
            self._metrics.documents.labels(self._name).inc(len(polled.published))
            self._metrics.last_document.labels(self._name).set(now.timestamp())
        if self.health.failures:
            log.info("the source answers again", source=self._name)
        if polled.gap is not None:
            log.warning("the source no longer has what came meanwhile", source=self._name, since=polled.gap.since, until=polled.gap.until)
            self._metrics.gaps.labels(self._name).inc()
        self.health = after_success(
            self.health, at=now, published=len(polled.published), dropped=dropped, gap=polled.gap, langs={_language(document) for document in polled.published}
        )

    def _failed(self, reason: Reason, message: str) -> None:
        self._metrics.fetches.labels(self._name, reason.value).inc()
        if message != self.health.last_error:
            log.warning("the source gave nothing", source=self._name, reason=reason.value, error=message)
        self.health = after_failure(self.health, at=self._clock.now(), reason=reason, message=message)

    async def _restore(self) -> None:
        try:
            known = await self._store.load(self._name, at=self._clock.now())
        except StoreUnavailable as error:
            log.warning("health not restored", source=self._name, error=str(error))
        else:
            self.health = replace(known, url=self.health.url)

    async def _keep(self, wait_s: float) -> None:
        state = state_of(self.health, at=self._clock.now(), interval_s=self._interval_s)
        before, self.health = self.health.state, replace(settled(self.health, state), interval_s=round(wait_s, 1))
        if self.health.state != before:
            log.warning("the source's state changed", source=self._name, before=before, now=self.health.state, error=self.health.last_error)
        self._metrics.set_state(self._name, self.health.state)
        try:
            await self._store.save(self._name, self.health)
        except StoreUnavailable as error:
            log.warning("health not kept", source=self._name, error=str(error))


class Scraper:
    """All feeds of one shard.

    run() until cancelled
    """

    def __init__(self, settings: Settings, *, redis: Redis, producer: Producer, metrics: ScraperMetrics, shard: Shard, inbox: Inbox | None = None) -> None:
        feeds = named(settings.sources)
        for feed in feeds.values():
            fitted(feed)  # a wrong one is told at the start
        self._feeds = {name: feed for name, feed in feeds.items() if shard.holds(feed)}
        self._drop = drop_of(settings) if settings.drop_dir is not None and shard.part == 1 else None
        self._inbox, self._intake = inbox, intake_of(settings)
        self._configured = set(feeds) | ({DROP} if settings.drop_dir is not None else set()) | ({INTAKE} if settings.intake_port is not None else set())
        self._settings = settings
        self._redis = redis
        self._producer = producer
        self._metrics = metrics
        self._health = HealthStore(redis, settings.names)

    async def run(self) -> None:
        """Poll every feed until cancelled."""
        settings, clock = self._settings, self._settings.clock()
        kafka, _ = settings.require_servers()
        await wait_for_topics(kafka, settings.names, partitions=settings.partitions, replication=settings.replication, retention=settings.retention)
        await self._forget()
        if not self._feeds and self._drop is None and self._inbox is None:
            log.warning("no sources to poll: set YUQING_SOURCES, or `sources` in yuqing.toml, to addresses of feeds")
        cursors = CursorStore(self._redis, settings.names, source=NAME)
        async with Fetcher(settings, clock=clock) as fetcher:
            publisher = Publisher(self._producer, cursors, settings.names)
            poller = Poller(fetcher, Parser(), publisher, clock=clock)
            pushed = Parser()  # of its own: a feed that hangs its parser must not hold up what is pushed to us
            streams = {name: StreamPoller(self._listen, pushed, publisher, clock=clock) for name, feed in self._feeds.items() if fitted(feed)[0].stream is not None}
            loops = [
                FeedLoop(
                    name,
                    feed,
                    poller=streams.get(name, poller),
                    store=self._health,
                    metrics=self._metrics,
                    interval_s=settings.poll_interval_s,
                    clock=SystemClock(),
                    sleep=asyncio.sleep,
                )
                for name, feed in self._feeds.items()
            ]
            if self._drop is not None:
                drop = DropPoller(settings, Parser(), publisher, clock=clock)
                loops.append(FeedLoop(DROP, self._drop, poller=drop, store=self._health, metrics=self._metrics, interval_s=LOOK_S, clock=SystemClock(), sleep=asyncio.sleep))
            if self._inbox is not None:
                intake = IntakePoller(settings, self._inbox, Parser(), publisher)
                loops.append(FeedLoop(INTAKE, self._intake, poller=intake, store=self._health, metrics=self._metrics, interval_s=RETRY_S, clock=SystemClock(), sleep=asyncio.sleep))
            try:
                await together([("idle", _for_ever()), *[(f"poll {loop.name}", loop.run()) for loop in loops]])
            finally:
                await asyncio.gather(*[stream.close() for stream in streams.values()], return_exceptions=True)

    async def _listen(self, ask: Ask, stream: Stream) -> Connection:
        return await listen(ask, settings=self._settings, clock=self._settings.clock(), too_old=stream.too_old)

    async def _forget(self) -> None:
        try:
            await self._health.keep_only(self._configured)
        except StoreUnavailable as error:
            log.warning("feeds that are configured no more stay listed", error=str(error))


def _language(document: Document) -> str:
    found = document.lang.partition("-")[0]
    return found if found in ("en", "zh") else "other"


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def run_scraper(settings: Settings, *, shard: str | None = None) -> int:
    """Scrape until SIGTERM or SIGINT; the exit code.

    Errors:
        ConfigError: no servers are set, a port is taken, a token cannot be kept, or `shard` is not of the form i/n.
    """
    kafka, redis_url = settings.require_servers()
    chosen = shard_of(shard) if shard else Shard()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(MOST_LOOKUPS, thread_name_prefix="lookup"))
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    registry = CollectorRegistry()
    metrics = ScraperMetrics(registry)
    port = settings.scraper_port + chosen.part - 1 if settings.scraper_port else 0
    async with AsyncExitStack() as opened:
        server = MetricsServer(registry, host=settings.api_host, port=port, healthy=lambda: True)
        bound = await server.start()
        opened.push_async_callback(server.stop)
        log.info("metrics", address=f"http://{settings.api_host}:{bound}/metrics")
        redis = connect(redis_url)
        opened.push_async_callback(redis.aclose)
        producer = Producer(kafka, on_rebuild=metrics.producer_rebuilds.inc)
        opened.push_async_callback(producer.stop)
        inbox = await opened.enter_async_context(_taking(settings, metrics)) if settings.intake_port is not None and chosen.part == 1 else None
        work = asyncio.create_task(Scraper(settings, redis=redis, producer=producer, metrics=metrics, shard=chosen, inbox=inbox).run(), name="scraper")
        waiting = asyncio.create_task(stop.wait(), name="stop")
        opened.push_async_callback(end, work, waiting)
        await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            await work
    return 0


def _taking(settings: Settings, metrics: ScraperMetrics) -> AbstractAsyncContextManager[Inbox]:
    from scrapers.intake_server import taking  # noqa: PLC0415 - weighs nothing where it is not asked for

    return taking(settings, clock=settings.clock(), refused=lambda reason: metrics.fetches.labels(INTAKE, reason.value).inc())
