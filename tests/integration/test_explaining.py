from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from opinion.clock import ManualClock
from opinion.errors import InferenceError
from opinion.explaining import Explanations, Question
from opinion.names import Names
from opinion.records import Document, Evidence
from opinion.redis_client import connect
from opinion.tasks import end
from streams.explain import Allowance, answer_questions
from tests.support.records import NOON

pytestmark = pytest.mark.integration


class Words:
    """Takes the words of a title for what decided; some it fails on."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def explain_quickly(self, document: Document, *, company: str = "") -> Sequence[Evidence]:
        self.asked.append(document.title)
        if company:
            return [Evidence(company, 0, 1, 1.0)]
        if document.title == "poison":
            raise InferenceError("no")
        return [Evidence(word, 0, len(word), 1.0) for word in document.title.split()]


def question(number: int, title: str) -> Question:
    return Question(doc_id=f"feed:{number}", title=title, kind="news", lang="en")


async def test_questions_are_answered_once_and_a_failing_one_costs_only_itself(redis_url: str, names: Names) -> None:
    redis, judge = connect(redis_url), Words()
    explanations = Explanations(redis, names)
    with ThreadPoolExecutor(1) as executor:
        answering = asyncio.create_task(answer_questions(explanations, judge, executor=executor, clock=ManualClock(NOON), allowance=Allowance()))
        try:
            async with asyncio.timeout(10):
                while not await redis.exists(names.explainers):  # noqa: ASYNC110 - it is asked, it does not tell
                    await asyncio.sleep(0.02)
            asked = [question(1, "profit fell"), question(2, "poison"), question(3, "shares sank"), question(4, "one too many")]
            assert await explanations.ask(asked, within_s=1.0) == {"feed:1": ["profit", "fell"], "feed:3": ["shares", "sank"]}
            assert await explanations.ask(asked[:1], within_s=10.0) == {"feed:1": ["profit", "fell"]}
        finally:
            await end(answering)
    assert judge.asked == ["profit fell", "poison", "shares sank"]
    await redis.aclose()


async def test_of_one_text_each_company_has_its_own_answer(redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    explanations = Explanations(redis, names)
    whole, one, other = (msgspec.structs.replace(question(1, "profit fell"), company=company) for company in ("", "XNAS:ONE", "XNAS:TWO"))
    with ThreadPoolExecutor(1) as executor:
        answering = asyncio.create_task(answer_questions(explanations, Words(), executor=executor, clock=ManualClock(NOON), allowance=Allowance()))
        try:
            async with asyncio.timeout(10):
                while not await redis.exists(names.explainers):  # noqa: ASYNC110 - it is asked, it does not tell
                    await asyncio.sleep(0.02)
            found = [await explanations.ask([asked], within_s=5.0) for asked in (whole, one, other)]
        finally:
            await end(answering)
    assert found == [{"feed:1": ["profit", "fell"]}, {"feed:1": ["XNAS:ONE"]}, {"feed:1": ["XNAS:TWO"]}]
    await redis.aclose()


async def test_nobody_waits_where_nobody_answers(redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    async with asyncio.timeout(5):
        assert await Explanations(redis, names).ask([question(1, "profit fell")], within_s=60.0) == {}
    await redis.aclose()
