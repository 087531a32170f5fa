from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import NamedTuple, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from opinion.bus import Producer, read_all
from opinion.clock import ManualClock
from opinion.codec import decode
from opinion.errors import BusUnavailable, PageChanged, StoreUnavailable
from opinion.metrics import ScraperMetrics, exposition
from opinion.names import Names
from opinion.records import Document, Op
from opinion.redis_client import connect
from opinion.settings import Feed, Settings
from scrapers.cursor import SEEN_DAYS, CursorStore
from scrapers.fetch import Fetcher
from scrapers.health import Health
from scrapers.parsing import Parser
from scrapers.poll import WHOLE_EVERY, Poller
from scrapers.publish import MOST_BYTES, Publisher
from scrapers.scrape import Scraper, Shard
from tests.support.records import NOON
from tests.support.site import Page, Site
from tests.support.workers import until

pytestmark = [pytest.mark.integration]


def rss(*items: tuple[str, str]) -> bytes:
    body = "".join(f"<item><guid>https://n.example/{guid}</guid><title>{title}</title></item>" for guid, title in items)
    return f"<rss version='2.0'><channel>{body}</channel></rss>".encode()


class Memory:
    """A producer that keeps what it is given, and fails when told to."""

    def __init__(self) -> None:
        self.sent: list[Document] = []
        self.fails = False

    async def send_all(self, topic: str, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        assert topic.endswith(".documents.v1")
        if self.fails:
            raise BusUnavailable("Kafka is away")
        self.sent += [decode(value, Document) for _, value in records]


class Desk(NamedTuple):
    """A poller with everything real but Kafka."""

    poller: Poller
    sent: Memory
    clock: ManualClock
    cursors: CursorStore
    redis: Redis


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def desk(redis: Redis, names: Names) -> AsyncIterator[Desk]:
    clock, memory = ManualClock(NOON), Memory()
    cursors = CursorStore(redis, names, source="feed")
    async with Fetcher(Settings(allow_private_sources=True), clock=clock) as fetcher:
        yield Desk(Poller(fetcher, Parser(), Publisher(memory, cursors, names), clock=clock), memory, clock, cursors, redis)


async def test_an_item_is_published_once_and_an_edit_as_an_update(desk: Desk) -> None:
    async with Site(rss=Page(rss(("1", "Profit fell"), ("2", "Shares rose")))) as site:
        feed = Feed(url=site.at("rss"))
        assert [item.title for item in (await desk.poller.poll(feed)).published] == ["Profit fell", "Shares rose"]
        assert (await desk.poller.poll(feed)).outcome == "not_modified"
        site.pages["rss"] = Page(rss(("2", "Shares rose"), ("1", "Profit fell by half"), ("3", "New chief")))
        polled = await desk.poller.poll(feed)
    assert [(item.title, item.op, item.version) for item in polled.published] == [("Profit fell by half", Op.UPDATE, 2), ("New chief", Op.CREATE, 1)]
    assert len({item.doc_id for item in desk.sent.sent}) == 3
    assert "if-none-match" not in site.requests[0].headers
    assert "if-none-match" in site.requests[1].headers


async def test_the_cursor_stays_while_kafka_does_not_acknowledge(desk: Desk) -> None:
    async with Site(rss=Page(rss(("1", "Profit fell")))) as site:
        feed = Feed(url=site.at("rss"))
        desk.sent.fails = True
        with pytest.raises(BusUnavailable):
            await desk.poller.poll(feed)
        assert (await desk.cursors.load(feed.url)).body_hash == ""
        desk.sent.fails = False
        assert len((await desk.poller.poll(feed)).published) == 1


async def test_a_crash_after_the_acknowledgement_repeats_the_same_ids_only(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*_: object, **__: object) -> None:
        raise StoreUnavailable("Redis is away")

    async with Site(rss=Page(rss(("1", "Profit fell")))) as site:
        feed = Feed(url=site.at("rss"))
        with monkeypatch.context() as patched:
            patched.setattr(desk.cursors, "commit", lost)
            with pytest.raises(StoreUnavailable):
                await desk.poller.poll(feed)
        await desk.poller.poll(feed)
    assert len(desk.sent.sent) == 2
    assert len({item.doc_id for item in desk.sent.sent}) == 1


async def test_a_bad_body_is_not_kept_by_its_etag(desk: Desk) -> None:
    async with Site(rss=Page(b"<html><body>maintenance</body></html>")) as site:
        feed = Feed(url=site.at("rss"))
        for _ in range(2):
            with pytest.raises(PageChanged):
                await desk.poller.poll(feed)
    assert all("if-none-match" not in request.headers for request in site.requests)


async def test_a_server_that_answers_304_for_ever_is_asked_for_the_whole_now_and_then(desk: Desk) -> None:
    async with Site(rss=Page(rss(("1", "Profit fell")))) as site:
        feed = Feed(url=site.at("rss"))
        await desk.poller.poll(feed)
        desk.clock.advance(WHOLE_EVERY + timedelta(minutes=1))
        await desk.poller.poll(feed)
        await desk.poller.poll(feed)
    assert ["if-none-match" in request.headers for request in site.requests] == [False, False, True]


async def test_items_that_come_back_within_days_are_not_published_again(desk: Desk) -> None:
    async with Site(rss=Page(rss(("1", "Profit fell")))) as site:
        feed = Feed(url=site.at("rss"))
        await desk.poller.poll(feed)
        for days, body in ((2, rss(("2", "Shares rose"))), (5, rss(("1", "Profit fell")))):
            desk.clock.advance(timedelta(days=days))
            site.pages["rss"] = Page(body)
            await desk.poller.poll(feed)
    assert [item.title for item in desk.sent.sent] == ["Profit fell", "Shares rose"]


async def test_what_stays_listed_stays_known_however_long_nothing_changes(desk: Desk) -> None:
    async with Site(rss=Page(rss(("1", "Profit fell")))) as site:
        feed = Feed(url=site.at("rss"))
        for _ in range(2 * SEEN_DAYS):
            await desk.poller.poll(feed)
            desk.clock.advance(timedelta(days=1))
        site.pages["rss"] = Page(rss(("2", "Shares rose"), ("1", "Profit fell")))
        await desk.poller.poll(feed)
    assert [item.title for item in desk.sent.sent] == ["Profit fell", "Shares rose"]


async def test_a_body_that_goes_by_another_etag_is_asked_for_by_that(desk: Desk) -> None:
    async with Site(rss=Page(rss(("1", "Profit fell")), headers={"etag": '"moved"'})) as site:
        feed = Feed(url=site.at("rss"))
        await desk.poller.poll(feed)
        site.pages["rss"].headers["etag"] = '"moved again"'
        for _ in range(2):
            assert (await desk.poller.poll(feed)).outcome == "not_modified"
    assert [request.headers.get("if-none-match") for request in site.requests] == [None, '"moved"', '"moved again"']


async def test_an_item_that_is_too_long_for_kafka_costs_the_others_nothing(desk: Desk) -> None:
    endless = f"https://n.example/{'x' * MOST_BYTES}"
    async with Site(rss=Page(rss(("1", "Profit fell")).replace(b"<title>", f"<link>{endless}</link><title>".encode()))) as site:
        feed = Feed(url=site.at("rss"))
        assert (await desk.poller.poll(feed)).published == []
        site.pages["rss"] = Page(site.pages["rss"].body.replace(b"<channel>", b"<channel><item><guid>https://n.example/2</guid><title>Shares rose</title></item>"))
        await desk.poller.poll(feed)
    assert [item.title for item in desk.sent.sent] == ["Shares rose"]


async def test_a_store_that_takes_no_writes_costs_a_source_no_requests(desk: Desk) -> None:
    async with Site(rss=Page(rss(("1", "Profit fell")))) as site:
        await desk.redis.config_set("min-replicas-to-write", 1)
        try:
            with pytest.raises(StoreUnavailable):
                await desk.poller.poll(Feed(url=site.at("rss")))
        finally:
            await desk.redis.config_set("min-replicas-to-write", 0)
        assert site.requests == []
        assert len((await desk.poller.poll(Feed(url=site.at("rss")))).published) == 1


async def test_authors_are_hashed_alike_by_every_scraper_of_an_installation(desk: Desk, names: Names) -> None:
    other = CursorStore(desk.redis, names, source="feed")
    assert await desk.cursors.author_key() == await other.author_key()
    assert len(await other.author_key()) == 32


@pytest.mark.timeout(120)
async def test_feeds_that_fail_do_not_stop_those_that_work(kafka_address: str, redis_url: str, redis: Redis, names: Names) -> None:
    bomb = gzip.compress(b" " * 30_000_000)
    pages = {
        "good": Page(rss(("1", "Profit fell"), ("2", "Shares rose"))),
        "page": Page(b"<html>moved</html>"),
        "bomb": Page(bomb, headers={"content-encoding": "gzip"}),
        "wall": Page(b"no", status=403),
        "busy": Page(b"", status=429, headers={"retry-after": "60"}),
        "cut": Page(rss(("3", "Whole"), ("4", "Broken off"))[:-60]),
    }
    async with Site(**pages) as site:
        feeds = [Feed(url=site.at(name), name=name) for name in (*pages, "gone")]
        settings = Settings(
            kafka=kafka_address, redis=redis_url, namespace=names.namespace, sources=[*feeds, Feed(url="http://127.0.0.1:9/", name="closed")],
            poll_interval_s=0.3, allow_private_sources=True,
        )  # fmt: skip
        registry = CollectorRegistry()
        producer = Producer(kafka_address)
        running = asyncio.create_task(Scraper(settings, redis=redis, producer=producer, metrics=ScraperMetrics(registry), shard=Shard()).run())
        try:
            await until(lambda: _reported(redis, names, len(settings.sources)), within_s=60)
            site.pages["good"] = Page(rss(("5", "Later news")))
            await until(lambda: _published(kafka_address, names, "Later news"), within_s=30)
            await until(lambda: _is_in_state(redis, names, "cut", "partial"), within_s=30)  # told by two polls
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await producer.stop()
    kept = cast("dict[bytes, bytes]", await redis.hgetall(names.sources))
    health = {name.decode(): msgspec.json.decode(value, type=Health) for name, value in kept.items()}
    reasons = {name: found.last_reason.value if found.last_reason else found.state for name, found in health.items()}
    assert reasons == {
        "good": "ok",
        "page": "page_changed",
        "bomb": "body_too_large",
        "wall": "source_walled",
        "busy": "source_rate_limited",
        "cut": "partial",
        "gone": "source_gone",
        "closed": "source_unavailable",
    }
    titles = {decode(value, Document).title for value in await read_all(kafka_address, names.documents)}
    assert titles == {"Profit fell", "Shares rose", "Later news", "Whole"}
    assert b'yuqing_scraper_fetches_total{outcome="body_too_large",source="bomb"}' in exposition(registry)


async def _reported(redis: Redis, names: Names, count: int) -> bool:
    return bool(await redis.hlen(names.sources) == count)


async def _is_in_state(redis: Redis, names: Names, name: str, state: str) -> bool:
    value = await redis.hget(names.sources, name)
    return value is not None and msgspec.json.decode(cast("bytes", value), type=Health).state == state


async def _published(kafka: str, names: Names, title: str) -> bool:
    return any(decode(value, Document).title == title for value in await read_all(kafka, names.documents))
