"""What Bluesky's whole network costs a scraper on one core: `python -m tests.bench.jetstream`, last line one JSON object.

`yuqing scrape` with this source alone listens to a server in a process of its own (jetstream_posts.py), on embedded Kafka and Redis. First five to ten
times the network's 50 to 100 posts a second for a minute: does it keep up, and at what cost? Then as many as it takes: how many posts a second get
through? The scraper and its parsing child are bound to one core, where the server is not if there is another. No TLS, which costs a real scraper more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import psutil

from opinion.settings import Feed, Settings
from tests.bench.processes import Process, running
from tests.bench.report import commit, machine, say
from tests.bench.stand import Stand, stand
from tests.support.workers import until
from yuqing.embedded.process import die_with_parent
from yuqing.logs import configure_logs
from yuqing.up import read_metrics

RATE = 500
FLAT_OUT = 100_000
EVERY_S = 0.1
WITHIN_S = 120.0
"""Longest wait for the last post after it was sent."""
EASE_S = 5.0
"""After the first posts: the parsing child has started, and the producer is connected."""


class Sent(NamedTuple):
    """What the server says in the end."""

    sent: int
    taken: int
    began_at: float
    ended_at: float


class Look(NamedTuple):
    """The scraper at one moment."""

    at: float
    published: float
    cpu_s: float
    rss_mb: float


@asynccontextmanager
async def teller(*, rate: int, count: int) -> AsyncIterator[tuple[str, asyncio.StreamReader]]:
    """A server's address, and where it will say what it sent."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.jetstream_posts", str(rate), str(count), stdout=asyncio.subprocess.PIPE, preexec_fn=die_with_parent
    )
    assert process.stdout is not None
    psutil.Process(process.pid).cpu_affinity(_cores()[:-1] or _cores())
    try:
        yield f"ws://127.0.0.1:{int(await process.stdout.readline())}", process.stdout
    finally:
        process.kill()
        await process.wait()


class Watch:
    """Looks at a scraper until it has published so many."""

    def __init__(self, scraper: Process, settings: Settings, client: httpx.AsyncClient) -> None:
        self._scraper = scraper
        self._process = psutil.Process(scraper.pid)
        self._address = f"http://{settings.api_host}:{settings.scraper_port}"
        self._client = client
        self.looks: list[Look] = []

    async def look(self) -> Look:
        """One more."""
        self._scraper.check()
        parts = [self._process, *self._process.children(recursive=True)]
        cpu_s = sum(times.user + times.system for times in (part.cpu_times() for part in parts))
        metrics = await read_metrics(self._client, self._address)
        found = Look(time.time(), metrics.get("yuqing_scraper_documents_total", 0.0), cpu_s, sum(part.memory_info().rss for part in parts) / 1e6)
        self.looks.append(found)
        return found

    async def until_told(self, stdout: asyncio.StreamReader) -> Sent:
        """Look until all that the server sent is published.

        Errors:
            TimeoutError: it is not.
        """
        saying = asyncio.create_task(stdout.readline())
        while not (await asyncio.wait([saying], timeout=EVERY_S))[0]:
            await self.look()
        said = Sent(**json.loads(await saying))

        async def is_told() -> bool:
            return (await self.look()).published >= said.taken

        await until(is_told, within_s=WITHIN_S, every_s=EVERY_S)
        return said


async def told(place: Stand, *, rate: int, count: int) -> tuple[Sent, list[Look]]:
    """A scraper of its own takes in what a server tells."""
    async with teller(rate=rate, count=count) as (url, stdout), httpx.AsyncClient(trust_env=False, timeout=5) as client:
        settings = place.installation(f"jetstream-{rate}", sources=[Feed(source="jetstream", url=url, name="bluesky")], allow_private_sources=True)
        async with running(["-m", "yuqing", "scrape"], settings=settings, log_path=place.folder / f"jetstream-{rate}.log") as scraper:
            psutil.Process(scraper.pid).cpu_affinity(_cores()[-1:])  # before its child is there, which inherits it
            watch = Watch(scraper, settings, client)
            return await watch.until_told(stdout), watch.looks


async def measured(place: Stand, *, seconds: float, flat_out: int) -> dict[str, Any]:
    """The figures by name; `n` is how many posts were told."""
    steady, looks = await told(place, rate=RATE, count=int(RATE * seconds))
    eased = [look for look in looks if steady.began_at + EASE_S <= look.at <= steady.ended_at]
    wall_s = eased[-1].at - eased[0].at
    behind = [max((look.at - steady.began_at) / (steady.ended_at - steady.began_at) * steady.taken - look.published, 0) / steady.taken * steady.sent / RATE for look in eased]
    flat, ends = await told(place, rate=0, count=flat_out)
    first = next(look for look in ends if look.published)  # before that its child starts
    flat_posts = (flat.taken - first.published) / flat.taken * flat.sent
    last = ends[-1]
    return {
        "n": steady.sent + flat.sent,
        "jetstream_posts_per_s": round(flat_posts / (last.at - first.at)),
        "jetstream_cpu_us_per_post": round((last.cpu_s - first.cpu_s) / flat_posts * 1e6, 1),
        "jetstream_told_per_s": RATE,
        "jetstream_taken": round(steady.taken / steady.sent, 3),
        "jetstream_cpu_cores": round((eased[-1].cpu_s - eased[0].cpu_s) / wall_s, 3),
        "jetstream_most_behind_s": round(max(behind), 2),
        "jetstream_lag_at_end_s": round(looks[-1].at - steady.ended_at, 2),
        "jetstream_rss_mb": round(max(look.rss_mb for look in [*looks, *ends])),
    }


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0))


async def _run(*, seconds: float, flat_out: int) -> dict[str, Any]:
    async with stand() as place:
        return await measured(place, seconds=seconds, flat_out=flat_out)


def main() -> None:
    """Print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=60, help="how long posts come at a steady rate")
    options.add_argument("--flat-out", type=int, default=FLAT_OUT, help="posts that are sent as fast as they are taken")
    chosen = options.parse_args()
    configure_logs("error")
    found = asyncio.run(_run(seconds=chosen.seconds, flat_out=chosen.flat_out))
    say(json.dumps({"bench": "jetstream", "machine": machine(), "commit": commit(), **found}))


if __name__ == "__main__":
    main()
