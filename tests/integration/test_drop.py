from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from opinion.clock import ManualClock
from opinion.errors import BusUnavailable, ConfigError, PageChanged, SourceUnavailable
from opinion.metrics import ScraperMetrics
from opinion.names import Names
from opinion.records import Op
from opinion.redis_client import connect
from opinion.settings import Feed, Settings
from scrapers import drop
from scrapers.cursor import CursorStore
from scrapers.drop import DONE, DROP, FAILED, LOOK_S, DropPoller, drop_of
from scrapers.health import HealthStore
from scrapers.parsing import Parser
from scrapers.publish import Publisher
from scrapers.scrape import FeedLoop
from tests.integration.test_scrape import Memory
from tests.support.records import NOON


class Desk(NamedTuple):
    poller: DropPoller
    feed: Feed
    sent: Memory
    directory: Path

    def put(self, name: str, *rows: Any, raw: bytes = b"") -> Path:
        """A file that nobody writes to any more."""
        path = self.directory / name
        path.write_bytes(raw or b"".join(json.dumps(row).encode() + b"\n" for row in rows))
        os.utime(path, (NOON.timestamp(), NOON.timestamp()))
        return path


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def desk(redis: Redis, names: Names, tmp_path: Path) -> Desk:
    settings = Settings(drop_dir=tmp_path, drop_fields="title=headline", max_body_bytes=100_000)
    memory = Memory()
    publisher = Publisher(memory, CursorStore(redis, names, source="feed"), names)
    return Desk(DropPoller(settings, Parser(), publisher, clock=ManualClock(NOON)), drop_of(settings), memory, tmp_path)


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {"id": f"r{number}", "headline": f"Profit fell {number}"} | changes


async def test_a_file_is_published_and_put_away(desk: Desk) -> None:
    desk.put("a.jsonl", row(1), row(2))
    polled = await desk.poller.poll(desk.feed)
    assert (polled.outcome, [document.title for document in polled.published]) == ("ok", ["Profit fell 1", "Profit fell 2"])
    assert [path.name for path in (desk.directory / DONE).iterdir()] == ["a.jsonl"]
    assert (await desk.poller.poll(desk.feed)).outcome == "not_modified"


async def test_what_was_told_is_not_told_again_and_an_edit_is_an_update(desk: Desk) -> None:
    desk.put("a.jsonl", row(1), row(2))
    await desk.poller.poll(desk.feed)
    desk.put("b.jsonl", row(1), row(2, headline="Profit fell by half"))
    assert [(item.title, item.op) for item in (await desk.poller.poll(desk.feed)).published] == [("Profit fell by half", Op.UPDATE)]


async def test_the_file_stays_while_kafka_does_not_acknowledge(desk: Desk) -> None:
    path = desk.put("a.jsonl", row(1))
    desk.sent.fails = True
    with pytest.raises(BusUnavailable):
        await desk.poller.poll(desk.feed)
    assert path.exists()
    desk.sent.fails = False
    assert len((await desk.poller.poll(desk.feed)).published) == 1


async def test_a_crash_in_the_middle_loses_nothing_and_repeats_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop, "MAX_ROWS", 3)
    path = desk.put("a.jsonl", *[row(number) for number in range(8)])
    sending = desk.sent.send_all
    calls = 0

    async def dies(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise BusUnavailable("gone")
        await sending(*arguments)

    monkeypatch.setattr(desk.sent, "send_all", dies)
    with pytest.raises(BusUnavailable):
        await desk.poller.poll(desk.feed)
    assert path.exists()
    await desk.poller.poll(desk.feed)
    assert sorted(document.native_id for document in desk.sent.sent) == [f"r{number}" for number in range(8)]


async def test_bad_rows_are_told_of_beside_the_file(desk: Desk) -> None:
    desk.put("a.jsonl", raw=b'{"id": "r1", "headline": "Good"}\nnonsense\n')
    polled = await desk.poller.poll(desk.feed)
    assert len(polled.published) == 1
    (told,) = (desk.directory / DONE / "a.jsonl.problems.jsonl").read_text().splitlines()
    assert json.loads(told) == {"reason": "invalid", "detail": "a line that is no JSON", "row": 2}


async def test_a_bad_row_is_told_by_its_line_of_the_file_whatever_part_it_is_read_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop, "MAX_ROWS", 3)
    good = json.dumps(row(1)).encode()
    desk.put("a.jsonl", raw=b"\n".join([good, b"", b"", b"", b"", b"", good, b"nonsense"]))
    await desk.poller.poll(desk.feed)
    (told,) = (desk.directory / DONE / "a.jsonl.problems.jsonl").read_text().splitlines()
    assert json.loads(told)["row"] == 8


