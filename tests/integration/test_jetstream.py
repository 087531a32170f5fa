"""A source that pushes, over real websockets that fail in every known way: nothing is lost, nothing is told twice."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec
import psutil
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis.asyncio import Redis

from opinion.bus import Producer, read_all
from opinion.clock import SystemClock, epoch_ms
from opinion.codec import decode
from opinion.errors import BusUnavailable
from opinion.metrics import ScraperMetrics
from opinion.names import Names
from opinion.records import Document, Op
from opinion.redis_client import connect
from opinion.settings import Feed, Settings
from scrapers.cursor import Cursor, CursorStore
from scrapers.health import Health
from scrapers.listen import Pace, listen
from scrapers.schedule import REFUSED_FIRST_S
from scrapers.scrape import Scraper, Shard
from scrapers.source import fitted
from scrapers.sources import jetstream
from scrapers.stream import UNREADABLE
from tests.support.jetstream import EVERY_US, Event, Jetstream, Play, deletion, post
from tests.support.proxy import Proxy
from tests.support.workers import environment, until
from yuqing.embedded.process import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

WAIT_S = 0.2
BEGAN_AT = datetime.now(UTC) - timedelta(minutes=30)
BEGAN_US = epoch_ms(BEGAN_AT) * 1000
"""These tests run by the clock on the wall: what happens on the network happened half an hour ago."""
NAME = "bluesky"
MOST_GROWTH_MB = 32


def at_us(number: int) -> int:
    return BEGAN_US + number * EVERY_US


def posts(*numbers: int) -> list[Event]:
    return [post(number, time_us=at_us(number)) for number in numbers]


class Desk(NamedTuple):
    """A scraper of one Jetstream, everything real, and what came of it."""

    settings: Settings
    redis: Redis
    registry: CollectorRegistry

    @property
    def feed(self) -> Feed:
        return self.settings.sources[0]

    @property
    def cursors(self) -> CursorStore:
        return CursorStore(self.redis, self.settings.names, source="jetstream")

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"yuqing_scraper_{name}_total", {"source": NAME, **labels}) or 0.0

    def ended(self, outcome: str) -> float:
        return self.metric("fetches", outcome=outcome)

    async def told(self, count: int, *, within_s: float = 20) -> list[Document]:
        """What Kafka holds once so many documents were published."""
        await until(lambda: self.metric("documents") >= count, within_s=within_s, every_s=0.05)
        return await self.documents()

    async def documents(self) -> list[Document]:
        return [decode(value, Document) for value in await read_all(self.settings.kafka or "", self.settings.names.documents)]

    async def health(self) -> Health:
        return msgspec.json.decode(cast("bytes", await self.redis.hget(self.settings.names.sources, NAME)), type=Health)

    @asynccontextmanager
    async def scraping(self, producer: Producer | None = None) -> AsyncIterator[None]:
        """A scraper runs meanwhile."""
        producer = producer or Producer(self.settings.kafka or "")
        running = asyncio.create_task(Scraper(self.settings, redis=self.redis, producer=producer, metrics=ScraperMetrics(self.registry), shard=Shard()).run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await producer.stop()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def desk_of(kafka_address: str, redis_url: str, redis: Redis, names: Names) -> Any:
    def made(url: str, **options: str) -> Desk:
        feed = Feed(source="jetstream", url=url, name=NAME, interval_s=WAIT_S, options={name: SecretStr(value) for name, value in options.items()})
        return Desk(Settings(kafka=kafka_address, redis=redis_url, namespace=names.namespace, sources=[feed], allow_private_sources=True, partitions=1), redis, CollectorRegistry())

    return made


def texts(events: Sequence[Event]) -> list[str]:
    return [event.record["text"] for event in events if event.record]


def once(documents: Sequence[Document], events: Sequence[Event]) -> bool:
    """Whether these are the posts, each of them once."""
    counts = Counter(document.text for document in documents)
    assert set(counts) == set(texts(events))
    assert set(counts.values()) == {1}
    return True


async def test_posts_are_published_as_they_come_and_deletions_of_those_only(desk_of: Any) -> None:
    early, late = posts(*range(20)), posts(*range(20, 30))
    stranger = post(999, "my cat slept well", time_us=at_us(20))
    async with Jetstream(early[:1]) as server:
        desk = desk_of(server.url)
        async with desk.scraping():
            await until(lambda: server.asked, within_s=20, every_s=0.05)
            await server.tell(*early[1:], stranger)
            await desk.told(19)
            await server.tell(*late, deletion(31, of=early[1]), deletion(32, of=stranger))
            documents = await desk.told(30)
    written = [document for document in documents if document.op is Op.CREATE]
    assert once(written, [*early[1:], *late])
    assert [(document.doc_id, document.version) for document in documents if document.op is Op.DELETE] == [(written[0].doc_id, 2)]
    assert "cursor" not in server.asked[0]


ENDINGS = {
    "v1 breaks off every ten messages": ("v1", [Play(after=10)] * 4),
    "v2 breaks off every ten messages": ("v2", [Play(after=10)] * 4),
    "v1 says nothing more": ("v1", [Play(after=40, ends="stall")]),
    "v2 throws us out as too slow": ("v2", [Play(after=40, ends="too_slow")]),
}


@pytest.mark.parametrize(("protocol", "plays"), ENDINGS.values(), ids=ENDINGS)
async def test_a_connection_that_ends_badly_costs_nothing(desk_of: Any, monkeypatch: pytest.MonkeyPatch, protocol: str, plays: list[Play]) -> None:
    monkeypatch.setattr(jetstream, "SOURCE", jetstream.SOURCE._replace(stream=replace(jetstream.STREAM, quiet_s=0.5)))
    events = posts(*range(100))
    async with Jetstream(events, plays=plays) as server:
        desk = desk_of(server.url, protocol=protocol)
        await begin_at(desk, events[0])
        async with desk.scraping():
            documents = await desk.told(100)
            await until(lambda: is_well(desk), within_s=5)
            health = await desk.health()
    assert once(documents, events)
    assert desk.ended("source_unavailable") == len(plays)
    assert len(server.asked) == len(plays) + 1
    assert health.gap is None


async def test_times_that_step_back_lose_nothing_where_a_connection_breaks_between_them(desk_of: Any) -> None:
    events = [post(number, time_us=at_us(number) - (32_000 if number % 4 == 1 else 0)) for number in range(60)]
    async with Jetstream(events, plays=[Play(after=41)]) as server:
        desk = desk_of(server.url)
        await begin_at(desk, events[0], rewound=True)
        async with desk.scraping():
            documents = await desk.told(60)
    assert once(documents, events)
    assert events[41].time_us < events[40].time_us


async def test_hosts_take_turns(desk_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    events = posts(*range(30))
    async with Jetstream(events, plays=[Play(after=10)]) as east, Jetstream(events, plays=[Play(status=503)]) as west:
        monkeypatch.setitem(jetstream.HOSTS, "v1", (east.url, west.url))
        desk = desk_of("")
        await begin_at(desk, events[0])
        async with desk.scraping():
            documents = await desk.told(30)
    assert once(documents, events)
    assert (len(east.asked), len(west.asked)) == (2, 1)
    assert desk.ended("source_unavailable") == 2
    assert len({document.author_hash for document in documents}) == 7


async def test_what_v1_leaves_out_without_a_word_is_told_as_a_gap_once(desk_of: Any) -> None:
    events = posts(*range(100))
    async with Jetstream(events, plays=[Play(floor=50, after=20), Play(floor=50)]) as server:
        desk = desk_of(server.url)
        await begin_at(desk, events[0], back=timedelta(hours=40))
        async with desk.scraping():
            documents = await desk.told(50)
            await until(lambda: is_well(desk), within_s=5)
            health = await desk.health()
    assert once(documents, events[50:])
    assert health.gap is not None
    assert (epoch_ms(health.gap.since), epoch_ms(health.gap.until)) == (events[0].time_us // 1000 - 40 * 3_600_000, events[50].time_us // 1000)
    assert desk.metric("gaps") == 1


async def test_a_place_that_v2_refuses_as_too_old_is_left_with_a_gap(desk_of: Any) -> None:
    events, later = posts(*range(100)), posts(*range(100, 120))
    async with Jetstream(events, plays=[Play(floor=50), Play()]) as server:
        desk = desk_of(server.url, protocol="v2")
        await begin_at(desk, events[0])
        async with desk.scraping():
            await until(lambda: len(server.asked) == 2, within_s=20, every_s=0.05)
            await server.tell(*later)
            documents = await desk.told(20)
            await until(lambda: is_well(desk), within_s=5)
            health = await desk.health()
    assert server.cursors == [1, None]
    assert once(documents, later)
    assert health.gap is not None
    assert epoch_ms(health.gap.since) == events[0].time_us // 1000
    assert datetime.now(UTC) - health.gap.until < timedelta(minutes=2)
    assert desk.metric("gaps") == 1
    assert desk.ended("source_unavailable") == 0


async def test_a_long_message_is_passed_over_and_one_too_long_to_be_taken_in_stops_nothing_for_ever(desk_of: Any) -> None:
    events, later = posts(*range(40)), posts(*range(60, 80))
    events[20] = post(20, "stocks " + "x" * 1_500_000, time_us=at_us(20))
    events[30] = post(30, "stocks " + "x" * 8_500_000, time_us=at_us(30))
    async with Jetstream(events) as server:
        desk = desk_of(server.url)
        await begin_at(desk, events[0])
        async with desk.scraping():
            await until(lambda: None in server.cursors, within_s=20, every_s=0.05)
            await server.tell(*later)
            documents = await desk.told(29 + 20)
            await until(lambda: is_well(desk), within_s=5)
            health = await desk.health()
    assert once(documents, [*events[:20], *events[21:30], *later])
    assert desk.ended("body_too_large") <= 3  # the rewound stretch is a place of its own
    assert desk.metric("items_dropped", reason="over_cap") >= 1
    assert health.gap is not None
    assert epoch_ms(health.gap.since) == events[29].time_us // 1000
    assert desk.metric("gaps") == 1


NO_POST = '{"kind":"identity","did":"did:plc:x","time_us":1}'
GARBAGE: list[str | bytes] = ["no JSON", b"\xff\xfe\x00", "{", "[]", "null", "7", "", "\n", '{"did":1}', '{"time_us":1e300}', "<html>", NO_POST, "[" * 50_000]


@pytest.mark.parametrize("binary", [False, True], ids=["as text", "as binary"])
async def test_messages_that_are_none_cost_no_others(desk_of: Any, *, binary: bool) -> None:
    events = posts(*range(30))
    async with Jetstream(events, plays=[Play(first=GARBAGE, binary=binary)]) as server:
        desk = desk_of(server.url)
        await begin_at(desk, events[0])
        async with desk.scraping():
            documents = await desk.told(30)
            await until(lambda: is_well(desk), within_s=5)
    assert once(documents, events)
    assert desk.metric("items_dropped", reason="invalid") == len(GARBAGE) - 3
    assert len(server.asked) == 1


async def test_messages_of_which_none_can_be_read_are_read_again_at_the_next_host(desk_of: Any) -> None:
    events = posts(*range(30))
    async with Jetstream(events, plays=[Play(first=["{}}"] * UNREADABLE, after=0, ends="stall")]) as server:
        desk = desk_of(server.url)
        await begin_at(desk, events[0])
        async with desk.scraping():
            documents = await desk.told(30)
    assert once(documents, events)
    assert desk.ended("page_changed") == 1


@pytest.mark.parametrize(("status", "headers", "outcome"), [(429, {"retry-after": "1"}, "source_rate_limited"), (503, {}, "source_unavailable")])
async def test_a_host_that_is_busy_is_asked_again_later(desk_of: Any, status: int, headers: dict[str, str], outcome: str) -> None:
    events = posts(*range(10))
    async with Jetstream(events, plays=[Play(status=status, headers=headers)]) as server:
        desk = desk_of(server.url)
        await begin_at(desk, events[0])
        async with desk.scraping():
            documents = await desk.told(10)
    assert once(documents, events)
    assert desk.ended(outcome) == 1


async def test_a_host_that_refuses_us_is_left_alone_for_a_quarter_of_an_hour(desk_of: Any) -> None:
    async with Jetstream(posts(1), plays=[Play(status=403, body=b"<html>no</html>")]) as server:
        desk = desk_of(server.url)
        async with desk.scraping():
            await until(lambda: desk.ended("source_walled"), within_s=20, every_s=0.05)
            await until(lambda: desk.redis.hexists(desk.settings.names.sources, NAME), within_s=5)
            health = await desk.health()
    assert 0.75 * REFUSED_FIRST_S <= health.interval_s <= 1.25 * REFUSED_FIRST_S
    assert health.last_error == f"ws://127.0.0.1:{server.port}/subscribe?..: answered 403"


class Tap(Producer):
    """A producer of a real Kafka that is slow, or away, while a test says so."""

    def __init__(self, kafka: str) -> None:
        super().__init__(kafka)
        self.open = asyncio.Event()
        self.away = False

    async def send_all(self, topic: str, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        await self.open.wait()
        if self.away:
            raise BusUnavailable("Kafka is away")
        await super().send_all(topic, records)


async def test_reading_pauses_while_kafka_is_slow_and_nothing_is_lost_while_it_is_away(desk_of: Any) -> None:
    events = [post(number, "" if number % 20 == 0 else "my cat slept " + "well " * 150, time_us=at_us(number)) for number in range(30_000)]
    async with Jetstream(events) as server:
        desk = desk_of(server.url)
        tap = Tap(desk.settings.kafka)
        await begin_at(desk, events[0])
        async with desk.scraping(tap):
            await until(lambda: server.sent, within_s=20, every_s=0.05)
            await until(lambda: stands_still(server), within_s=20)
            paused_at = server.sent
            tap.away = True
            tap.open.set()
            await until(lambda: desk.registry.get_sample_value("yuqing_scraper_publish_failures_total", {"reason": "bus_unavailable"}), within_s=5, every_s=0.05)
            tap.away = False
            documents = await desk.told(1_500, within_s=30)
    assert paused_at < 20_000
    assert once(documents, events[::20])
    assert len(server.asked) == 1


async def test_what_nobody_takes_is_not_read_either() -> None:
    events = [post(number, "x" * 4_000_000, time_us=at_us(number)) for number in range(30)]
    async with Jetstream(events) as server:
        (ask,) = jetstream.connect(Feed(source="jetstream", url=server.url), "1,0,0", BEGAN_AT)
        connection = await listen(ask, settings=Settings(allow_private_sources=True), clock=SystemClock())
        await until(lambda: server.sent, within_s=5, every_s=0.05)
        await until(lambda: stands_still(server), within_s=10)
        unread, taken = server.sent, 0
        while taken < len(events):
            taken += (await connection.take(Pace(idle_s=5, gather_s=1, most_frames=100, most_bytes=1))).over_cap
        await connection.close()
    assert unread <= 6  # two that wait, what sockets hold


async def stands_still(server: Jetstream) -> bool:
    """Whether nothing is sent within half a second."""
    before = server.sent
    await asyncio.sleep(0.5)
    return server.sent == before


async def is_well(desk: Desk) -> bool:
    health = await desk.health()
    return health.failures == 0 and health.state in ("ok", "partial") and health.documents > 0


async def begin_at(desk: Desk, event: Event, *, back: timedelta = timedelta(0), rewound: bool = False) -> None:
    """The scraper has been here before, and published all that was before this event."""
    _, feed = fitted(desk.feed)
    us = event.time_us - back // timedelta(microseconds=1)
    await desk.cursors.commit(feed.key, Cursor(place=f"{us},{us if rewound else 0},{event.seq}"), seen={}, at=BEGAN_AT)


@asynccontextmanager
async def scraper(desk: Desk, folder: Path, *, redis_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`yuqing scrape` as a process of its own."""
    kafka, _ = desk.settings.require_servers()
    (folder / "yuqing.toml").write_text(f'[[sources]]\nsource = "jetstream"\nname = "{NAME}"\nurl = "{desk.feed.url}"\ninterval_s = {WAIT_S}\n', encoding="utf-8")
    settings = {"YUQING_CONFIG": str(folder / "yuqing.toml"), "YUQING_SCRAPER_PORT": str(free_port()), "YUQING_ALLOW_PRIVATE_SOURCES": "true", "YUQING_PARTITIONS": "1"}
    variables = environment(kafka=kafka, redis_url=redis_url, names=desk.settings.names, **settings)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "yuqing", "scrape", env=variables)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_scraper_that_is_killed_before_kafka_has_a_batch_or_before_its_place_is_kept_loses_nothing(desk_of: Any, redis_url: str, tmp_path: Path) -> None:
    events = posts(*range(300))
    events += [deletion(300, of=events[5]), deletion(301, of=events[150])]
    async with Jetstream(events[:100]) as server, Proxy(redis_url) as proxy:
        desk = desk_of(server.url)
        await begin_at(desk, events[0])
        before_kafka, before_redis = b"HMGET", b"MULTI"
        for moment in (before_kafka, before_redis):
            proxy.mute(at=moment)
            async with scraper(desk, tmp_path, redis_url=proxy.url) as process:
                await asyncio.wait_for(proxy.muted.wait(), 20)
                found = len(await desk.documents())
                process.kill()
                await process.wait()
            proxy.unmute()
            assert found == (0 if moment == before_kafka else 100)
        await server.tell(*events[100:])
        async with scraper(desk, tmp_path, redis_url=proxy.url):
            await until(lambda: is_deleted(desk, 2), within_s=20)
        documents = await desk.documents()
    copies = Counter((document.doc_id, document.op, document.content_hash) for document in documents)
    written = {document.text: document.doc_id for document in documents if document.op is Op.CREATE}
    gone = {document.doc_id for document in documents if document.op is Op.DELETE}
    assert set(texts(events)) - {texts(events)[150]} <= set(written)
    assert len(gone) == 2
    assert written[texts(events)[5]] in gone  # it comes with its deletion this time, and nobody but Kafka knows that it was published
    assert len({(doc_id, op) for doc_id, op, _ in copies}) == len(copies)
    assert max(copies.values()) == 2
    assert sum(count == 2 for count in copies.values()) <= 100


