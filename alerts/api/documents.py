"""Judged documents: what stands behind the numbers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import AwareDatetime

from alerts.api.access import Reader
from alerts.api.paging import Cursor, Limit, cursor_of, place_of
from alerts.api.parts import Parts
from alerts.archive import Query as Wanted
from opinion.records import DocumentKind

router = APIRouter(prefix="/api/v1/documents", tags=["documents"])


@router.get("")
async def list_documents(
    request: Request,
    _: Reader,
    *,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    since: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Not included.")] = None,
    sentiment: Annotated[Literal["negative", "neutral", "positive"] | None, Query(description="On the company, where `subject` is one; else of the text.")] = None,
    lang: Literal["en", "zh"] | None = None,
    kind: DocumentKind | None = None,
    source: Annotated[str | None, Query(max_length=60)] = None,
    story: Annotated[str | None, Query(max_length=100)] = None,
    q: Annotated[str | None, Query(max_length=200, description="Must occur in title or text, as it stands.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Documents, newest event first."""
    parts: Parts = request.app.state.parts
    wanted = Wanted(
        subject=subject, since=since, until=until, sentiment=sentiment, lang=lang, kind=kind.value if kind else None, source=source, story=story, words=q,
        after=place_of(cursor, tuple[int, int]), limit=limit,
    )  # fmt: skip
    found = await parts.archive.find(wanted)
    return {"documents": [msgspec.to_builtins(item.scored) for item in found], "next": cursor_of(found[-1].place) if len(found) == limit else None}


@router.get("/{doc_id}")
async def show_document(request: Request, _: Reader, doc_id: str) -> Any:
    """One document with its judgement."""
    parts: Parts = request.app.state.parts
    found = await parts.archive.get(doc_id)
    if found is None:
        raise HTTPException(404, f"no document {doc_id[:200]}: never seen, too old, or erased by its source")
    return msgspec.to_builtins(found)
