"""A worker process: the Faust application with real parts, its metrics, and an end that comes when asked."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faust
import structlog
from faust.exceptions import ConsumerNotStarted
from prometheus_client import CollectorRegistry

from models.stories import RedisStoryIndex
from models.story_index import RedisEventIndex
from opinion.bus import Producer, wait_for_topics
from opinion.clock import Clock
from opinion.erased import ErasedIds
from opinion.errors import ConfigError
from opinion.explaining import Explanations
from opinion.metrics import WorkerMetrics
from opinion.metrics_server import MetricsServer
from opinion.redis_client import FORGETS_S, Runs, connect
from opinion.settings import Settings
from opinion.tasks import end
from opinion.windows import WindowStore
from streams.aggregate import AggregateStep
from streams.app import build_app
from streams.batches import Step
from streams.dead import DeadLetters
from streams.explain import Allowance, Explaining, answer_questions
from streams.progress import Progress
from streams.score import Judging, ScoreStep

log = structlog.get_logger()

STOP_WITHIN_S = 6.0
"""Faust can hang while it joins a group or waits for a batch; un-acknowledged records are simply read again."""


async def run_worker(settings: Settings, *, judge: Judging | None = None) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code. `judge` replaces the configured model (benchmarks).

    Errors:
        ConfigError: no servers are set, or no port is free.
        ModelLoadError: the model cannot be loaded.
    """
    kafka, redis_url = settings.require_servers()
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry)
    clock, names = settings.clock(), settings.names
    await wait_for_topics(kafka, names, partitions=settings.partitions, replication=settings.replication, retention=settings.retention)  # Faust ignores missing ones for minutes
    executor = ThreadPoolExecutor(1, thread_name_prefix="judge")
    if judge is None and "score" in settings.agents:
        judge = await asyncio.get_running_loop().run_in_executor(executor, lambda: _configured_judge(settings, metrics))
    redis = connect(redis_url)
    producer = Producer(kafka, on_rebuild=metrics.producer_rebuilds.inc)
    store = WindowStore(redis, names)
    dead = DeadLetters(producer, names, clock=clock, metrics=metrics)
    erased = ErasedIds(redis, names, keep=settings.erased_for)
    steps: dict[str, Step] = {}
    if judge is not None and "score" in settings.agents:
        steps["score"] = ScoreStep(
            judge,
            events=RedisEventIndex(redis, names),
            stories=RedisStoryIndex(redis, names),
            producer=producer,
            dead=dead,
            erased=erased,
            names=names,
            clock=clock,
            metrics=metrics,
            executor=executor,
        )
    counting = connect(redis_url, runs=(runs := Runs()))
    aggregate = AggregateStep(WindowStore(counting, names), erased=erased, dead=dead, clock=clock, metrics=metrics, runs=runs)
    if "aggregate" in settings.agents:
        steps["aggregate"] = aggregate
    assigned: list[faust.App] = []
    progress = Progress(store, kafka=kafka, group=names.worker_group, metrics=metrics, assigned=lambda: _assignment(assigned))
    _make_folder(settings.data_dir)
    app = build_app(settings, kafka=kafka, steps=steps, metrics=metrics, finished=progress.finished, held_s={"aggregate": FORGETS_S})
    assigned.append(app)
    server = await _serve(registry, settings)
    reporter = asyncio.create_task(progress.run(), name="progress")
    others = [asyncio.create_task(aggregate.watch(), name="redis-watch")] if "aggregate" in steps else []
    others += [asyncio.create_task(work, name="explain") for work in _explaining(judge, Explanations(redis, names), executor=executor, clock=clock)]
    try:
        return await _run_until_signal(app, reporter)
    finally:
        await end(reporter, *others)
        await server.stop()
        await producer.stop()
        await redis.aclose()
        await counting.aclose()
        executor.shutdown(wait=False, cancel_futures=True)


def _make_folder(folder: Path) -> None:
    """Make the data directory: Faust makes its own folders in it, but not those above.

    Errors:
        ConfigError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the data directory {folder} cannot be used: {error.strerror}") from error


def _configured_judge(settings: Settings, metrics: WorkerMetrics) -> Judging:
    """The model of the settings. Imported here: torch takes seconds, and a worker that only aggregates needs none."""
    from models.registry import load_judge  # noqa: PLC0415

    return load_judge(settings, metrics=metrics)


def _explaining(judge: object, explanations: Explanations, *, executor: ThreadPoolExecutor, clock: Clock) -> list[Coroutine[Any, Any, None]]:
    """The work of a worker whose model can say why."""
    return [answer_questions(explanations, judge, executor=executor, clock=clock, allowance=Allowance())] if isinstance(judge, Explaining) else []


def _assignment(apps: list[faust.App]) -> Iterable[tuple[str, int]]:
    """The partitions this worker holds now."""
    if not apps or not apps[0].started:
        return []
    try:
        assigned = apps[0].consumer.assignment()
    except ConsumerNotStarted:  # its thread is still coming up
        return []
    return [(partition.topic, partition.partition) for partition in assigned]


async def _serve(registry: CollectorRegistry, settings: Settings) -> MetricsServer:
    """A metrics server on the first free port from `worker_port` on."""
    for port in settings.worker_ports:
        server = MetricsServer(registry, host=settings.api_host, port=port, healthy=lambda: True)
        try:
            bound = await server.start()
        except ConfigError:
            continue
        log.info("metrics", address=f"http://{settings.api_host}:{bound}/metrics")
        return server
    raise ConfigError(f"no free port for the worker's metrics from {settings.worker_port} on: set `worker_port`")


async def _run_until_signal(app: faust.App, reporter: asyncio.Task[None]) -> int:
    """Start the application, wait for a signal or a crash, stop it in bounded time."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    start = asyncio.create_task(app.start(), name="faust")
    waiting = asyncio.create_task(stop.wait(), name="stop")
    crash = asyncio.create_task(_crashed(app), name="crash")
    started = asyncio.create_task(_failed(start), name="start-watch")
    await asyncio.wait({waiting, crash, started, reporter}, return_when=asyncio.FIRST_COMPLETED)
    failed = not stop.is_set()
    if failed:
        reason = app.crash_reason or next((task.exception() for task in (start, reporter) if task.done() and not task.cancelled()), None)
        log.error("the worker broke; a supervisor starts it again", error=repr(reason))
    killer = loop.call_later(STOP_WITHIN_S, os._exit, 1 if failed else 0)
    await app.stop()
    await end(start, started, waiting, crash)
    killer.cancel()
    return 1 if failed else 0


async def _failed(start: asyncio.Task[None]) -> None:
    """Return when the application could not be started; a start that went well never returns."""
    await asyncio.wait({start})
    if start.cancelled() or start.exception() is None:
        await asyncio.Event().wait()


async def _crashed(app: faust.App) -> None:
    """Return when the application has crashed."""
    while app.crash_reason is None:  # noqa: ASYNC110 - Faust sets a field and wakes nobody
        await asyncio.sleep(0.5)
