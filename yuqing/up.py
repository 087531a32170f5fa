"""Everything on one machine: Kafka, Redis, and the processes, started in order, kept alive, stopped together."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO

import httpx
import psutil
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from opinion.bus import create_topics
from opinion.clock import monotonic_s
from opinion.errors import ConfigError, ServerFailed
from opinion.metrics import SOURCE_STATES
from opinion.settings import CONFIG_VARIABLE, PREFIX, Settings
from opinion.tasks import end
from opinion.token import token_place
from scrapers.default_feeds import expanded
from yuqing.children import Child, Echo, restart_wait_s
from yuqing.embedded.kafka import EmbeddedKafka
from yuqing.embedded.process import Server, port_is_free
from yuqing.embedded.redis import EmbeddedRedis
from yuqing.running import announce, take
from yuqing.sight import line_of, read_health, why_of

STATUS_EVERY_S = 5.0
HEALTHY_WITHIN_S = 90.0
"""A worker imports torch and may unpack the model first."""
WATCH_EVERY_S = 1.0
PORT_KEYS = {"scrape": "scraper_port", "work": "worker_port", "alert": "api_port"}
"""Process -> the setting that holds its port."""
PROCESSES = ("work", "alert", "scrape")
"""Started in this order: what scrapers bring finds someone who works on it."""


class Stack:
    """Kafka, Redis and the processes of one data directory.

    new ──start()──▶ running (the dead are restarted) ──stop()──▶ stopped
    """

    def __init__(self, settings: Settings, *, echo: Echo, processes: Sequence[str]) -> None:
        self.settings = settings
        self._echo = echo
        self._processes = processes
        self._servers: list[Server] = []
        self._watch: asyncio.Task[None] | None = None
        self._lock: IO[str] | None = None
        self.children: list[Child] = []

    async def start(self) -> None:
        """Start the servers, then the processes; returns when they answer.

        Errors:
            as `start_servers` and `start_processes`.
        """
        await self.start_servers()
        await self.start_processes()

    async def start_servers(self) -> None:
        """Start the servers that the settings do not name, and create the topics.

        Errors:
            ConfigError: another `yuqing up` uses the data directory, or a port is taken.
            ServerFailed: a server cannot start.
            BusUnavailable: a Kafka that the settings name does not answer.
        """
        self._lock = take(self.settings.data_dir)
        self._check_ports()
        folder = self.settings.data_dir
        if not self.settings.kafka:
            kafka = EmbeddedKafka(folder / "kafka")
            self._servers.append(kafka)
            self.settings = self.settings.model_copy(update={"kafka": await self._started(kafka)})
        if not self.settings.redis:
            redis = EmbeddedRedis(folder / "redis")
            self._servers.append(redis)
            self.settings = self.settings.model_copy(update={"redis": await self._started(redis)})
        self._watch = asyncio.create_task(self._restart_servers(), name="watch servers")
        announce(self.settings)
        kafka_address, _ = self.settings.require_servers()
        await create_topics(kafka_address, self.settings.names, partitions=self.settings.partitions, replication=self.settings.replication, retention=self.settings.retention)

    async def start_processes(self) -> None:
        """Start the processes on the running servers; returns when they answer.

        Errors:
            ConfigError: a process refuses its configuration.
        """
        for name in self._processes:
            self.children.append(self._child(name))
            await self.children[-1].start()
        await asyncio.gather(*[self._until_healthy(child) for child in self.children])

    async def stop(self) -> None:
        """Stop everything, the processes first so that they can finish with the servers."""
        if self._watch is not None:
            await end(self._watch)
        await asyncio.gather(*[child.stop() for child in self.children])
        await asyncio.gather(*[server.stop() for server in self._servers])
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def address(self, name: str) -> str:
        """Where a process serves its metrics."""
        return f"http://{self.settings.api_host}:{getattr(self.settings, PORT_KEYS[name])}"

    def rss_mb(self) -> dict[str, int]:
        """Resident memory of every running process, in megabytes."""
        pids = {child.name: child.pid for child in self.children} | {server.name.lower(): server.pid for server in self._servers}
        return {name: _rss_mb(pid) for name, pid in pids.items() if pid is not None}

    def _check_ports(self) -> None:
        keys = [(name, PORT_KEYS[name]) for name in self._processes]
        if self.settings.intake_port is not None and "scrape" in self._processes:
            keys.append(("scrape", "intake_port"))
        for name, key in keys:
            port = getattr(self.settings, key)
            if not port_is_free(port):
                raise ConfigError(f"port {port} is taken, `{name}` cannot listen on it: set `{key}`")

    async def _started(self, server: Server) -> str:
        self._echo(f"{server.name}: starting (data in {server.data_dir})")
        began_s = monotonic_s()
        address = await server.start()
        self._echo(f"{server.name}: answers at {address} after {monotonic_s() - began_s:.1f} s")
        return address

    def _child(self, name: str) -> Child:
        own = {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)}
        environment = own | self.settings.as_environment() | {CONFIG_VARIABLE: os.devnull}  # the file was read already
        return Child(name, [sys.executable, "-m", "yuqing", name], environment=environment, log_path=self.settings.data_dir / "logs" / f"{name}.log", echo=self._echo)

    async def _until_healthy(self, child: Child) -> None:
        deadline_s = monotonic_s() + HEALTHY_WITHIN_S
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            while monotonic_s() < deadline_s:
                if child.given_up:
                    raise ConfigError(f"`{child.name}` cannot run: {child.last_words()}")
                if await _answers(client, f"{self.address(child.name)}/healthz"):
                    self._echo(f"{child.name}: ready, metrics at {self.address(child.name)}/metrics")
                    return
                await asyncio.sleep(0.1)
        self._echo(f"{child.name}: not ready after {HEALTHY_WITHIN_S:g} s, going on (log: {self.settings.data_dir / 'logs' / child.name}.log)")

    async def _restart_servers(self) -> None:
        """Start a dead server again on its old port, where the processes look for it."""
        failures = 0
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            for server in self._servers:
                if server.alive():
                    continue
                failures += 1
                self._echo(f"{server.name} died: {server.last_words()}; starting it again")
                try:
                    await server.start()
                except ServerFailed as error:
                    self._echo(f"{error}; trying again")
                    await asyncio.sleep(restart_wait_s(failures))


async def _answers(client: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(url)).is_success
    except httpx.HTTPError:
        return False


def _rss_mb(pid: int) -> int:
    try:
        process = psutil.Process(pid)
        return sum(part.memory_info().rss for part in [process, *process.children(recursive=True)]) // 1_000_000
    except psutil.Error:
        return 0


async def read_metrics(client: httpx.AsyncClient, address: str) -> dict[str, float]:
    """Every metric of a process, as `sums_of`; empty while it does not answer."""
    try:
        return sums_of(text_string_to_metric_families((await client.get(f"{address}/metrics")).text))
    except (httpx.HTTPError, ValueError):  # not there, or not ours
        return {}


def sums_of(families: Iterable[Metric]) -> dict[str, float]:
    """Every metric summed over its labels, and for a label `state` also apart (`name:state`)."""
    sums: dict[str, float] = {}
    for family in families:
        for sample in family.samples:
            names = [sample.name, f"{sample.name}:{sample.labels['state']}"] if "state" in sample.labels else [sample.name]
            sums |= {name: sums.get(name, 0.0) + sample.value for name in names}
    return sums


async def run_up(settings: Settings, *, echo: Callable[[str], None], processes: Sequence[str] = PROCESSES) -> int:
    """Run the stack until Ctrl-C or SIGTERM; 0.

    Errors:
        as `Stack.start`; what was started is stopped.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stack = Stack(settings, echo=echo, processes=processes)
    starting = asyncio.create_task(stack.start(), name="start")
    stopping = asyncio.create_task(stop.wait(), name="stop")
    try:
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            say_where(stack, echo)
            await _show_status(stack, stopping, echo)
    finally:
        await end(starting, stopping)
        began_s, busy = monotonic_s(), bool(stack.rss_mb())
        if busy:
            echo("stopping")
        await stack.stop()
        if busy:
            echo(f"stopped after {monotonic_s() - began_s:.1f} s; the data stays in {settings.data_dir}")
    return 0


