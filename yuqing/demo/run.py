"""`yuqing demo`: a bundled day through the real program, from feeds over HTTP to verified webhooks, in a temporary directory."""

from __future__ import annotations

import asyncio
import base64
import secrets
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Self

import click
import httpx
from pydantic import SecretStr
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from opinion.bus import read_all
from opinion.clock import ScaledClock, SystemClock, monotonic_s
from opinion.codec import decode
from opinion.records import ScoredDocument
from opinion.settings import Feed, Settings, load_settings
from opinion.tasks import end
from opinion.telling_settings import SubscriptionSetting
from opinion.token import ensure_token
from yuqing.demo.day import COMPANIES, DAY_AT, OUTLETS, Item, bundled_day
from yuqing.demo.report import checks, delay_s, latency_lines, render_alert, surge_line
from yuqing.demo.server import Outside, Told
from yuqing.embedded.process import free_port
from yuqing.up import PROCESSES, Stack, read_metrics

SPEED = 500.0
"""Seconds of the day per second: the day passes in 173 s."""
LEAD_S = 12.0
"""The day begins this long after the processes were launched, when they are ready on two cores."""
RULES = Path(__file__).with_name("rules.yaml")
POLL_S = 0.5
DRAIN_WITHIN_S = 30.0
LINE_EVERY_S = 10.0
DAY = timedelta(days=1)
DEMO_INTERRUPTED = 130

Echo = Callable[[str], None]


async def run_demo(*, speed: float, echo: Echo) -> int:
    """Play the day; 0 when the alert fired for the crisis alone, was delivered, verified and resolved, and nothing was lost.

    Errors:
        as `Stack.start`.
    """
    began_s = monotonic_s()
    interrupted = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    items = bundled_day()
    echo(f"a bundled day (synthetic): {len(items)} items of {len(OUTLETS)} feeds, played {speed:g} times as fast as life; everything is temporary")
    with tempfile.TemporaryDirectory(prefix="yuqing-demo-") as folder:
        async with Outside(items, secret=secret) as outside:
            stack = Stack(_settings(Path(folder), outside, secret=secret), echo=echo, processes=PROCESSES)
            playing = asyncio.create_task(_play(stack, outside, items, speed=speed, echo=echo), name="play")
            waiting = asyncio.create_task(interrupted.wait(), name="interrupted")
            try:
                await asyncio.wait({playing, waiting}, return_when=asyncio.FIRST_COMPLETED)
                code = await playing if playing.done() else DEMO_INTERRUPTED
            finally:
                await end(playing, waiting)
                await stack.stop()
    echo(f"ended after {monotonic_s() - began_s:.0f} s")
    return code


def _settings(folder: Path, outside: Outside, *, secret: str) -> Settings:
    """Settings of a demo: its own servers, ports and folder; only where models are cached is the user's."""
    return Settings(
        data_dir=folder,
        model_dir=load_settings().models_dir,
        sources=[Feed(url=outside.url(f"/feeds/{name}"), name=name, kind=outlet.kind) for name, outlet in OUTLETS.items()],
        poll_interval_s=POLL_S,
        allow_private_sources=True,
        names_files=[COMPANIES],
        rules=RULES,
        subscriptions=[SubscriptionSetting(name="demo", url=outside.url("/hook"), secret=SecretStr(secret))],
        allow_private_webhooks=True,
        api_port=free_port(),
        scraper_port=free_port(),
        worker_port=free_port(),
    )


async def _play(stack: Stack, outside: Outside, items: Sequence[Item], *, speed: float, echo: Echo) -> int:
    await stack.start_servers()
    clock = ScaledClock(wall_at=SystemClock().now() + timedelta(seconds=LEAD_S), starts_at=DAY_AT, speed=speed)
    stack.settings = stack.settings.model_copy(update={"clock_starts_at": clock.starts_at, "clock_wall_at": clock.wall_at, "clock_speed": speed})
    outside.clock = clock
    await stack.start_processes()
    echo(f"console, as long as the demo lasts: {stack.address('alert')} (sign in with {ensure_token(stack.settings, 'api')})")
    told = await _watch(stack, outside, clock, items=items, echo=echo)
    kafka, _ = stack.settings.require_servers()
    scored = [decode(value, ScoredDocument) for value in await read_all(kafka, stack.settings.names.scored)]
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        worker = await read_metrics(client, stack.address("work"))
    found = checks(told, scored, items=items, dead=int(worker.get("yuqing_dead_letters_total", 0)))
    click.echo("\n" + surge_line(scored))
    for line in latency_lines(told, scored, clock):
        click.echo(line)
    for check in found:
        click.echo(f"{click.style('ok  ', fg='green') if check.holds else click.style('FAIL', fg='red')}  {check.words}")
    return 0 if all(check.holds for check in found) else 1


async def _watch(stack: Stack, outside: Outside, clock: ScaledClock, *, items: Sequence[Item], echo: Echo) -> list[Told]:
    """Every webhook of the day, shown as it comes; returns when the day is over and worked on."""
    told: list[Told] = []
    expected = len({item.guid for item in items})
    last_line_s, end_s = 0.0, None
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        with _Bar() as bar:
            while True:
                try:
                    arrived = await asyncio.wait_for(outside.told.get(), timeout=1.0)
                except TimeoutError:
                    worker = await read_metrics(client, stack.address("work"))
                else:
                    told.append(arrived)
                    await _show(arrived, stack, clock)
                    continue
                scored = int(worker.get("yuqing_documents_scored_total", 0))
                words = f"{_of_day(clock)}  {scored} judged, {worker.get('yuqing_consumer_lag_records', 0):.0f} behind"
                bar.show((clock.now() - DAY_AT) / DAY, words)
                if not bar.live and monotonic_s() - last_line_s >= LINE_EVERY_S:
                    last_line_s = monotonic_s()
                    echo(words)
                if clock.now() >= DAY_AT + DAY:
                    end_s = end_s or monotonic_s()
                    resolved = bool(told) and told[-1].message.data.status.value == "resolved"
                    if (scored >= expected and resolved and worker.get("yuqing_consumer_lag_records", 1) == 0) or monotonic_s() - end_s > DRAIN_WITHIN_S:
                        return told


async def _show(arrived: Told, stack: Stack, clock: ScaledClock) -> None:
    kafka, _ = stack.settings.require_servers()
    scored = [decode(value, ScoredDocument) for value in await read_all(kafka, stack.settings.names.scored)]
    click.echo(render_alert(arrived.message.data, delay_s=delay_s(arrived, scored, clock), verified=arrived.verified))


def _of_day(clock: ScaledClock) -> str:
    now = clock.now()
    return "the day has not begun" if now < DAY_AT else f"{min(now, DAY_AT + DAY - timedelta(seconds=1)):%H:%M} of the day"


class _Bar(AbstractContextManager["_Bar"]):
    """A progress bar on a terminal, nothing in a pipe."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("[progress.percentage]{task.percentage:>3.0f}%"),
            BarColumn(),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._progress.add_task("starting", total=1.0)

    @property
    def live(self) -> bool:
        """Whether a bar is drawn."""
        return not self._progress.disable

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, share: float, words: str) -> None:
        """Draw the share done and what to say beside it."""
        self._progress.update(self._task, completed=max(0.0, min(1.0, share)), description=words)
