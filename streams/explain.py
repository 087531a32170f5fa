"""Answers questions about judgements, between batches: the words that decided, for the few documents that an alert shows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import structlog

from opinion.clock import Clock
from opinion.errors import StoreUnavailable, YuqingError
from opinion.explaining import Explanations, Question
from opinion.names import digest
from opinion.records import Document, DocumentKind, Evidence

log = structlog.get_logger()

WAIT_S = 2.0
"""Below Redis' own time limit for an answer."""
RETRY_S = 2.0
WORDS = 5
MOST_CHARS = 300
"""Of a text: each word costs a pass of the model, and titles decide most."""


@runtime_checkable
class Explaining(Protocol):
    """Something that says why; called in the thread that judges."""

    def explain(self, document: Document) -> Sequence[Evidence]:
        """The spans that spoke most for the document's sentiment, strongest first."""
        ...


async def answer_questions(explanations: Explanations, judge: Explaining, *, executor: ThreadPoolExecutor, clock: Clock) -> None:
    """Answer until cancelled; a question that the model fails on costs only itself."""
    while True:
        try:
            question = await explanations.take(within_s=WAIT_S)
            if question is None:
                continue
            spans = await asyncio.get_running_loop().run_in_executor(executor, judge.explain, document_of(question, clock=clock))
            await explanations.answer(question, [span.text for span in spans[:WORDS]])
        except StoreUnavailable as error:
            log.warning("no questions are answered while Redis is away", error=str(error))
            await asyncio.sleep(RETRY_S)
        except YuqingError as error:
            log.warning("a judgement was not explained", error=str(error))


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