def say_where(stack: Stack, echo: Callable[[str], None]) -> None:
    """Tell a person where the stack is reached and where the tokens are."""
    settings = stack.settings
    if settings.intake_port is not None:
        address = f"http://{settings.api_host}:{settings.intake_port}/v1/documents" if settings.intake_port else f"the address in {settings.data_dir}/logs/scrape.log"
        echo(f"Documents of your own: POST to {address} (token: {token_place(settings, 'intake')})")
    echo(f"Console: {stack.address('alert')} (sign in with the same token as the API's)")
    echo(f"API: {stack.address('alert')}/api/v1 (token: {token_place(settings, 'api')})   Kafka: {settings.kafka}   Redis: {settings.redis}   Ctrl-C stops all")


async def _show_status(stack: Stack, stopping: asyncio.Task[bool], echo: Callable[[str], None]) -> None:
    """A line every few seconds until asked to stop."""
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        while not stopping.done():
            await asyncio.wait({stopping}, timeout=STATUS_EVERY_S)
            if not stopping.done():
                metrics = await asyncio.gather(*[read_metrics(client, stack.address(name)) for name in ("scrape", "work", "alert")])
                why = why_of(await read_health(stack.settings))
                echo(status_line(*metrics, n_sources=count_sources(stack.settings), rss_mb=stack.rss_mb(), why=why))


def count_sources(settings: Settings) -> int:
    """How many sources the scraper keeps a state of: those polled, the directory, the intake."""
    return len(expanded(settings.sources)) + (settings.drop_dir is not None) + (settings.intake_port is not None)


def status_line(scraper: Mapping[str, float], worker: Mapping[str, float], alerter: Mapping[str, float], *, n_sources: int, rss_mb: Mapping[str, int], why: str = "") -> str:
    """What goes on, in one line, from the metrics of the three processes; `why` is what a source failed with."""
    numbers = (
        f"fetched {scraper.get('yuqing_scraper_documents_total', 0):.0f}, scored {worker.get('yuqing_documents_scored_total', 0):.0f}, "
        f"behind {worker.get('yuqing_consumer_lag_records', 0):.0f}, dead {worker.get('yuqing_dead_letters_total', 0):.0f}, "
        f"firing {alerter.get('yuqing_alerts_firing', 0):.0f}, to deliver {alerter.get('yuqing_delivery_queue_length', 0):.0f}"
    )
    return f"{_sources_line(scraper, n_sources=n_sources, why=why)}; {numbers}; MB: {' '.join(f'{name} {mb}' for name, mb in rss_mb.items())}"


def _sources_line(scraper: Mapping[str, float], *, n_sources: int, why: str) -> str:
    if not n_sources:
        return "BLIND: no sources (set YUQING_SOURCES: `default`, or addresses of feeds)"
    if not scraper:
        return f"no word of {n_sources} sources: the scraper does not answer"
    states = {state: scraper.get(f"yuqing_source_state:{state}", 0.0) for state in SOURCE_STATES}
    return line_of(states, n_sources=n_sources, why=why, tried=scraper.get("yuqing_scraper_fetches_total", 0.0) > 0)
