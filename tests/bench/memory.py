"""The most memory that each process was seen to use while documents ran through all of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

import httpx

from opinion.clock import monotonic_s
from opinion.settings import Feed, Settings
from tests.bench.corpus import documents
from tests.bench.counting import counted
from tests.bench.processes import Process, rss_mb, running
from tests.bench.stand import Stand
from yuqing.up import read_metrics

EVERY_S = 0.5
WITHIN_S = 300.0
ANSWERS_WITHIN_S = 30.0
"""Longest wait for a process to show that it does its work."""
POLL_EVERY_S = 1.0
FEED_ITEMS = 20

COMMANDS = {"worker": "work", "alerter": "alert", "scraper": "scrape"}
SIGNS = {"worker": "yuqing_documents_scored_total", "alerter": "yuqing_detection_tick_duration_seconds_count", "scraper": "yuqing_scraper_documents_total"}
"""The metric of each process that is above zero once it works."""


class _Feed(BaseHTTPRequestHandler):
    """An RSS feed whose items are new at each request."""

    def do_GET(self) -> None:
        now = datetime.now(UTC)
        items = "".join(
            f"<item><title>{escape(item.text[:80])}</title><link>{item.url}?{now.timestamp()}</link><pubDate>{format_datetime(now)}</pubDate>"
            f"<description>{escape(item.text)}</description></item>"
            for item in documents(FEED_ITEMS, seed=int(now.timestamp()))
        )
        body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>Bench</title>{items}</channel></rss>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/rss+xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def feed() -> Iterator[str]:
    """The address of a local feed."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Feed) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/feed.xml"
        server.shutdown()
        thread.join()


async def most_rss_mb(stand: Stand, *, count: int, seed: int) -> tuple[dict[str, int | None], dict[str, str]]:
    """Megabytes per process, and for each that has none, why. The worker runs the shipped model on `count` documents."""
    async with AsyncExitStack() as stack:
        source = Feed(url=stack.enter_context(feed()), interval_s=POLL_EVERY_S)
        settings = stand.installation("memory", sources=[source], poll_interval_s=POLL_EVERY_S, allow_private_sources=True)
        await stand.publish(settings.names, count=count, seed=seed)
        processes = {
            name: await stack.enter_async_context(running(["-m", "yuqing", command], settings=settings, log_path=stand.folder / f"memory-{name}.log"))
            for name, command in COMMANDS.items()
        }
        most: dict[str, int | None] = dict.fromkeys([*processes, *stand.pids])
        async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
            silent = await _watched(stand, settings, processes=processes, most=most, client=client, count=count)
        return most | dict.fromkeys(silent), silent


async def _watched(stand: Stand, settings: Settings, *, processes: dict[str, Process], most: dict[str, int | None], client: httpx.AsyncClient, count: int) -> dict[str, str]:
    """Fill `most` until the documents are counted and every process has worked; returns why some did not."""
    pids = {name: process.pid for name, process in processes.items()} | stand.pids
    ports = {"worker": settings.worker_port, "alerter": settings.api_port, "scraper": settings.scraper_port}
    waiting = dict(SIGNS)
    began_s = monotonic_s()
    while monotonic_s() < began_s + WITHIN_S:
        for name, pid in pids.items():
            most[name] = max(most[name] or 0, rss_mb(pid)) or None
        for name in list(waiting):
            if (await read_metrics(client, f"http://{settings.api_host}:{ports[name]}")).get(SIGNS[name], 0) > 0:
                del waiting[name]
        done = (await counted(stand.redis, settings.names)).documents >= count
        if done and (not waiting or monotonic_s() > began_s + ANSWERS_WITHIN_S):
            break
        await asyncio.sleep(EVERY_S)
    return {name: f"`yuqing {COMMANDS[name]}` showed no work: {processes[name].last_words()}" for name in waiting}
