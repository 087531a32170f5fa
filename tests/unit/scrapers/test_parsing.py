from __future__ import annotations

import asyncio
import os

import pytest
from pydantic import SecretStr

from opinion.errors import PageChanged, SourceWalled
from opinion.settings import Feed
from opinion.tasks import end
from scrapers import parsing
from scrapers.parsing import MOST_WAITING, Parser
from scrapers.source import Parsed, Response, find_source
from tests.support.records import NOON

FEED = Feed(url="https://news.example/rss")
RSS = b"<rss version='2.0'><channel><item><guid>1</guid><title>Profit fell</title></item></channel></rss>"


def response(body: bytes) -> Response:
    return Response(url=FEED.url, body=body, fetched_at=NOON)


async def test_bodies_are_parsed_in_another_process_whose_errors_come_back() -> None:
    parser = Parser()
    assert [item.title for item in (await parser.parse("feed", response(RSS), feed=FEED)).documents] == ["Profit fell"]
    with pytest.raises(PageChanged, match="HTML page"):
        await parser.parse("feed", response(b"<html><body>moved</body></html>"), feed=FEED)
    with pytest.raises(SourceWalled):
        await parser.parse("feed", response(b"<html><title>Just a moment...</title></html>"), feed=FEED)
    assert len((await parser.parse("feed", response(RSS), feed=FEED)).documents) == 1


async def test_while_many_bodies_wait_no_other_is_fetched() -> None:
    parser = Parser()
    await parser.room()
    bodies = [asyncio.create_task(parser.parse("feed", response(RSS), feed=FEED)) for _ in range(MOST_WAITING + 5)]
    await asyncio.sleep(0)
    await parser.room()
    assert sum(body.done() for body in bodies) >= 5
    assert all([(await body).documents for body in bodies])


def hang(*_: object) -> Parsed:
    while True:
        pass


def die(*_: object) -> Parsed:
    os._exit(9)


def swell(*_: object) -> Parsed:
    return Parsed([], [bytearray(4 << 30)])  # type: ignore[list-item]


@pytest.mark.parametrize(("culprit", "within_s", "words"), [(hang, 3.0, "not parsed within"), (die, 60.0, "broke the parser")])
async def test_a_parser_that_hangs_or_dies_costs_one_poll(monkeypatch: pytest.MonkeyPatch, culprit: object, within_s: float, words: str) -> None:
    parser = Parser()
    with monkeypatch.context() as patched:
        patched.setattr(parsing, "_parse", culprit)
        patched.setattr(parsing, "PARSE_WITHIN_S", within_s)
        with pytest.raises(PageChanged, match=words):
            await parser.parse("feed", response(RSS), feed=FEED)
    assert len((await parser.parse("feed", response(RSS), feed=FEED)).documents) == 1


def hang_if_long(_source: str, response: Response, _feed: Feed, _author_key: bytes) -> Parsed:
    while len(response.body) > parsing.LONG_BYTES:
        pass
    return Parsed([], [])


async def test_a_long_body_does_not_hold_up_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser()
    monkeypatch.setattr(parsing, "_parse", hang_if_long)
    long = asyncio.create_task(parser.parse("feed", response(b" " * (parsing.LONG_BYTES + 1)), feed=FEED))
    await asyncio.sleep(0)  # it is first
    assert await parser.parse("feed", response(RSS), feed=FEED) == Parsed([], [])
    assert not long.done()
    await end(long)


async def test_memory_of_the_parser_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser()
    await parser.parse("feed", response(RSS), feed=FEED)  # sets the limit in the child
    monkeypatch.setattr(parsing, "_parse", swell)
    with pytest.raises(PageChanged, match="broke the parser"):
        await parser.parse("feed", response(RSS), feed=FEED)


async def test_documents_of_a_source_that_limits_it_say_for_how_long_they_may_be_kept() -> None:
    listing = b'{"kind":"Listing","data":{"children":[{"kind":"t3","data":{"name":"t3_a1","title":"Acme falls","created_utc":1795426200.0,"permalink":"/r/stocks/comments/a1/"}}]}}'
    reddit = Feed(source="reddit", options={"subreddit": SecretStr("stocks"), "access_token": SecretStr("hush")})
    (limited,) = (await Parser().parse("reddit", response(listing), feed=reddit)).documents
    (free,) = (await Parser().parse("feed", response(RSS), feed=FEED)).documents
    assert (limited.extra["retention_days"], limited.extra["http_status"]) == (find_source("reddit").manners.retention_days, 200)
    assert "retention_days" not in free.extra
