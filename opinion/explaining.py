"""Why a document was judged as it was, asked by who tells people and answered by who has the model: a list of questions and keys of answers in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.clock import monotonic_s
from opinion.errors import StoreUnavailable
from opinion.names import Names, digest

MOST_ASKED = 3
"""Documents explained for one alert: each costs a pass of the model per word."""
WAITING_S = 10
"""A question that was not taken for so long is of no use any more."""
KEPT = timedelta(days=1)
ALIVE_S = 5
"""A worker that answers says so at least this often; one that has no time for it says nothing, and nobody waits."""
LOOK_S = 0.05
MOST_WAITING = 60


class Question(Struct, frozen=True, kw_only=True):
    """A text as it was judged."""

    doc_id: str
    title: str
    text: str = ""
    kind: str
    lang: str
    company: str = ""  # `<MIC>:<code>` where it is asked why the text is so of this company, if it names several

    @property
    def key(self) -> str:
        """The same for the same wording and company."""
        return digest("\n".join([self.doc_id, self.title, self.text, *([self.company] if self.company else [])]), chars=32)


class Explanations:
    """Questions and answers.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names

    async def ask(self, questions: Sequence[Question], *, within_s: float) -> dict[str, list[str]]:
        """doc_id -> the words that decided, strongest first, of those that were answered in time; at once where nobody answers."""
        try:
            found = await self._answers(questions)
            open_ = [question for question in questions[:MOST_ASKED] if question.doc_id not in found]
            if not open_ or not await self._redis.exists(self._names.explainers):
                return found
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.rpush(self._names.questions, *[msgspec.json.encode(question) for question in open_])
                pipe.ltrim(self._names.questions, -MOST_WAITING, -1)
                pipe.expire(self._names.questions, WAITING_S)
                await pipe.execute()
            until_s = monotonic_s() + within_s
            while monotonic_s() < until_s and any(question.doc_id not in found for question in open_):
                await asyncio.sleep(LOOK_S)
                found = await self._answers(questions)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not explain: {error}") from error
        return found

    async def take(self, *, within_s: float) -> Question | None:
        """The oldest question; None where none came in time. Also says that somebody answers."""
        try:
            await self._redis.set(self._names.explainers, b"1", ex=ALIVE_S)
            found = cast("tuple[bytes, bytes] | None", await self._redis.blpop([self._names.questions], timeout=within_s))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give a question: {error}") from error
        return msgspec.json.decode(found[1], type=Question) if found else None

    async def answer(self, question: Question, words: Sequence[str]) -> None:
        """Give an answer."""
        try:
            await self._redis.set(self._names.explanation(question.key), msgspec.json.encode(list(words)), ex=KEPT)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take an answer: {error}") from error

    async def _answers(self, questions: Sequence[Question]) -> dict[str, list[str]]:
        if not questions:
            return {}
        rows = cast("list[bytes | None]", await self._redis.mget([self._names.explanation(question.key) for question in questions]))
        return {question.doc_id: msgspec.json.decode(row, type=list[str]) for question, row in zip(questions, rows, strict=True) if row is not None}