async def is_deleted(desk: Desk, count: int) -> bool:
    return sum(document.op is Op.DELETE for document in await desk.documents()) >= count


async def test_long_messages_and_a_backlog_cost_little_memory(desk_of: Any, redis_url: str, tmp_path: Path) -> None:
    few = posts(*range(100))
    long = [post(number, "stocks " + "x" * size, time_us=at_us(number)) for number, size in enumerate([1_500_000] * 20 + [4_000_000] * 10, start=100)]
    backlog = posts(*range(200, 5_200))
    most_mb = 0.0
    async with Jetstream(few) as server:
        desk = desk_of(server.url)
        await begin_at(desk, few[0])
        async with scraper(desk, tmp_path, redis_url=redis_url) as process:

            async def has(count: int) -> bool:
                nonlocal most_mb
                most_mb = max(most_mb, rss_mb(process.pid))
                kept = await desk.redis.hget(desk.settings.names.sources, NAME)
                return kept is not None and msgspec.json.decode(cast("bytes", kept), type=Health).documents >= count

            await until(lambda: has(100), within_s=20, every_s=0.05)
            usual_mb, most_mb = most_mb, 0.0
            await server.tell(*long, *backlog)
            await until(lambda: has(5_100), within_s=30, every_s=0.02)
            health = await desk.health()
        documents = await desk.documents()
    assert once(documents, [*few, *backlog])
    assert health.state in ("ok", "partial")
    assert most_mb - usual_mb < MOST_GROWTH_MB, (usual_mb, most_mb)


def rss_mb(pid: int) -> float:
    """Of the scraper and its parser."""
    process = psutil.Process(pid)
    return sum(part.memory_info().rss for part in [process, *process.children()]) / 1e6