async def test_of_two_rows_of_one_id_the_last_counts(desk: Desk) -> None:
    desk.put("a.jsonl", row(1), row(2), row(1, headline="Profit fell by half"))
    polled = await desk.poller.poll(desk.feed)
    assert [document.title for document in polled.published] == ["Profit fell 2", "Profit fell by half"]


async def test_a_row_takes_its_document_back(desk: Desk) -> None:
    desk.put("a.jsonl", row(1), row(2))
    await desk.poller.poll(desk.feed)
    desk.put("b.jsonl", {"id": "r1", "deleted": True}, {"id": "r2", "op": "delete"}, row(3, op="create"))
    assert [(item.native_id, item.op) for item in (await desk.poller.poll(desk.feed)).published] == [("r1", Op.DELETE), ("r2", Op.DELETE), ("r3", Op.CREATE)]


async def test_the_directory_is_looked_into_every_few_seconds(desk: Desk, redis: Redis, names: Names) -> None:
    store, metrics = HealthStore(redis, names), ScraperMetrics(CollectorRegistry())
    loop = FeedLoop(DROP, desk.feed, poller=desk.poller, store=store, metrics=metrics, interval_s=60, clock=ManualClock(NOON), sleep=asyncio.sleep)
    assert await loop.step() <= LOOK_S * 1.2


@pytest.mark.parametrize(
    ("name", "raw"),
    [("cut.json", b'[{"id": "r1", "headl'), ("page.jsonl", b"<!doctype html>"), ("long.jsonl", b'{"id": "' + b"x" * 100_001), ("big.json", b'["' + b"x" * 100_001 + b'"]')],
)
async def test_a_file_that_cannot_be_read_is_put_apart_and_the_next_one_comes(desk: Desk, name: str, raw: bytes) -> None:
    desk.put(name, raw=raw)
    desk.put("z.jsonl", row(1))
    with pytest.raises(PageChanged, match=FAILED):
        await desk.poller.poll(desk.feed)
    assert (desk.directory / FAILED / name).exists()
    assert (desk.directory / FAILED / f"{name}.problems.jsonl").exists()
    assert (await desk.poller.poll(desk.feed)).outcome == "ok"


async def test_a_file_that_still_grows_and_others_are_left_alone(desk: Desk) -> None:
    (desk.directory / "growing.jsonl").write_text(json.dumps(row(1)))
    os.utime(desk.directory / "growing.jsonl", (4e9, 4e9))
    for name in (".hidden.jsonl", "notes.txt", "half.jsonl.part"):
        desk.put(name, row(1))
    assert (await desk.poller.poll(desk.feed)).outcome == "not_modified"


async def test_an_empty_file_is_put_away_as_such(desk: Desk) -> None:
    desk.put("a.jsonl", raw=b"\n\n")
    assert (await desk.poller.poll(desk.feed)).outcome == "empty"


async def test_a_directory_that_is_not_there_is_a_source_that_does_not_answer(desk: Desk) -> None:
    desk.directory.rmdir()
    with pytest.raises(SourceUnavailable, match="No such file"):
        await desk.poller.poll(desk.feed)


def test_wrong_fields_are_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="headline"):
        drop_of(Settings(drop_dir=tmp_path, drop_fields="headline"))
