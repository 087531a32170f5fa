"""The alerter process: one leader looks at the windows, every process serves the API, deliveries are made by the leader."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import structlog
import uvicorn
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from alerts.acts import ActStore
from alerts.api.access import Access
from alerts.api.app import build_api
from alerts.api.parts import Parts
from alerts.archive import Archive
from alerts.channels.channel import Sender, all_channels, checked
from alerts.connections import Connections
from alerts.deliver import Deliverer
from alerts.delivery_queue import DeliveryQueue
from alerts.filling import Filling
from alerts.leader import Leadership, lead
from alerts.live import Live
from alerts.measure import measure
from alerts.notifier import Notifier
from alerts.notify.silences import inhibitions_of
from alerts.rank_store import RankStore
from alerts.rules_file import RulesFile
from alerts.silence_store import SilenceStore
from alerts.store import AlertStore
from alerts.subscriptions import SubscriptionStore, from_setting
from alerts.telling import Telling
from alerts.tick import Tick
from opinion.bus import Producer, wait_for_topics
from opinion.clock import SystemClock
from opinion.errors import BusUnavailable, ConfigError, Reason, StoreUnavailable
from opinion.metrics import AlerterMetrics
from opinion.redis_client import connect
from opinion.settings import Settings
from opinion.tasks import end, together
from opinion.token import ensure_token, token_place
from opinion.windows import WindowStore

log = structlog.get_logger()

RETRY_S = 2.0
"""Wait between tries while Kafka or Redis does not answer."""
NAMES_AT_ONCE = 64
"""Threads that look up host names, started as needed: a dead name server holds one for half a minute, and asyncio has six on two cores."""
REPLAY_TICK_S = 0.5
"""In a replay, where a day passes in minutes, the windows are looked at this often."""


class _Server(uvicorn.Server):
    """A server that ends when it is told to, not by signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield


