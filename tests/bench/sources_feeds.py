"""One scraper and hundreds of feeds: how many it polls, what that takes of the machine, how late polls begin, and whether an item is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, cast

import httpx
import msgspec

from opinion.bus import read_all
from opinion.clock import monotonic_s
from opinion.codec import decode
from opinion.records import Document
from opinion.settings import Feed, Settings
from scrapers.health import Health
from tests.bench.feed_hosts import Report
from tests.bench.made_feeds import address_of
from tests.bench.processes import Process, running
from tests.bench.report import say
from tests.bench.stand import Stand
from tests.bench.usage import Usage
from tests.support.workers import until
from yuqing.embedded.process import free_port
from yuqing.up import read_metrics

LOOK_EVERY_S = 0.5
ASK_EVERY_S = 5.0
"""Between two looks at when the next polls are due: less than a wait, so that each is seen."""
READ_METRICS_EVERY_S = 15.0
"""As Prometheus does by default."""
ROUNDED_S = 0.1
"""The scraper tells its waits to a tenth of a second."""
ANSWER_WITHIN_S = 30.0
ROUND_WITHIN_S = 300.0
KEPT_WITHIN_S = 30.0
FIRST_LOOKS_S = 2.0
PUBLISHED = "yuqing_scraper_documents_total"


class Due(NamedTuple):
    """When a feed is to be polled next."""

    feed: int
    at_s: float  # epoch seconds


class Hosts:
    """The server of the feeds, asked for what it saw."""

    def __init__(self, client: httpx.AsyncClient, port: int) -> None:
        self._client = client
        self._base = address_of(0, port=port).rpartition("/feed/")[0]

    async def report(self, *, freeze: bool = False) -> Report:
        """What it saw until now; with `freeze` no feed changes any more."""
        answer = await self._client.get(f"{self._base}/{'freeze' if freeze else 'report'}")
        return msgspec.json.decode(answer.content, type=Report)

    async def answers(self) -> bool:
        """Whether it is there."""
        try:
            await self.report()
        except httpx.TransportError:
            return False
        return True


class Watch:
    """Looks at the scraper while it works."""

    def __init__(self, place: Stand, settings: Settings, *, process: Process, client: httpx.AsyncClient) -> None:
        self._place = place
        self._settings = settings
        self._process = process
        self._client = client
        self.usage = Usage(process.pid)
        self.due: set[Due] = set()

    async def published(self) -> int:
        """Documents that Kafka has acknowledged, as the scraper says."""
        return int((await read_metrics(self._client, f"http://{self._settings.api_host}:{self._settings.scraper_port}")).get(PUBLISHED, 0))

    async def look(self, *, for_s: float) -> None:
        """Note memory, processor time and when polls are due, for so long."""
        now_s = monotonic_s()
        end_s, ask_s, read_s = now_s + for_s, now_s, now_s + READ_METRICS_EVERY_S
        while (now_s := monotonic_s()) < end_s:
            self._process.check()
            self.usage.look()
            if now_s >= ask_s:
                self.due |= await self._due()
                ask_s += ASK_EVERY_S
            if now_s >= read_s:
                await self.published()
                read_s += READ_METRICS_EVERY_S
            await asyncio.sleep(min(LOOK_EVERY_S, max(end_s - now_s, 0)))
        self.usage.look()

    async def _due(self) -> set[Due]:
        known = cast("dict[bytes, bytes]", await self._place.redis.hgetall(self._settings.names.sources))
        return due_of({name.decode(): msgspec.json.decode(value, type=Health) for name, value in known.items()})


def due_of(healths: Mapping[str, Health]) -> set[Due]:
    """When the feeds are due, by their names, as far as they were polled at all."""
    return {Due(int(name), (health.polled_at + timedelta(seconds=health.interval_s)).timestamp()) for name, health in healths.items() if health.polled_at}


def delays_s(due: Iterable[Due], asked: Iterable[tuple[int, float]]) -> list[float]:
    """By how many seconds each request came later than its feed was due, shortest first; requests of which that is not known are left out.

    >>> delays_s([Due(1, 60.0), Due(1, 120.0)], [(1, 0.0), (1, 60.5), (1, 120.25), (2, 130.0)])
    [0.25, 0.5]
    """
    found: dict[Due, float] = {}
    requests: dict[int, list[float]] = {}
    for feed, at_s in asked:
        requests.setdefault(feed, []).append(at_s)
    for next_poll in due:
        later = [at_s - next_poll.at_s for at_s in requests.get(next_poll.feed, []) if at_s >= next_poll.at_s - ROUNDED_S]
        if later:
            found[next_poll] = max(min(later), 0.0)
    return sorted(found.values())


async def measured(place: Stand, *, feeds: int, seconds: float, interval_s: float) -> dict[str, Any]:
    """The figures of one scraper that polls so many feeds, after its first round, by name; `n` are polls."""
    port = free_port()
    sources = [Feed(name=str(feed), url=address_of(feed, port=port)) for feed in range(feeds)]
    settings = place.installation("sources", sources=sources, poll_interval_s=interval_s, allow_private_sources=True)
    serving = running(["-m", "tests.bench.feed_hosts", str(port), str(feeds)], settings=settings, log_path=place.folder / "hosts.log")
    async with httpx.AsyncClient(trust_env=False, timeout=ANSWER_WITHIN_S) as client, serving:
        hosts = Hosts(client, port)
        await until(hosts.answers, within_s=ANSWER_WITHIN_S)
        async with running(["-m", "yuqing", "scrape"], settings=settings, log_path=place.folder / "scraper.log") as scraper:
            watch = Watch(place, settings, process=scraper, client=client)
            first = await _first_round(watch, hosts, feeds=feeds)
            steady = await _steady(watch, hosts, seconds=seconds)
            return {"feeds": feeds, "seconds": seconds, "interval_s": interval_s} | first | steady | await _kept(place, settings, hosts)


async def _first_round(watch: Watch, hosts: Hosts, *, feeds: int) -> dict[str, Any]:
    """Return when every feed was polled and all that they list is published."""
    began_s = monotonic_s()
    async with asyncio.timeout(ROUND_WITHIN_S):
        while True:
            await watch.look(for_s=FIRST_LOOKS_S)
            report = await hosts.report()
            if len({feed for feed, _ in report.asked}) == feeds and await watch.published() >= len(report.offered):
                break
    took_s = monotonic_s() - began_s
    say(f"first round of {feeds} feeds: {len(report.offered)} documents published within {took_s:.0f} s, {sum(watch.usage.cpu_s):.1f} s of processor time")
    return {"first_round_s": round(took_s, 1), "first_round_documents": len(report.offered), "first_round_cpu_s": round(sum(watch.usage.cpu_s), 1)}


async def _steady(watch: Watch, hosts: Hosts, *, seconds: float) -> dict[str, Any]:
    """What the scraper does and takes from here on, then until it has published what it was offered."""
    usage, (own_s, parser_s) = watch.usage, watch.usage.cpu_s
    before, published, began_s = await hosts.report(), await watch.published(), monotonic_s()
    await watch.look(for_s=seconds)
    after, took_s = await hosts.report(freeze=True), monotonic_s() - began_s
    own, parser = (usage.cpu_s[0] - own_s) / took_s, (usage.cpu_s[1] - parser_s) / took_s
    documents = await watch.published() - published
    polls, unchanged = len(after.asked) - len(before.asked), after.not_modified - before.not_modified
    await _all_published(watch, hosts)
    late_s = delays_s([next_poll for next_poll in watch.due if next_poll.at_s >= before.asked[-1][1]], after.asked)
    found = {
        "feeds_per_min": round(polls / took_s * 60, 1),
        "documents_per_min": round(documents / took_s * 60, 1),
        "rss_mb": round(usage.together_mb, 1),
        "rss_mb_scraper": round(usage.own_mb, 1),
        "rss_mb_parser": round(usage.children_mb, 1),
        "cpu_cores": round(own + parser, 3),
        "cpu_cores_scraper": round(own, 3),
        "cpu_cores_parser": round(parser, 3),
        "start_delay_p50_s": round(late_s[len(late_s) // 2], 2) if late_s else None,
        "start_delay_p95_s": round(late_s[len(late_s) * 95 // 100], 2) if late_s else None,
        "not_modified": unchanged,
        "polls": polls,
        "n": polls,
    }
    say("  ".join(f"{name} {value}" for name, value in found.items()))
    return found


async def _all_published(watch: Watch, hosts: Hosts) -> None:
    """Return when what was offered is published, or too late for that."""
    end_s = monotonic_s() + KEPT_WITHIN_S
    while await watch.published() < len((await hosts.report()).offered) and monotonic_s() < end_s:
        await watch.look(for_s=FIRST_LOOKS_S)


async def _kept(place: Stand, settings: Settings, hosts: Hosts) -> dict[str, Any]:
    """Items that were offered and are not in Kafka, and those that are there more than once."""
    kafka, _ = settings.require_servers()
    offered = (await hosts.report()).offered
    told = Counter(decode(value, Document).native_id for value in await read_all(kafka, settings.names.documents))
    return {"offered": len(offered), "lost": sum(native_id not in told for native_id in offered), "told_twice": sum(times > 1 for times in told.values())}
