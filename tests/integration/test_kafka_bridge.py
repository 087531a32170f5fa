"""A bridge from a topic of somebody else's, on a real broker: every message once, from where the bridge stood, and what is gone is told."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from pydantic import SecretStr
from redis.asyncio import Redis

from opinion.clock import SystemClock
from opinion.names import Names
from opinion.redis_client import connect
from opinion.settings import Feed
from scrapers import listen_kafka
from scrapers.listen import Pace
from scrapers.listen_kafka import TopicConnection, open_topic
from scrapers.source import Ask, fitted
from scrapers.sources import kafka
from scrapers.sources.kafka import places_of
from tests.support.scraping import Desk, desk
from tests.support.topic import Topic, numbers, row, topic
from tests.support.workers import environment, until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

PACE = Pace(idle_s=5.0, gather_s=0.2, most_frames=1_000, most_bytes=4 << 20)
SOON = timedelta(seconds=30)
"""Longest that a message of these tests is old."""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def raw(names: Names) -> str:
    """Name of a topic of this test's own."""
    return f"{names.namespace}.raw"


@pytest.fixture
def desk_of(kafka_address: str, redis_url: str, redis: Redis, names: Names, raw: str) -> Any:
    def made(**options: str) -> Desk:
        return desk("kafka", kafka=kafka_address, redis_url=redis_url, redis=redis, names=names, **{"servers": kafka_address, "topic": raw} | options)

    return made


async def standing(found: Desk, partitions: int = 1) -> None:
    """Return once the bridge stands somewhere in every partition."""

    async def stands() -> bool:
        return len(places_of((await found.cursor()).place)) == partitions

    await until(stands, within_s=30, every_s=0.1)


async def test_all_partitions_are_read_by_a_mapping_of_fields(desk_of: Any, kafka_address: str, raw: str) -> None:
    found: Desk = desk_of(start="earliest", fields="id=guid,title=head.line,text=body,published_at=at,symbols=tickers")
    async with topic(kafka_address, raw, partitions=3) as foreign:
        for number in range(30):
            message = {"guid": f"g{number}", "head": {"line": f"某银行第{number}次下跌"}, "body": "It fell.", "at": int(datetime.now(UTC).timestamp()), "tickers": ["XNAS:OMGA"]}
            await foreign.write(message, partition=number % 3)
        async with found.scraping():
            documents = await found.told(30)
    assert Counter(document.native_id for document in documents) == Counter(f"{raw}:g{number}" for number in range(30))
    assert {(document.lang, document.text, tuple(document.symbols), document.publisher) for document in documents} == {("zh-Hans", "It fell.", ("XNAS:OMGA",), raw.lower())}
    assert {partition: offset for partition, (offset, _) in places_of((await found.cursor()).place).items()} == {0: 10, 1: 10, 2: 10}