class Alerter:
    """The parts of one alerter process, wired.

    run() ──signal──▶ lease given up, queue left as it is, API closed
    """

    def __init__(self, settings: Settings, *, redis: Redis, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._kafka = settings.require_servers()[0]
        self._redis = redis
        names, clock, wall = settings.names, settings.clock(), SystemClock()
        self._registry = CollectorRegistry()
        self._metrics = AlerterMetrics(self._registry)
        for channel in all_channels():
            self._metrics.start_channel(channel)
        self._producer = Producer(self._kafka)
        self._store = WindowStore(redis, names)
        self._alerts = AlertStore(redis, names)
        self._subscriptions = SubscriptionStore(redis, names)
        self._queue = DeliveryQueue(redis, names, clock=wall)
        self._configured = [checked(from_setting(setting)) for setting in settings.subscriptions]
        self._silences = SilenceStore(redis, names, clock=wall)
        self._leadership = Leadership(redis, names)
        self._notifier = Notifier(
            redis,
            names,
            queue=self._queue,
            subscriptions=self._subscriptions,
            silences=self._silences,
            inhibitions=inhibitions_of(settings),
            clock=wall,
            leading=lambda: self._leadership.leading,
        )
        deliverer = Deliverer(
            self._queue,
            self._subscriptions,
            sender=Sender(client, allow_private=settings.allow_private_webhooks),
            clock=wall,
            metrics=self._metrics,
            leading=lambda: self._leadership.leading,
            on_disabled=self._notifier.tell_disabled,
        )
        self._telling = Telling(redis, names, kafka=self._kafka, notifier=self._notifier, deliverer=deliverer)
        self._live = Live()
        self._archive = Archive(settings.data_dir / "documents.db", keep=timedelta(days=settings.archive_days))
        self._tick_s = settings.tick_interval_s if clock.speed == 1.0 else REPLAY_TICK_S
        self._tick = Tick(
            RulesFile(settings.rules),
            store=self._store,
            alerts=self._alerts,
            producer=self._producer,
            redis=redis,
            names=names,
            clock=clock,
            metrics=self._metrics,
            partitions=settings.partitions,
            links=settings.console_url or f"http://{settings.api_host}:{settings.api_port}",
        )
        self._ticked = False

    async def run(self) -> None:
        """Work until cancelled.

        Errors:
            ConfigError: the port is taken, or a configured subscription is wrong.
        """
        server, listener = self._server(), _listener(self._settings)
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="api")
        try:
            await self._prepare()
            leading = lead(self._leadership, lambda: [("telling", self._telling.run()), ("windows", self._look())])
            works = [("leading", leading), ("api-watch", _fail_with(serving)), ("live", self._hear()), ("measure", self._measure())]
            if self._settings.archive_days:
                works.append(("archive", self._filling().run()))
            await together(works)
        finally:
            server.should_exit = True
            await self._leadership.release()
            await self._producer.stop()
            await asyncio.gather(serving, return_exceptions=True)
            self._archive.close()

    async def _prepare(self) -> None:
        await wait_for_topics(self._kafka, self._settings.names, partitions=self._settings.partitions, replication=self._settings.replication, retention=self._settings.retention)
        while True:
            try:
                await self._subscriptions.put_configured(self._configured)
            except StoreUnavailable as error:
                log.warning("waiting for Redis", error=str(error))
                await asyncio.sleep(RETRY_S)
            else:
                return

    async def _look(self) -> None:
        """Look at the windows until cancelled; after a failure from the state that was saved last."""
        restored = False
        while True:
            try:
                if not restored:
                    await self._tick.restore()
                    restored = True
                if self._leadership.leading:
                    await self._tick.run()
                    self._ticked = True
            except (StoreUnavailable, BusUnavailable) as error:
                self._metrics.tick_errors.labels(error.reason.value).inc()
                log.warning("the windows were not looked at, trying again", error=str(error))
                restored = False
            except Exception:
                self._metrics.tick_errors.labels(Reason.UNEXPECTED.value).inc()
                log.exception("a look at the windows failed in a way nobody thought of, trying again")
                restored = False
            await asyncio.sleep(self._tick_s)

    async def _measure(self) -> None:
        await measure(self._redis, self._settings.data_dir, metrics=self._metrics, leading=lambda: self._leadership.leading)

    async def _hear(self) -> None:
        await self._live.run(self._kafka, self._settings.names.alerts)

    def _filling(self) -> Filling:
        settings = self._settings
        return Filling(self._kafka, settings.names.scored, archive=self._archive, clock=settings.clock(), heard=self._live.heard)

    def _server(self) -> uvicorn.Server:
        settings, wall = self._settings, SystemClock()
        parts = Parts(
            alerts=self._alerts,
            acts=ActStore(self._redis, settings.names, alerts=self._alerts),
            archive=self._archive,
            live=self._live,
            subscriptions=self._subscriptions,
            silences=self._silences,
            queue=self._queue,
            notifier=self._notifier,
            ranks=RankStore(self._redis, settings.names),
            windows=self._store,
            redis=self._redis,
            names=settings.names,
            registry=self._registry,
            access=Access(ensure_token(settings, "api"), settings.api_tokens, rate_per_min=settings.api_rate_per_min),
            status=self._status,
            sources=self._sources,
            ready=lambda: self._ticked or self._leadership.stands_by,
            clock=settings.clock(),
            wall=wall,
        )
        configuration = uvicorn.Config(
            build_api(parts), host=self._settings.api_host, port=self._settings.api_port, log_level="warning", lifespan="off", timeout_graceful_shutdown=2
        )
        return _Server(configuration)

    async def _status(self) -> dict[str, Any]:
        """How far the windows are: as the leader last saw it; one that stands by looks itself."""
        found = self._tick.watermark if self._leadership.leading else await self._tick.look()
        return {
            "leading": self._leadership.leading,
            "watermark": None if found.at is None else found.at.isoformat(),
            "behind": found.behind,
            "blind": list(found.blind),
            "at": datetime.now(UTC).isoformat(),
        }

    async def _sources(self) -> dict[str, Any]:
        rows = await self._redis.hgetall(self._settings.names.sources)
        return {name.decode() if isinstance(name, bytes) else str(name): msgspec.json.decode(value) for name, value in sorted(rows.items())}


def _listener(settings: Settings) -> socket.socket:
    """A socket that listens for the API; uvicorn would end the process where the port is taken.

    Errors:
        ConfigError: the port is taken, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.api_host else socket.AF_INET
    try:
        listener = socket.create_server((settings.api_host, settings.api_port), family=family)
    except OSError as error:
        raise ConfigError(f"cannot listen on {settings.api_host}:{settings.api_port}: {os.strerror(error.errno or 0)}; is another alerter running? Set `api_port`") from error
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does not, for a socket made so: each answer would wait 40 ms
    return listener


async def _fail_with(serving: asyncio.Task[None]) -> None:
    """Watch the API: the process must not live on without it."""
    await asyncio.wait({serving})
    raise ConfigError("the API stopped")


async def run_alerter(settings: Settings) -> int:
    """Alert until SIGTERM or SIGINT; the exit code.

    Errors:
        ConfigError: no servers are set, rules or subscriptions are wrong, the port is taken.
    """
    _, redis_url = settings.require_servers()
    redis = connect(redis_url)
    stop = asyncio.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(NAMES_AT_ONCE, thread_name_prefix="names"))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with httpx.AsyncClient(transport=Connections(allow_private=settings.allow_private_webhooks), trust_env=False) as client:
        work = asyncio.create_task(Alerter(settings, redis=redis, client=client).run(), name="alerter")
        waiting = asyncio.create_task(stop.wait(), name="stop")
        log.info("alerter", api=f"http://{settings.api_host}:{settings.api_port}", token=token_place(settings, "api"))
        try:
            await asyncio.wait({work, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end(waiting, work)
            await redis.aclose()
        if not work.cancelled():
            work.result()
    return 0
