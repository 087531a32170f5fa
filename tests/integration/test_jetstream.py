"""A source that pushes, over real websockets that fail in every known way: nothing is lost, nothing is told twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from opinion.bus import Producer
from opinion.clock import SystemClock, epoch_ms, monotonic_s
from opinion.errors import BusUnavailable
from opinion.names import Names
from opinion.records import Op
from opinion.redis_client import connect
from opinion.settings import Feed, Settings
from scrapers import source
from scrapers.listen import Pace, listen
from scrapers.schedule import REFUSED_FIRST_S
from scrapers.sources import jetstream
from scrapers.stream import UNREADABLE
from tests.support.jetstream import Jetstream, Play, deletion, post
from tests.support.jetstream_desk import BEGAN_AT, NAME, at_us, begin_at, desk_on, is_well, once, posts
from tests.support.workers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def desk_of(kafka_address: str, redis_url: str, redis: Redis, names: Names) -> Any:
    return partial(desk_on, kafka=kafka_address, redis_url=redis_url, redis=redis, namespace=names.namespace)


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
    known = source._known() | {jetstream.NAME: jetstream.SOURCE._replace(stream=replace(jetstream.STREAM, quiet_s=0.5))}
    monkeypatch.setattr(source, "_known", lambda: known)
    events = posts(*range(100))
    async with Jetstream(events, plays=plays) as server:
        desk = desk_of(server.url, protocol=protocol)
        await begin_at(desk, events[0])
        async with desk.scraping():
            documents = await desk.told(100)
            await until(lambda: is_well(desk), within_s=20)
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
            await until(lambda: is_well(desk), within_s=20)
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
            await until(lambda: is_well(desk), within_s=20)
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
            await until(lambda: is_well(desk), within_s=20)
            health = await desk.health()
    assert once(documents, [*events[:20], *events[21:30], *later])
    assert desk.ended("body_too_large") <= 3  # the rewound stretch is a place of its own
    assert desk.metric("items_dropped", reason="over_cap") >= 1
    assert health.gap is not None
    assert epoch_ms(health.gap.since) == events[29].time_us // 1000
    assert desk.metric("gaps") == 1


NO_POST = '{"kind":"identity","did":"did:plc:x","time_us":1}'
GARBAGE: list[str | bytes] = ["no JSON", b"\xff\xfe\x00", "{", "[]", "null", "7", "", "\n", '{"did":1}', '{"time_us":1e300}', "<html>", NO_POST, "[" * 50_000]


async def test_messages_that_are_none_cost_no_others_be_they_text_or_binary(desk_of: Any) -> None:
    events = posts(*range(30))
    async with Jetstream(events, plays=[Play(first=GARBAGE, binary=True)]) as server:
        desk = desk_of(server.url)
        await begin_at(desk, events[0])
        async with desk.scraping():
            documents = await desk.told(30)
            await until(lambda: is_well(desk), within_s=20)
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


async def test_a_host_that_is_busy_is_asked_again_when_it_says_so(desk_of: Any) -> None:
    events = posts(*range(10))
    async with Jetstream(events, plays=[Play(status=429, headers={"retry-after": "1"})]) as server:
        desk = desk_of(server.url)
        await begin_at(desk, events[0])
        began_s = monotonic_s()
        async with desk.scraping():
            documents = await desk.told(10)
    assert once(documents, events)
    assert desk.ended("source_rate_limited") == 1
    assert monotonic_s() - began_s > 1


async def test_a_host_that_refuses_us_is_left_alone_for_a_quarter_of_an_hour(desk_of: Any) -> None:
    async with Jetstream(posts(1), plays=[Play(status=403, body=b"<html>no</html>")]) as server:
        desk = desk_of(server.url)
        async with desk.scraping():
            await until(lambda: desk.ended("source_walled"), within_s=20, every_s=0.05)
            await until(lambda: desk.redis.hexists(desk.settings.names.sources, NAME), within_s=20)
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
    events = [post(number, "" if number % 20 == 0 else "my cat slept " + "well " * 300, time_us=at_us(number)) for number in range(15_000)]
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
            await until(lambda: desk.registry.get_sample_value("yuqing_scraper_publish_failures_total", {"reason": "bus_unavailable"}), within_s=20, every_s=0.05)
            tap.away = False
            documents = await desk.told(750)
    assert paused_at < 10_000
    assert once(documents, events[::20])
    assert len(server.asked) == 1


async def test_what_nobody_takes_is_not_read_either() -> None:
    events = [post(number, "x" * 4_000_000, time_us=at_us(number)) for number in range(30)]
    async with Jetstream(events) as server:
        (ask,) = jetstream.connect(Feed(source="jetstream", url=server.url), "1,0,0", BEGAN_AT)
        connection = await listen(ask, settings=Settings(allow_private_sources=True), clock=SystemClock())
        await until(lambda: server.sent, within_s=20, every_s=0.05)
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
