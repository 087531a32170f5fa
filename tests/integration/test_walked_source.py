"""A source that is walked item by item: none lost and none twice, whatever comes late, changes or fails in between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

import scrapers.fetch
import scrapers.poll
from opinion.bus import Producer, read_all, wait_for_topics
from opinion.clock import ManualClock
from opinion.codec import decode
from opinion.errors import SourceUnavailable
from opinion.names import Names
from opinion.records import Document, Op
from opinion.redis_client import connect
from opinion.settings import Feed, Settings
from scrapers.cursor import CursorStore
from scrapers.fetch import Fetcher
from scrapers.parsing import Parser
from scrapers.poll import Polled, Poller
from scrapers.publish import Publisher
from scrapers.sources import hn
from tests.support.feed_server import FeedServer, Reply, reply
from tests.support.records import NOON
from tests.support.workers import until

pytestmark = [pytest.mark.integration]

FEED = Feed(source="hn")
AT = int(NOON.timestamp()) - 60
DELETED = {"deleted": True, "type": "comment", "time": AT}


class HackerNews(FeedServer):
    """Items by number; what is not there is `null`, as everything is that nobody knows."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[int, dict[str, Any]] = {}
        self.newest = 0
        self.changed: list[int] = []
        self.stuck: set[int] = set()  # items whose answer never comes
        self.failing: set[int] = set()

    def post(self, *numbers: int, **fields: Any) -> None:
        """Make them be there."""
        for number in numbers:
            self.items[number] = {"id": number, "type": "comment", "text": f"Text {number}", "by": "ann", "time": AT} | fields
        self.newest = max([self.newest, *numbers])

    def change(self, number: int, **fields: Any) -> None:
        """Change one, and say so."""
        self.items[number] = {"id": number} | fields
        self.changed.append(number)

    def asked(self) -> list[int]:
        """Numbers of the items asked for, in order."""
        return [int(request.path.removeprefix("/item/").removesuffix(".json")) for request in self.requests if request.path.startswith("/item/")]

    def _reply_to(self, path: str) -> Reply:
        if path == "/maxitem.json":
            return reply(str(self.newest).encode())
        if path == "/updates.json":
            return reply(json.dumps({"items": self.changed, "profiles": ["ann"]}).encode())
        number = int(path.removeprefix("/item/").removesuffix(".json"))
        if number in self.stuck:
            return Reply(hangs=True)
        return reply(status=500) if number in self.failing else reply(json.dumps(self.items.get(number)).encode())


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HackerNews]:
    monkeypatch.setattr(hn, "FIRST", 3)
    monkeypatch.setattr(scrapers.fetch, "MOST_PER_S", 1000.0)
    async with HackerNews() as found:
        monkeypatch.setattr(hn, "HOST", found.url)
        yield found


class Desk(NamedTuple):
    """A poller on real servers."""

    poller: Poller
    kafka: str
    names: Names
    clock: ManualClock

    async def poll(self, feed: Feed = FEED) -> Polled:
        return await self.poller.poll(feed)

    async def told(self) -> list[tuple[str, str, int, str]]:
        """Everything in Kafka, in order: what happened, to which item, its version and text."""
        documents = [decode(value, Document) for value in await read_all(self.kafka, self.names.documents)]
        return [(document.op.value, document.native_id, document.version, document.text) for document in documents]


@asynccontextmanager
async def opened(kafka: str, redis: Redis, names: Names) -> AsyncIterator[Desk]:
    clock, producer = ManualClock(NOON), Producer(kafka)
    try:
        async with Fetcher(Settings(allow_private_sources=True), clock=clock) as fetcher:
            yield Desk(Poller(fetcher, Parser(), Publisher(producer, CursorStore(redis, names, source="feed"), names), clock=clock), kafka, names, clock)
    finally:
        await producer.stop()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def desk(kafka_address: str, redis: Redis, names: Names) -> AsyncIterator[Desk]:
    await wait_for_topics(kafka_address, names, partitions=1, replication=1)
    async with opened(kafka_address, redis, names) as found:
        yield found


def new(*numbers: int) -> list[tuple[str, str, int, str]]:
    return [(Op.CREATE.value, str(number), 1, f"Text {number}") for number in numbers]


async def test_every_item_is_told_once_and_in_order(desk: Desk, site: HackerNews) -> None:
    site.post(*range(1, 6))
    assert (await desk.poll()).outcome == "ok"
    site.post(6, 7)
    site.post(8, dead=True)
    site.post(9, type="pollopt")
    site.post(10)
    polled = await desk.poll()
    assert (len(polled.published), polled.problems, polled.at_once) == (3, [], False)
    assert (await desk.poll()).outcome == "not_modified"
    assert await desk.told() == new(3, 4, 5, 6, 7, 10)
    assert site.asked() == list(range(3, 11))


async def test_an_item_that_comes_late_is_told_and_holds_up_no_other(desk: Desk, site: HackerNews) -> None:
    site.post(1)
    await desk.poll()
    site.post(2, text="[delayed]")
    site.post(4)
    site.newest = 5
    polled = await desk.poll()
    assert (polled.problems, await desk.told()) == ([], new(1, 4))
    desk.clock.advance(timedelta(minutes=1))
    site.post(2, 5)
    assert len((await desk.poll()).published) == 2, "the newest number is as it was, but something is waited for"
    desk.clock.advance(timedelta(minutes=1))
    site.post(3, 6)
    await desk.poll()
    assert await desk.told() == new(1, 4, 2, 5, 3, 6)
    assert (await desk.poll()).outcome == "not_modified"