async def test_it_begins_at_the_end_and_goes_on_where_it_stood(desk_of: Any, kafka_address: str, raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrapers.stream.IDLE_S", 1.0)
    found: Desk = desk_of()
    async with topic(kafka_address, raw, partitions=2) as foreign:
        await foreign.write(row(0), row(1))
        async with found.scraping():
            await standing(found, 2)
        await foreign.write(row(2), partition=0)
        await foreign.write(row(3), partition=1)
        async with found.scraping():
            await found.told(2)
            await foreign.write(row(4), partition=1)
            await found.told(3)
        await foreign.write(row(5), partition=0)
        found = found._replace(settings=desk_of(fields="text=body").settings)
        async with found.scraping():
            documents = await found.told(4)
    assert numbers(documents) == [2, 3, 4, 5]
    assert found.metric("gaps") == 0


async def test_an_edit_a_deletion_and_a_message_without_a_value(desk_of: Any, kafka_address: str, raw: str) -> None:
    found: Desk = desk_of(start="earliest", fields="id=meta.id,deleted=meta.gone")
    async with topic(kafka_address, raw) as foreign, found.scraping():
        await foreign.write(*[{"meta": {"id": number}, "title": f"Bank {number} falls"} for number in range(4)])
        await found.told(4)
        await foreign.write({"meta": {"id": 0}, "title": "Bank 0 does not fall"}, {"meta": {"id": 1, "gone": True}})
        await foreign.append([(b"2", None), (b"no id of anything", None), (b"", None), (b"3", b"")])
        documents = await found.told(7)
        await foreign.write({"meta": {"id": 2}, "title": "Told once more"}, {"meta": {"id": 9}, "title": "Bank 9 falls"})
        documents = await found.told(8)
    assert [(document.native_id.rpartition(":")[2], document.op, document.version) for document in documents[4:]] == [
        ("0", "update", 2),
        ("1", "delete", 2),
        ("2", "delete", 2),
        ("9", "create", 1),
    ]


async def test_messages_that_are_none_cost_no_others(desk_of: Any, kafka_address: str, raw: str) -> None:
    found: Desk = desk_of(start="earliest")
    garbage = [b"\x00\x00\x00\x00\x07Avro", b"{", b"[1]", b'"text"', '{"id":7,"title":"银行"}'.encode("gbk"), b"<html>", b"[" * 50_000, b'{"id":"\\ud800"}', b"{}"]
    async with topic(kafka_address, raw) as foreign:
        await foreign.write(row(0), *garbage, b"", b" \n ", '{\n "id": 1,\n "title": "银行下跌"\n}'.encode(), b'{"id":"a\\ud800b","title":"half \\ud83d a pair"}', row(2))
        async with found.scraping():
            documents = await found.told(4)
    assert [document.title for document in documents] == ["Bank 0 falls", "银行下跌", "half a pair", "Bank 2 falls"]
    assert sum(found.metric("items_dropped", reason=reason) for reason in ("invalid", "empty", "truncated")) == len(garbage)
    assert places_of((await found.cursor()).place)[0][0] == len(garbage) + 6


async def test_a_message_over_a_mebibyte_costs_itself_alone_and_is_not_read_again(desk_of: Any, kafka_address: str, raw: str) -> None:
    found: Desk = desk_of(start="earliest")
    async with topic(kafka_address, raw) as foreign:
        await foreign.write(row(0), row(1, text="x" * 6_000_000), row(2), row(3, text="y" * 1_000_000))
        await foreign.write(row(4, text="x" * 2_000_000))
        async with found.scraping():
            documents = await found.told(3)
            await until(lambda: found.metric("items_dropped", reason="over_cap") == 2, within_s=10, every_s=0.05)
    assert numbers(documents) == [0, 2, 3]
    assert places_of((await found.cursor()).place)[0][0] == 5


async def test_a_bridge_that_is_killed_before_it_remembers_loses_nothing_and_tells_nothing_otherwise(
    desk_of: Any, kafka_address: str, redis_url: str, names: Names, raw: str
) -> None:
    found: Desk = desk_of(start="earliest")
    options = {"servers": kafka_address, "topic": raw, "start": "earliest"}
    variables = environment(
        kafka=kafka_address, redis_url=redis_url, names=names, YUQING_SOURCES=json.dumps([{"source": "kafka", "name": "desk", "options": options}]), YUQING_SCRAPER_PORT="0"
    )
    async with topic(kafka_address, raw, partitions=2) as foreign:
        await write_rows(foreign, range(500))
        for kills in (1, 2):
            await killed(variables)
            await write_rows(foreign, range(500 * kills, 500 * (kills + 1)))
        acknowledged = await found.documents()
        async with found.scraping():
            await until(lambda: told_all(found, 1500), within_s=30)
            documents = await found.documents()
    assert acknowledged
    assert len(documents) == len(acknowledged) + 1500
    assert sorted(set(numbers(documents))) == list(range(1500))
    assert len({(document.doc_id, document.op, document.version, document.content_hash) for document in documents}) == 1500


async def killed(variables: dict[str, str]) -> None:
    """A scraper that publishes something and is killed before it remembers."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.support.dying_scraper", env=variables)
    try:
        assert await asyncio.wait_for(process.wait(), 40) == -signal.SIGKILL
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def write_rows(foreign: Topic, which: range) -> None:
    for partition in (0, 1):
        await foreign.write(*[row(number) for number in which if number % 2 == partition], partition=partition)


async def told_all(found: Desk, count: int) -> bool:
    return len(set(numbers(await found.documents()))) == count


async def test_what_retention_took_meanwhile_is_a_gap_that_is_told_once(desk_of: Any, kafka_address: str, raw: str) -> None:
    found: Desk = desk_of(start="earliest")
    async with topic(kafka_address, raw, partitions=2) as foreign:
        await foreign.write(row(0), row(1))
        await foreign.write(row(2), partition=1)
        async with found.scraping():
            await found.told(3)
        before_at = datetime.now(UTC)
        await foreign.write(row(3), row(4))
        lost_at = datetime.now(UTC)
        await foreign.write(row(5), row(6))
        await foreign.write(row(7), partition=1)
        await foreign.forget(4)
        async with found.scraping():
            documents = await found.told(6)
            gap = await found.gap()
        async with found.scraping():
            await foreign.write(row(8))
            await found.told(7)
    assert numbers(documents) == [0, 1, 2, 5, 6, 7]
    assert gap.since <= before_at
    assert lost_at - timedelta(milliseconds=1) <= gap.until <= datetime.now(UTC)
    assert before_at - gap.since < SOON
    assert found.metric("gaps") == 1


async def test_a_topic_that_is_empty_behind_what_it_lost_has_a_gap_until_now(desk_of: Any, kafka_address: str, raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrapers.stream.IDLE_S", 1.0)
    found: Desk = desk_of(start="earliest")
    async with topic(kafka_address, raw) as foreign:
        await foreign.write(row(0))
        async with found.scraping():
            await found.told(1)
        await foreign.write(row(1))
        await foreign.forget(2)
        began_at = datetime.now(UTC)
        async with found.scraping():
            gap = await found.gap()
        assert places_of((await found.cursor()).place)[0][0] == 2
        async with found.scraping():
            await foreign.write(row(2))
            documents = await found.told(2)
    assert gap.until > began_at
    assert numbers(documents) == [0, 2]
    assert found.metric("gaps") == 1


async def test_a_topic_that_was_made_anew_is_read_from_its_beginning(desk_of: Any, kafka_address: str, raw: str) -> None:
    found: Desk = desk_of(start="earliest")
    async with topic(kafka_address, raw) as foreign:
        await foreign.write(*[row(number) for number in range(5)])
        async with found.scraping():
            await found.told(5)
        await foreign.remove()
        await until(lambda: made_anew(foreign), within_s=30)
    async with topic(kafka_address, raw, partitions=0) as foreign:
        await foreign.write(row(10), row(11))
        async with found.scraping():
            documents = await found.told(7)
            await found.gap()
    assert numbers(documents) == [0, 1, 2, 3, 4, 10, 11]


async def made_anew(foreign: Topic) -> bool:
    try:
        await foreign.make()
    except Exception:  # noqa: BLE001 - while the old one is being removed, whatever the client makes of it
        return False
    return True


async def test_partitions_that_are_added_are_read_from_their_beginning(desk_of: Any, kafka_address: str, raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen_kafka, "PARTITIONS_MS", 300)
    monkeypatch.setattr("scrapers.stream.IDLE_S", 1.0)
    found: Desk = desk_of()
    async with topic(kafka_address, raw) as foreign:
        async with found.scraping():
            await standing(found, 1)
            await foreign.write(row(0))
            await found.told(1)
            await foreign.grow(3)
            await foreign.write(row(1), partition=1)
            await foreign.write(row(2), partition=0)
            documents = await found.told(3)
            await standing(found, 3)
        await foreign.write(row(3), partition=2)
        async with found.scraping():
            documents = await found.told(4)
    assert numbers(documents) == [0, 1, 2, 3]
    assert found.ended("source_unavailable") == 0


async def test_what_is_lost_while_reading_is_a_gap_too(kafka_address: str, raw: str) -> None:
    big = "x" * 900_000
    async with topic(kafka_address, raw, partitions=2) as foreign:
        await foreign.write(*[row(number, text=big) for number in range(12)])
        async with opened(kafka_address, raw) as connection:
            first = await connection.take(replace(PACE, most_frames=1))  # the client reads ahead, but a mebibyte at most
            await foreign.forget(11)
            await foreign.write(row(20), partition=1)
            frames, gaps = list(first.frames), [first.gap]
            while not any(frame.place.startswith("0:12:") for frame in frames):
                batch = await connection.take(PACE)
                frames += batch.frames
                gaps.append(batch.gap)
    told = [json.loads(frame.data)["id"] for frame in frames if frame.data]
    assert told[0] == 0
    assert {11, 20} <= set(told)
    assert len(told) == len(set(told)) < 10
    (gap,) = [gap for gap in gaps if gap is not None]
    assert gap.since <= gap.until <= datetime.now(UTC)


@asynccontextmanager
async def opened(servers: str, name: str) -> AsyncIterator[TopicConnection]:
    connection = await open_topic(ask_for(servers=servers, topic=name, start="earliest"), clock=SystemClock())
    try:
        yield connection
    finally:
        await connection.close()


def ask_for(**options: str) -> Ask:
    feed = Feed(source="kafka", options={name: SecretStr(value) for name, value in options.items()})
    (ask,) = kafka.connect(fitted(feed)[1], "", datetime.now(UTC))
    return ask
