"""Documents: search, and one of them with the words that decided on its judgement."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, BeforeValidator, Field

from alerts.api.paging import cursor_of, place_of
from alerts.archive import Query as Wanted
from alerts.console.acts import SENTIMENTS
from alerts.console.marking import marked
from alerts.console.web import ConsoleRoute, Visit, Visited
from opinion.explaining import Explanations, Question
from opinion.records import DocumentKind, ScoredDocument

router = APIRouter(prefix="/documents", route_class=ConsoleRoute, include_in_schema=False)

ROWS = 50
EXPLAINED_WITHIN_S = 0.3
"""A page waits so long for the words that decided; the script asks for it again where they are not there yet."""
SHORT_CHARS = 280
"""A post of this length without a title is its own title."""
TOPICS_SHOWN, LEAST_TOPIC = 3, 0.05


def _none_if_empty(value: Any) -> Any:
    """Fields of a search form that were left empty ask for nothing."""
    return None if value == "" else value


_Empty = BeforeValidator(_none_if_empty)


class Search(BaseModel):
    """What is looked for."""

    subject: Annotated[Annotated[str, Field(max_length=200)] | None, _Empty] = None
    q: Annotated[Annotated[str, Field(max_length=200)] | None, _Empty] = None
    sentiment: Annotated[Literal["negative", "neutral", "positive"] | None, _Empty] = None
    lang: Annotated[Literal["en", "zh"] | None, _Empty] = None
    kind: Annotated[DocumentKind | None, _Empty] = None
    source: Annotated[Annotated[str, Field(max_length=60)] | None, _Empty] = None
    story: Annotated[Annotated[str, Field(max_length=100)] | None, _Empty] = None
    since: Annotated[datetime | None, _Empty] = None  # of the reader's time zone where it names none
    until: Annotated[datetime | None, _Empty] = None
    cursor: Annotated[Annotated[str, Field(max_length=300)] | None, _Empty] = None


@router.get("")
async def show_documents(visit: Visited, asked: Annotated[Search, Query()]) -> Response:
    """Documents, newest event first."""
    since, until = (None if at is None else visit.look.aware(at) for at in (asked.since, asked.until))
    wanted = Wanted(
        subject=asked.subject, since=since, until=until, sentiment=asked.sentiment, lang=asked.lang, kind=asked.kind.value if asked.kind else None,
        source=asked.source, story=asked.story, words=asked.q, after=place_of(asked.cursor, tuple[int, int]), limit=ROWS,
    )  # fmt: skip
    found = await visit.parts.archive.find(wanted)
    following = cursor_of(found[-1].place) if len(found) == ROWS else None
    return visit.page(
        "documents.html", asked=asked, since=since, until=until, documents=[item.scored for item in found], next=following, kinds=list(DocumentKind), sentiments=SENTIMENTS
    )


@router.get("/{doc_id}")
async def show_document(visit: Visited, doc_id: str) -> Response:
    """One document: its text with the words that decided, its judgement, a way to correct it."""
    found = await visit.parts.archive.get(doc_id)
    if found is None:
        raise HTTPException(404, visit.words("no_document"))
    words = await _why(visit, found)
    document = found.document
    likely = sorted(found.topics.items(), key=lambda item: -item[1])[:TOPICS_SHOWN]
    topics = [likely[0], *(item for item in likely[1:] if item[1] >= LEAST_TOPIC)] if likely else []
    tellings = await visit.parts.archive.find(Wanted(story=found.story_id, limit=20)) if found.story_id else []
    return visit.page(
        "document.html", scored=found, title=marked(document.title, words), text=marked(document.text, words), words=words, topics=topics, sentiments=SENTIMENTS,
        short=len(document.text) <= SHORT_CHARS,
        tellings=[item.scored for item in tellings if item.scored.document.doc_id != doc_id],
    )  # fmt: skip


async def _why(visit: Visit, scored: ScoredDocument) -> list[str]:
    document = scored.document
    question = Question(doc_id=document.doc_id, title=document.title, text=document.text, kind=document.kind.value, lang=document.lang)
    answers = await Explanations(visit.parts.redis, visit.parts.names).ask([question], within_s=EXPLAINED_WITHIN_S)
    return answers.get(document.doc_id, [])
