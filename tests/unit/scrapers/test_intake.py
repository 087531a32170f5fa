from __future__ import annotations

import asyncio
import gzip
from typing import Any, cast

import pytest

from opinion.errors import BodyTooLarge, BusUnavailable, ConfigError, PageChanged, SourceUnavailable, StoreUnavailable, YuqingError
from opinion.settings import Feed, Settings
from scrapers.intake import INTAKE, MOST_HELD, Inbox, IntakePoller, Post, Taken, intake_of, usable
from scrapers.parsing import Parser
from scrapers.publish import Publisher
from scrapers.source import Parsed, Problem
from tests.support.records import NOON, document

FEED = Feed(source="documents", url="https://intake.invalid/", name=INTAKE)


def post(body: bytes = b"[]", *, encoding: str = "") -> Post:
    return Post(body, "application/json", encoding, NOON, asyncio.get_running_loop().create_future())


class Rooms:
    """Stands for parser and publisher: gives a document, or fails, or hangs."""

    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self._error = error
        self._hangs = hangs
        self.reached = asyncio.Event()

    def cursors(self, source: str) -> Rooms:
        return self

    async def author_key(self) -> bytes:
        return b"key"

    async def parse(self, *_: Any, **__: Any) -> Parsed:
        return Parsed([document(1), document(2)])

    async def publish(self, documents: list[Any], **_: Any) -> list[Any]:
        self.reached.set()
        if self._hangs:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        return documents[:1]


def poller(inbox: Inbox, rooms: Rooms, **settings: Any) -> IntakePoller:
    return IntakePoller(Settings(**settings), inbox, cast("Parser", rooms), cast("Publisher", rooms))


async def test_the_sender_is_told_what_became_of_its_rows() -> None:
    inbox, sent = Inbox(), post()
    inbox.put(sent)
    polled = await poller(inbox, Rooms()).poll(FEED)
    assert sent.answer.result() == Taken(accepted=1, duplicates=1, problems=[])
    assert (polled.outcome, len(polled.published), polled.at_once) == ("ok", 1, True)


@pytest.mark.parametrize("error", [BusUnavailable("Kafka is away"), StoreUnavailable("Redis is away")])
async def test_what_is_away_is_told_to_the_sender_and_to_the_loop(error: YuqingError) -> None:
    inbox, sent = Inbox(), post()
    inbox.put(sent)
    with pytest.raises(type(error)):
        await poller(inbox, Rooms(error)).poll(FEED)
    assert sent.answer.result() is error


async def test_what_nobody_thought_of_is_told_without_its_words_and_reaches_the_log() -> None:
    inbox, sent = Inbox(), post()
    inbox.put(sent)
    with pytest.raises(ZeroDivisionError):
        await poller(inbox, Rooms(ZeroDivisionError("of our inside"))).poll(FEED)
    answer = sent.answer.result()
    assert isinstance(answer, YuqingError)
    assert "inside" not in str(answer)


async def test_who_waits_while_the_loop_ends_is_told() -> None:
    inbox, sent, rooms = Inbox(), post(), Rooms(hangs=True)
    inbox.put(sent)
    polling = asyncio.create_task(poller(inbox, rooms).poll(FEED))
    await rooms.reached.wait()
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    assert isinstance(sent.answer.result(), StoreUnavailable)


async def test_a_body_that_cannot_be_read_is_no_failure_of_ours() -> None:
    inbox, sent = Inbox(), post(gzip.compress(b" " * 30_000_000), encoding="gzip")
    inbox.put(sent)
    polled = await poller(inbox, Rooms()).poll(FEED)
    assert isinstance(sent.answer.result(), BodyTooLarge)
    assert (polled.outcome, polled.at_once) == ("body_too_large", True)
    assert [problem.reason for problem in polled.problems or ()] == ["invalid"]


async def test_an_intake_that_nobody_reaches_is_a_source_that_does_not_answer() -> None:
    inbox = Inbox()
    inbox.close()
    with pytest.raises(SourceUnavailable, match="HTTP server has ended"):
        await poller(inbox, Rooms()).poll(FEED)


async def test_a_place_is_held_until_the_answer_and_no_longer() -> None:
    inbox, sent = Inbox(), post()
    assert [inbox.enter() for _ in range(MOST_HELD + 1)] == [True] * MOST_HELD + [False]
    inbox.put(sent)
    assert await inbox.get(within_s=1) is sent
    assert not inbox.enter()
    sent.tell(Taken(1, 0))
    await asyncio.sleep(0)
    assert inbox.enter()
    inbox.leave()
    assert inbox.enter()


async def test_the_first_answer_counts() -> None:
    sent = post()
    sent.tell(Taken(1, 0))
    sent.tell(StoreUnavailable("late"))
    assert sent.answer.result() == Taken(1, 0)


async def test_a_closed_inbox_tells_those_who_wait_and_those_who_come() -> None:
    inbox, early, late = Inbox(), post(), post()
    inbox.put(early)
    inbox.close()
    inbox.put(late)
    assert isinstance(early.answer.result(), StoreUnavailable)
    assert isinstance(late.answer.result(), StoreUnavailable)


async def test_without_a_post_there_is_none() -> None:
    assert await Inbox().get(within_s=0.01) is None


@pytest.mark.parametrize(
    ("parsed", "error", "words"),
    [
        (Parsed([document(1)], [Problem("over_cap", "only the first 10000 rows were read")]), BodyTooLarge, "over 10000 rows"),
        (Parsed([], [Problem("empty", "a row without id, title and text"), Problem("invalid", "x")]), PageChanged, "the first: a row without id"),
    ],
)
def test_what_would_look_like_a_success_is_refused(parsed: Parsed, error: type[YuqingError], words: str) -> None:
    with pytest.raises(error, match=words):
        usable(parsed)


@pytest.mark.parametrize("parsed", [Parsed([]), Parsed([document(1)]), Parsed([document(1)], [Problem("invalid", "x")])])
def test_what_brings_something_or_says_nothing_is_taken(parsed: Parsed) -> None:
    assert usable(parsed) is parsed


def test_fields_of_another_form_are_a_configuration_error() -> None:
    assert intake_of(Settings(intake_fields="title=headline")).option("fields") == "title=headline"
    with pytest.raises(ConfigError, match="headline"):
        intake_of(Settings(intake_fields="headline"))
