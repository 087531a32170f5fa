"""X's stream over real HTTP that fails in every known way: what was said once is published once, and what was missed is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from redis.asyncio import Redis

from opinion.clock import epoch_ms, from_epoch_ms
from opinion.names import Names
from opinion.redis_client import connect
from scrapers import source
from scrapers.schedule import REFUSED_FIRST_S
from scrapers.sources import x
from tests.support.feed_server import reply
from tests.support.line_server import LineServer
from tests.support.scraping import Desk, desk
from tests.support.workers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

TOKEN = "hush-hush"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LineServer]:
    async with LineServer() as found:
        monkeypatch.setattr(x, "URL", f"{found.url}/stream")
        monkeypatch.setattr(x, "AWAY_S", 0.1)
        yield found


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def desk_of(server: LineServer, kafka_address: str, redis_url: str, redis: Redis, names: Names) -> Any:
    def made(**options: str) -> Desk:
        return desk("x", kafka=kafka_address, redis_url=redis_url, redis=redis, names=names, token=TOKEN, **options)

    return made


def post(number: int, text: str = "", *, at: datetime | None = None) -> bytes:
    written = (at or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return json.dumps({"data": {"id": str(number), "text": text or f"Bank falls {number}", "created_at": written, "author_id": "7"}, "matching_rules": [{"tag": "banks"}]}).encode()


async def connected(server: LineServer) -> None:
    await until(lambda: server.listeners, within_s=20, every_s=0.05)


async def test_posts_are_published_as_they_come_and_deletions_of_those_only(desk_of: Any, server: LineServer) -> None:
    found: Desk = desk_of()
    async with found.scraping():
        await connected(server)
        server.say(b"", post(1), b"", b"", post(2))
        await found.told(2)
        server.say(b'{"delete":{"status":{"id":1}}}', b'{"delete":{"status":{"id":99}}}', b"")
        documents = await found.told(3)
    assert [(document.native_id, document.op, document.version) for document in documents] == [("1", "create", 1), ("2", "create", 1), ("1", "delete", 2)]
    assert documents[0].labels == {"channels": ["banks"]}
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert found.metric("gaps") == 0


async def test_half_a_line_is_nothing_and_what_is_missed_by_a_break_is_told(desk_of: Any, server: LineServer) -> None:
    found: Desk = desk_of()
    async with found.scraping():
        await connected(server)
        began_at = datetime.now(UTC)
        server.say(post(1))
        await found.told(1)
        server.cut(post(2)[:40])
        await until(lambda: len(server.requests) == 2, within_s=20, every_s=0.05)
        await connected(server)
        server.say(post(3))
        documents = await found.told(2)
        gap = await found.gap()
        health = await found.health()
    assert [document.native_id for document in documents] == ["1", "3"]
    assert abs(gap.since - began_at) < timedelta(seconds=1)
    assert gap.since < gap.until <= datetime.now(UTC)
    assert found.metric("gaps") == 1
    assert found.ended("source_unavailable") == 1
    assert (health.dropped, health.failures, health.last_error) == (0, 0, "")


async def test_empty_lines_move_the_place_so_that_a_gap_begins_at_the_last(desk_of: Any, server: LineServer) -> None:
    found: Desk = desk_of()
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    async with found.scraping():
        await connected(server)
        server.say(post(1, at=long_ago))
        await found.told(1)
        assert (await found.cursor()).place == str(epoch_ms(long_ago))
        server.say(b"")
        await until(lambda: moved_on(found, long_ago), within_s=20, every_s=0.05)
    heard_at = from_epoch_ms(int((await found.cursor()).place))
    assert datetime.now(UTC) - heard_at < timedelta(seconds=20)
    async with found.scraping():
        await connected(server)
        server.say(b"")
        gap = await found.gap()
        assert await moved_on(found, heard_at)
    assert gap.since == heard_at
    assert await found.documents() != []


async def moved_on(found: Desk, since: datetime) -> bool:
    return int((await found.cursor()).place or 0) > epoch_ms(since)


async def test_what_is_repeated_on_request_is_neither_a_gap_nor_told_twice(desk_of: Any, server: LineServer) -> None:
    found: Desk = desk_of(backfill="5")
    async with found.scraping():
        await connected(server)
        server.say(post(1), post(2))
        await found.told(2)
        server.cut()
        await until(lambda: len(server.requests) == 2, within_s=20, every_s=0.05)
        await connected(server)
        server.say(post(1), post(2), post(3))
        documents = await found.told(3)
    assert [document.native_id for document in documents] == ["1", "2", "3"]
    assert server.requests[1].path.endswith("backfill_minutes=5")
    assert found.metric("gaps") == 0


async def test_a_silent_connection_is_left_for_another(desk_of: Any, server: LineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient = x.SOURCE._replace(stream=replace(x.STREAM, quiet_s=1.0))
    known = source._known() | {x.NAME: impatient}
    monkeypatch.setattr(source, "_known", lambda: known)
    found: Desk = desk_of()
    async with found.scraping():
        await connected(server)
        await until(lambda: len(server.requests) >= 2, within_s=20, every_s=0.05)
        await connected(server)
        server.say(post(1))
        await found.told(1)
    assert found.ended("source_unavailable") >= 1


async def test_a_line_over_a_mebibyte_costs_itself_alone(desk_of: Any, server: LineServer) -> None:
    found: Desk = desk_of()
    async with found.scraping():
        await connected(server)
        server.say(post(1), post(2, "x" * 1_200_000), b"no JSON", post(3))
        documents = await found.told(2)
        await until(lambda: found.metric("items_dropped", reason="invalid"), within_s=5, every_s=0.05)
    assert [document.native_id for document in documents] == ["1", "3"]
    assert found.metric("items_dropped", reason="over_cap") == 1
    assert len(server.requests) == 1


async def test_too_many_requests_are_waited_for_until_the_reset(desk_of: Any, server: LineServer) -> None:
    reset = int(datetime.now(UTC).timestamp()) + 3
    server.refusals = [reply(b'{"title":"Too Many Requests"}', status=429, headers={"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(reset)})]
    found: Desk = desk_of()
    async with found.scraping():
        await connected(server)
        assert datetime.now(UTC).timestamp() >= reset
        server.say(post(1))
        await found.told(1)
    assert found.ended("source_rate_limited") == 1
    assert len(server.requests) == 2


async def test_a_second_connection_that_x_still_counts_is_tried_again_soon(desk_of: Any, server: LineServer) -> None:
    headers = {"x-rate-limit-remaining": "48", "x-rate-limit-reset": str(int(datetime.now(UTC).timestamp()) + 900)}
    server.refusals = [reply(b'{"title":"ConnectionException","connection_issue":"TooManyConnections"}', status=429, headers=headers)]
    found: Desk = desk_of()
    async with found.scraping():
        await connected(server)
        server.say(post(1))
        await found.told(1)
    assert found.ended("source_rate_limited") == 1


async def test_a_token_that_is_refused_is_left_alone_and_shown_nowhere(desk_of: Any, server: LineServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.refusals = [reply(b'{"title":"Unauthorized","status":401}', status=401)] * 9
    found: Desk = desk_of()
    async with found.scraping():
        await until(lambda: found.ended("source_walled"), within_s=20, every_s=0.05)
        await until(lambda: found.redis.hexists(found.settings.names.sources, "desk"), within_s=5)
        health = await found.health()
    assert 0.75 * REFUSED_FIRST_S <= health.interval_s <= 1.25 * REFUSED_FIRST_S
    assert health.last_error == f"{server.url}/stream?..: answered 401"
    printed = capsys.readouterr()
    assert "answered 401" in printed.out + printed.err
    assert TOKEN not in printed.out + printed.err
