"""Answers questions about judgements, between batches: the words that decided, for the few documents that an alert shows.

A worker that has spent its time on answers takes no question and no longer says that it answers; alerts then go without the words.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import structlog

from opinion.clock import Clock, monotonic_s
from opinion.errors import StoreUnavailable, YuqingError
from opinion.explaining import Explanations, Question
from opinion.names import digest
from opinion.records import Document, DocumentKind, Evidence

log = structlog.get_logger()

WAIT_S = 2.0
"""Below Redis' own time limit for an answer."""
RETRY_S = 2.0
WORDS = 5
SHARE, AHEAD_S = 0.1, 4.0
"""Of a worker's time that answers may take, and how much of it may be spent at once: in a storm of alerts, judging comes first. Without this
bound explanations took two thirds of two busy cores, and alerts came half a minute late (measured with `make bench-alerts`)."""
MOST_CHARS = 300
"""Of a text: each word costs a pass of the model, and titles decide most."""


@runtime_checkable
class Explaining(Protocol):
    """Something that says why; called in the thread that judges."""

    def explain_quickly(self, document: Document, *, company: str = "") -> Sequence[Evidence]:
        """The spans that spoke most for the document's sentiment, or for that on one of several companies in it, strongest first."""
        ...


class Allowance:
    """Seconds that may be spent: AHEAD_S at once, and SHARE of all that pass."""

    def __init__(self, seconds: Callable[[], float] = monotonic_s) -> None:
        self._seconds = seconds
        self._left_s, self._at_s = AHEAD_S, seconds()

    def wait_s(self) -> float:
        """How long until anything may be spent; 0 while there is something left."""
        now_s = self._seconds()
        self._left_s, self._at_s = min(AHEAD_S, self._left_s + SHARE * (now_s - self._at_s)), now_s
        return max(0.0, -self._left_s / SHARE)

    def spend(self, seconds: float) -> None:
        """So much was spent."""
        self._left_s -= seconds


async def answer_questions(explanations: Explanations, judge: Explaining, *, executor: ThreadPoolExecutor, clock: Clock, allowance: Allowance) -> None:
    """Answer until cancelled; a question that the model fails on costs only itself."""
    while True:
        try:
            if (rest_s := allowance.wait_s()) > 0:
                await asyncio.sleep(rest_s)
            question = await explanations.take(within_s=WAIT_S)
            if question is None:
                continue
            spans = await asyncio.get_running_loop().run_in_executor(executor, _timed, judge, document_of(question, clock=clock), question.company, allowance)
            await explanations.answer(question, [span.text for span in spans[:WORDS]])
        except StoreUnavailable as error:
            log.warning("no questions are answered while Redis is away", error=str(error))
            await asyncio.sleep(RETRY_S)
        except YuqingError as error:
            log.warning("a judgement was not explained", error=str(error))


def _timed(judge: Explaining, document: Document, company: str, allowance: Allowance) -> Sequence[Evidence]:
    began_s = monotonic_s()
    try:
        return judge.explain_quickly(document, company=company)
    finally:
        allowance.spend(monotonic_s() - began_s)


def document_of(question: Question, *, clock: Clock) -> Document:
    """The document that a question is about, as far as the model looks at it."""
    return Document(
        doc_id=question.doc_id,
        source=question.doc_id.partition(":")[0],
        publisher="",
        kind=DocumentKind(question.kind) if question.kind in list(DocumentKind) else DocumentKind.NEWS,
        native_id=digest(question.doc_id),
        url=None,
        title=question.title,
        text=question.text[:MOST_CHARS],
        lang=question.lang,
        published_at=None,
        fetched_at=clock.now(),
    )
