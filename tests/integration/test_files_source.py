"""A source whose polls bring an index: every file once, in order, whatever fails in between."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from opinion.clock import ManualClock
from opinion.errors import BusUnavailable, SourceError, SourceGone, SourceUnavailable
from opinion.names import Names
from opinion.redis_client import connect
from opinion.settings import Feed, Settings
from scrapers.cursor import CursorStore
from scrapers.fetch import Fetcher
from scrapers.parsing import Parser
from scrapers.poll import Poller
from scrapers.publish import Publisher
from scrapers.sources import gdelt
from tests.integration.test_scrape import Memory
from tests.support.records import NOON
from tests.support.site import Page, Site

STAMPS = ["20261123010000", "20261123011500", "20261123013000"]
FEED = Feed(source="gdelt")


class Desk(NamedTuple):
    poller: Poller
    sent: Memory

    def told(self) -> list[str]:
        return [document.title for document in self.sent.sent]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def desk(redis: Redis, names: Names) -> AsyncIterator[Desk]:
    clock, memory = ManualClock(NOON), Memory()
    async with Fetcher(Settings(allow_private_sources=True), clock=clock) as fetcher:
        yield Desk(Poller(fetcher, Parser(), Publisher(memory, CursorStore(redis, names, source="feed"), names), clock=clock), memory)


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with Site() as found:
        monkeypatch.setattr(gdelt, "HOST", found.url)
        yield found


def table(*titles: str) -> bytes:
    rows = []
    for title in titles:
        row = [""] * gdelt.COLUMNS
        row[gdelt.SOURCE_COLUMN], row[gdelt.URL_COLUMN], row[gdelt.THEMES_COLUMN] = "wire.example", f"https://wire.example/{title.replace(' ', '-')}", "ECON_STOCKMARKET;"
        row[gdelt.EXTRAS_COLUMN] = f"<PAGE_TITLE>{title}</PAGE_TITLE>"
        rows.append("\t".join(row))
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("gkg.csv", "\n".join(rows))
    return held.getvalue()


def publish(site: Site, stamp: str, *titles: str, md5: str | None = None) -> None:
    body = table(*titles)
    site.pages[f"{stamp}.gkg.csv.zip"] = Page(body)
    site.pages["lastupdate.txt"] = Page(f"{len(body)} {md5 or hashlib.md5(body, usedforsecurity=False).hexdigest()} {site.url}/{stamp}.gkg.csv.zip\n".encode())


async def test_files_that_came_while_nobody_looked_are_read_in_order(desk: Desk, site: Site) -> None:
    publish(site, STAMPS[0], "First falls")
    assert (await desk.poller.poll(FEED)).outcome == "ok"
    publish(site, STAMPS[1], "Second falls", "Third falls")
    publish(site, STAMPS[2], "Fourth falls")
    await desk.poller.poll(FEED)
    assert desk.told() == ["First falls", "Second falls", "Third falls", "Fourth falls"]
    assert (await desk.poller.poll(FEED)).outcome == "not_modified"


async def test_a_failure_in_the_middle_costs_nothing(desk: Desk, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(site, STAMPS[0], "First falls")
    await desk.poller.poll(FEED)
    for stamp, title in zip(STAMPS[1:], ["Second falls", "Third falls"], strict=True):
        publish(site, stamp, title)
    sending, calls = desk.sent.send_all, 0

    async def dies_once(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise BusUnavailable("Kafka is away")
        await sending(*arguments)

    monkeypatch.setattr(desk.sent, "send_all", dies_once)
    with pytest.raises(BusUnavailable):
        await desk.poller.poll(FEED)
    await desk.poller.poll(FEED)
    assert desk.told() == ["First falls", "Second falls", "Third falls"]


async def test_a_file_that_was_never_made_stops_nothing_but_the_newest_is_waited_for(desk: Desk, site: Site) -> None:
    publish(site, STAMPS[0], "First falls")
    await desk.poller.poll(FEED)
    publish(site, STAMPS[2], "Third falls")
    held = site.pages.pop(f"{STAMPS[2]}.gkg.csv.zip")
    with pytest.raises(SourceGone):
        await desk.poller.poll(FEED)
    site.pages[f"{STAMPS[2]}.gkg.csv.zip"] = held
    polled = await desk.poller.poll(FEED)
    assert [problem.reason for problem in polled.problems or ()] == ["invalid"]
    assert desk.told() == ["First falls", "Third falls"]


async def test_a_file_of_another_md5_is_not_believed(desk: Desk, site: Site) -> None:
    publish(site, STAMPS[0], "First falls", md5="0" * 32)
    with pytest.raises(SourceUnavailable, match="md5"):
        await desk.poller.poll(FEED)
    publish(site, STAMPS[0], "First falls")
    await desk.poller.poll(FEED)
    assert desk.told() == ["First falls"]


async def test_a_file_that_is_no_zip_is_an_error_of_the_source(desk: Desk, site: Site) -> None:
    publish(site, STAMPS[0], "First falls")
    site.pages[f"{STAMPS[0]}.gkg.csv.zip"] = Page(b"<html>maintenance</html>")
    with pytest.raises(SourceError):
        await desk.poller.poll(FEED)
    assert desk.told() == []
