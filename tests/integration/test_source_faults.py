"""Every fault that polled sources are known for, at once, on one scraper: told right, waited for right, nothing lost or told twice, and over when it is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import certifi
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from opinion.addresses import is_public
from opinion.bus import Producer, read_all
from opinion.codec import decode
from opinion.metrics import FETCH_OUTCOMES, ScraperMetrics
from opinion.names import Names
from opinion.records import Document, Op
from opinion.redis_client import connect
from opinion.settings import Settings
from scrapers.schedule import JITTER
from scrapers.scrape import FeedLoop, Scraper, Shard
from scrapers.sources import cls, gdelt_doc, jin10, sina
from tests.support.fault_site import FaultSite, SecureSite, Stage, certificate
from tests.support.faults import DEADLINE_S, FAULTS, INTERVAL_S, MOST_BYTES, SECURE_HOST, SHIFTY_HOST
from tests.support.workers import until

pytestmark = pytest.mark.integration


class Step(NamedTuple):
    """One poll."""

    outcome: str
    failures: int
    wait_s: float


Polls = dict[tuple[Stage, str], list[Step]]
"""By stage and fault, those that saw no other stage."""
STAGES: dict[Stage, int] = {"well": 1, "ill": 3, "healed": 2}
"""How many polls of every fault are waited for."""
FAULT = {fault.name: fault for fault in FAULTS}
GOOD = ("ok", "empty")
"""What comes again after these is not modified."""
ANCIENT = datetime(2009, 1, 5, 8, tzinfo=UTC)
EXACT_S = 1e-6


class Watched(FeedLoop):
    """A loop whose polls are noted, with the waits that it would make: none is longer than the interval here."""

    site: FaultSite
    polls: Polls

    async def step(self) -> float:
        began, before, shown = self.site.stage, self._counted(), self.site.shown[self.name]
        shown.clear()
        wait_s = await super().step()
        stages = shown or {began, self.site.stage}
        if len(stages) == 1:
            (outcome,) = (name for name, count in self._counted().items() if count > before[name])
            self.polls[next(iter(stages)), self.name].append(Step(outcome, self.health.failures, wait_s))
        return min(wait_s, INTERVAL_S)

    def _counted(self) -> dict[str, float]:
        return {str(outcome): self._metrics.fetches.labels(self.name, str(outcome))._value.get() for outcome in FETCH_OUTCOMES}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


class Internet(NamedTuple):
    """127.1.0.0/16 stands for it, with one certificate that is trusted; this machine's other addresses are as private as ever."""

    site: FaultSite
    trusted: Path
    other: Path

    def turn(self, stage: Stage) -> None:
        """Let all pages come to that stage."""
        self.site.stage = stage
        self.site.secure[SHIFTY_HOST].show(self.other if stage == "ill" else self.trusted)


@pytest.fixture
async def internet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[Internet]:
    trusted, other = (certificate(tmp_path / name, SECURE_HOST, SHIFTY_HOST) for name in ("trusted.pem", "other.pem"))
    monkeypatch.setattr("opinion.addresses.is_public", lambda address: address.startswith("127.1.") or is_public(address))
    monkeypatch.setattr(certifi, "where", lambda: str(trusted))
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(FaultSite({fault.name: fault.play for fault in FAULTS}))
        for host in (SECURE_HOST, SHIFTY_HOST):
            site.secure[host] = await stack.enter_async_context(SecureSite(site, host=host, certificate=trusted))
        for adapter in (cls, gdelt_doc, sina):
            monkeypatch.setattr(adapter, "ADDRESS", site.at("bad_sign").replace("bad_sign", "api"))
        monkeypatch.setattr(jin10, "ADDRESS", site.at("assigned"))
        yield Internet(site, trusted, other)


def polled(polls: Polls, stage: Stage, n_polls: int) -> bool:
    return all(len(polls[stage, fault.name]) >= n_polls for fault in FAULTS)


@pytest.mark.timeout(120)
async def test_every_fault_is_survived(internet: Internet, monkeypatch: pytest.MonkeyPatch, kafka_address: str, redis_url: str, redis: Redis, names: Names) -> None:
    steps: Polls = defaultdict(list)

    class Ours(Watched):
        site = internet.site
        polls = steps

    monkeypatch.setattr("scrapers.scrape.FeedLoop", Ours)
    sources = [fault.feed(internet.site) for fault in FAULTS]
    settings = Settings(
        kafka=kafka_address, redis=redis_url, namespace=names.namespace, sources=sources, fetch_deadline_s=DEADLINE_S, max_body_bytes=MOST_BYTES
    )  # fmt: skip
    producer = Producer(kafka_address)
    running = asyncio.create_task(Scraper(settings, redis=redis, producer=producer, metrics=ScraperMetrics(CollectorRegistry()), shard=Shard()).run())
    try:
        for stage, n_polls in STAGES.items():
            internet.turn(stage)
            await until(partial(polled, steps, stage, n_polls), within_s=60, every_s=0.05)
        assert not running.done()
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await producer.stop()
    assert wrong(steps) == []
    told = [decode(value, Document) for value in await read_all(kafka_address, names.documents)]
    assert titles(told) == {fault.name: sorted(fault.told) for fault in FAULTS}
    assert {document.title: document.published_at for document in told if document.publisher in ("ancient", "future") and document.published_at} == {"old": ANCIENT}
    assert not [request for request in internet.site.requests if request.headers["host"].startswith("127.0.0.1:")]
    assert internet.site.asked("other_certificate") <= 1  # by a connection that was there before
    assert internet.site.last_asked("restless_etag").headers["if-none-match"]


def wrong(polls: Polls) -> list[str]:
    """What went otherwise than it should."""
    found = []
    for (stage, name), steps in polls.items():
        fault, outcomes = FAULT[name], [step.outcome for step in steps]
        right = {fault.outcome} | ({"not_modified"} if fault.outcome in GOOD else set()) if stage == "ill" else {"ok", "not_modified"}
        if not set(outcomes) <= right or (stage == "ill" and outcomes[0] != fault.outcome):
            found.append(f"{name}, {stage}: {outcomes}, not {fault.outcome}")
        for step in steps:
            wait_s = fault.wait(step.failures) if stage == "ill" else INTERVAL_S
            if not (1 - JITTER) * wait_s - EXACT_S <= step.wait_s <= (1 + JITTER) * wait_s + EXACT_S:
                found.append(f"{name}, {stage}: {step.wait_s} s after {step.failures} failures, not {wait_s} s")
    return found


def titles(told: list[Document]) -> dict[str, list[str]]:
    """Titles by publisher, sorted; an update's with its version."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for document in told:
        title = document.title or document.text
        found[document.publisher].append(title if document.op is Op.CREATE else f"{title} v{document.version}")
    return {publisher: sorted(told) for publisher, told in found.items()}