async def test_an_item_that_never_comes_is_told_as_a_problem_and_asked_for_no_more(desk: Desk, site: HackerNews) -> None:
    site.post(1)
    await desk.poll()
    site.post(3)
    assert (await desk.poll()).problems == []
    desk.clock.advance(timedelta(seconds=hn.PATIENCE_S))
    site.post(4)
    polled = await desk.poll()
    assert [(problem.reason, problem.detail) for problem in polled.problems or ()] == [("empty", "2.json is not there")]
    site.post(5)
    assert (await desk.poll()).problems == []
    assert site.asked() == [1, 2, 3, 2, 4, 5]
    assert await desk.told() == new(1, 3, 4, 5)


async def test_edits_and_deletions_travel_of_what_was_told_alone(desk: Desk, site: HackerNews) -> None:
    site.post(*range(1, 6))
    await desk.poll()
    site.change(1, type="comment", text="An old text, edited now", time=AT)
    site.change(2, **DELETED)
    site.change(4, type="comment", text="Edited", time=AT)
    site.change(5, **DELETED)
    site.post(6)
    site.post(7, **DELETED)
    await desk.poll()
    assert await desk.told() == [*new(3, 4, 5, 6), ("update", "4", 2, "Edited"), ("delete", "5", 2, "")]
    assert not {1, 2} & set(site.asked()), "what was never told is not even asked for"
    site.post(8)
    site.change(5, type="comment", text="Back again", time=AT)
    await desk.poll()
    assert await desk.told() == [*new(3, 4, 5, 6), ("update", "4", 2, "Edited"), ("delete", "5", 2, ""), *new(8)]


async def test_a_scraper_that_is_stopped_in_the_middle_goes_on_there(desk: Desk, site: HackerNews, redis: Redis) -> None:
    site.post(1)
    await desk.poll()
    site.post(*range(2, 10))
    del site.items[3]
    site.stuck.add(6)
    polling = asyncio.create_task(desk.poll())
    await until(lambda: 6 in site.asked(), within_s=30)
    polling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await polling
    assert await desk.told() == new(1, 2, 4, 5)
    site.stuck.clear()
    site.post(3)
    async with opened(desk.kafka, redis, desk.names) as again:
        await again.poll()
        assert await again.told() == new(1, 2, 4, 5, 3, 6, 7, 8, 9)


async def test_an_item_that_cannot_be_had_is_had_by_the_next_poll(desk: Desk, site: HackerNews) -> None:
    site.post(1)
    await desk.poll()
    site.post(2, 3, 4)
    site.failing.add(3)
    with pytest.raises(SourceUnavailable):
        await desk.poll()
    site.failing.clear()
    await desk.poll()
    assert await desk.told() == new(1, 2, 3, 4)


async def test_a_long_absence_is_made_up_for_in_parts_as_far_as_it_counts(desk: Desk, site: HackerNews, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hn, "MOST_BEHIND", 12)
    monkeypatch.setattr(scrapers.poll, "MOST_FILES", 5)
    site.post(1)
    await desk.poll()
    site.post(*range(2, 31))
    polls = [await desk.poll() for _ in range(3)]
    assert [(len(polled.published), polled.at_once) for polled in polls] == [(5, True), (5, True), (2, False)]
    assert [(problem.reason, problem.detail) for polled in polls for problem in polled.problems or ()] == [
        ("over_cap", "17 items before number 19 were left out: they are more than 12 back")
    ]
    assert await desk.told() == new(1, *range(19, 31))
    assert (await desk.poll()).outcome == "not_modified"


@pytest.mark.parametrize("seed", [1, 2])
async def test_of_many_items_none_is_lost_and_none_told_twice_whatever_happens(desk: Desk, site: HackerNews, redis: Redis, seed: int) -> None:
    chance, last = random.Random(seed), 60
    site.post(1)
    await desk.poll()
    while site.newest < last:
        numbers = range(site.newest + 1, min(site.newest + chance.randint(1, 15), last) + 1)
        absent, hidden = ({number for number in numbers if chance.random() < 0.2} for _ in range(2))
        site.post(*(set(numbers) - absent - hidden), *hidden & absent)
        for number in hidden - absent:
            site.post(number, text="[delayed]")
        site.newest = numbers[-1]
        trouble = {chance.choice(numbers)} if chance.random() < 0.6 else set()
        site.stuck, site.failing = (trouble, set[int]()) if chance.random() < 0.5 else (set[int](), trouble)
        async with opened(desk.kafka, redis, desk.names) as other:
            await _stopped_where_it_hangs(other, site)
        site.stuck, site.failing = set(), set()
        if chance.random() < 0.5:
            site.post(*absent, *hidden)
            await desk.poll()
    site.post(*(number for number in range(1, last + 1) if site.items.get(number, {}).get("text") != f"Text {number}"))
    await desk.poll()
    assert sorted(await desk.told(), key=lambda row: int(row[1])) == new(*range(1, last + 1))


async def _stopped_where_it_hangs(desk: Desk, site: HackerNews) -> None:
    """A poll that fails at what fails, and is killed at what never answers."""
    polling = asyncio.create_task(desk.poll())
    await until(lambda: polling.done() or site.stuck & set(site.asked()), within_s=30, every_s=0.02)
    polling.cancel()
    with contextlib.suppress(asyncio.CancelledError, SourceUnavailable):
        await polling
