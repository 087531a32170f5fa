"""kill -9 at every point of a poll, of each kind of cursor: the next scraper loses nothing, and tells again at most what Kafka had but Redis did not know."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from opinion.bus import read_all
from opinion.codec import decode
from opinion.names import Names
from opinion.records import Document
from opinion.redis_client import connect
from scrapers.cursor import Cursor, CursorStore
from scrapers.drop import DONE, PART_BYTES
from tests.integration.test_files_source import FEED, STAMPS, publish
from tests.integration.test_scrape import rss
from tests.support.feed_server import Reply, reply
from tests.support.records import NOON
from tests.support.scraper_process import scraper, scraper_environment
from tests.support.site import Page, Site
from tests.support.workers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

TITLES = ["First falls", "Second falls", "Third falls"]
BEFORE = "20261123004500"
"""The stamp before the first file's."""
START_WITHIN_S = 40
TEXT_CHARS = 90_000
ROWS = -(-PART_BYTES // TEXT_CHARS)
"""Rows of such texts that fill a part."""


class Desk:
    """Scrapers of one installation, one after the other, and what they published."""

    def __init__(self, kafka: str, redis_url: str, names: Names) -> None:
        self.names = names
        self._kafka = kafka
        self._variables = scraper_environment(kafka=kafka, redis_url=redis_url, names=names)

    def scraper(self, settings: dict[str, str], **arguments: str) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
        """One more scraper, that never slows down."""
        return scraper(self._variables | settings, hasty="yes", **arguments)

    async def told(self) -> Counter[str]:
        """How often each title was published; no document in more than one wording."""
        documents = [decode(value, Document) for value in await read_all(self._kafka, self.names.documents)]
        assert len({(document.doc_id, document.content_hash, document.op, document.version) for document in documents}) == len({document.doc_id for document in documents})
        return Counter(document.title for document in documents)


@pytest.fixture
def desk(kafka_address: str, redis_url: str, names: Names) -> Desk:
    return Desk(kafka_address, redis_url, names)


async def killed(process: asyncio.subprocess.Process) -> None:
    """Return when it has killed itself."""
    assert await asyncio.wait_for(process.wait(), START_WITHIN_S) == -signal.SIGKILL


async def kill(process: asyncio.subprocess.Process) -> None:
    """Kill it; those whom it had started end by themselves."""
    children = psutil.Process(process.pid).children()
    process.kill()
    await process.wait()
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=10)
    assert alive == []


def half(body: bytes) -> Reply:
    """The beginning of a body, and then nothing."""
    (whole,) = reply(body).pieces
    return Reply([whole[: -len(body) // 2]], hangs=True)


def polled(url: str) -> dict[str, str]:
    """Settings that poll an address."""
    return {"YUQING_SOURCES": json.dumps([{"url": url, "interval_s": 0.2}])}


async def test_a_feed_in_the_middle_of_a_body(desk: Desk) -> None:
    body = rss(*zip("123", TITLES, strict=True))
    async with Site(rss=Page(body)) as site:
        site.replies["/rss"] = [half(body)]
        async with desk.scraper(polled(site.at("rss"))) as process:
            await until(lambda: site.in_flight, within_s=START_WITHIN_S)
            await kill(process)
        del site.replies["/rss"]
        async with desk.scraper(polled(site.at("rss"))):
            await until(lambda: len(site.requests) >= 4, within_s=START_WITHIN_S)
    assert await desk.told() == dict.fromkeys(TITLES, 1)


@pytest.mark.parametrize(("point", "times"), [("acked:1", 2), ("remembered:1", 1)])
async def test_a_feed_between_kafka_and_redis(desk: Desk, point: str, times: int) -> None:
    async with Site(rss=Page(rss(("1", TITLES[0]), ("2", TITLES[1])))) as site:
        async with desk.scraper(polled(site.at("rss")), dies=point) as process:
            await killed(process)
        assert await desk.told() == dict.fromkeys(TITLES[:2], 1)
        site.pages["rss"] = Page(rss(("3", TITLES[2]), ("2", TITLES[1]), ("1", TITLES[0])))
        async with desk.scraper(polled(site.at("rss"))):
            await until(lambda: len(site.requests) >= 4, within_s=START_WITHIN_S)
    assert await desk.told() == {TITLES[0]: times, TITLES[1]: times, TITLES[2]: 1}


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def files(desk: Desk, redis: Redis) -> AsyncIterator[Site]:
    """A list of three files of which none was read."""
    await CursorStore(redis, desk.names, source="gdelt").commit(FEED.key, Cursor(place=BEFORE), seen={}, at=NOON)
    async with Site() as site:
        for stamp, title in zip(STAMPS, TITLES, strict=True):
            publish(site, stamp, title)
        yield site


LISTED = {"YUQING_SOURCES": json.dumps([{"source": "gdelt", "interval_s": 0.2}])}


async def read_on(desk: Desk, files: Site) -> Counter[str]:
    """What was told once the next scraper has looked at the list twice."""
    async with desk.scraper(LISTED, gdelt=files.url):
        asked = len(files.requests)
        await until(lambda: sum(request.path == "/lastupdate.txt" for request in files.requests[asked:]) >= 2, within_s=START_WITHIN_S)
    return await desk.told()


@pytest.mark.parametrize(("point", "times"), [("acked:2", 2), ("remembered:2", 1)])
async def test_files_between_kafka_and_redis(desk: Desk, files: Site, point: str, times: int) -> None:
    async with desk.scraper(LISTED, gdelt=files.url, dies=point) as process:
        await killed(process)
    assert await desk.told() == dict.fromkeys(TITLES[:2], 1)
    assert await read_on(desk, files) == {TITLES[0]: 1, TITLES[1]: times, TITLES[2]: 1}


async def test_files_in_the_middle_of_one(desk: Desk, files: Site) -> None:
    second = f"/{STAMPS[1]}.gkg.csv.zip"
    files.replies[second] = [half(files.pages[second[1:]].body)]
    async with desk.scraper(LISTED, gdelt=files.url) as process:
        await until(lambda: files.requests and files.requests[-1].path == second, within_s=START_WITHIN_S)
        await kill(process)
    assert await desk.told() == {TITLES[0]: 1}
    files.replies.clear()
    assert await read_on(desk, files) == dict.fromkeys(TITLES, 1)


@pytest.mark.parametrize(("point", "times"), [("acked:2", 2), ("remembered:3", 1)])
async def test_the_directory_in_the_middle_of_a_file(desk: Desk, tmp_path: Path, point: str, times: int) -> None:
    """The second of its three parts is acknowledged but not remembered; all are remembered but it was not put away."""
    text = "x" * (PART_BYTES // 10)
    path = tmp_path / "a.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"{part}-{number}", "title": TITLES[part], "text": f"{number} {text}"[:TEXT_CHARS]}) + "\n" for part in range(3) for number in range(ROWS))
    )
    os.utime(path, (NOON.timestamp(), NOON.timestamp()))
    settings = {"YUQING_DROP_DIR": str(tmp_path)}
    async with desk.scraper(settings, dies=point) as process:
        await killed(process)
    assert path.exists()
    async with desk.scraper(settings):
        await until((tmp_path / DONE / path.name).exists, within_s=START_WITHIN_S)
    assert await desk.told() == {TITLES[0]: ROWS, TITLES[1]: ROWS * times, TITLES[2]: ROWS}
