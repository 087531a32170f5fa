"""What alerts can quote: the negative documents of a subject, and which subjects quote a document, so that it can be taken out of them by its id alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from opinion.names import Names, digest
from opinion.records import AlertEvidence, Document, ScoredDocument, Sentiment

TITLE_CHARS = 160
LEAST_NEGATIVE = 0.5
"""A document is evidence when it is more likely negative than not."""
QUOTED_FOR = timedelta(days=6)
"""How long the subjects of a negative document are known: longer than evidence lasts, which windows.lua drops four days after, or with the last change
of its subject two days after that. 230 bytes of Redis per negative document."""

Quotes = Mapping[str, Collection[str]]
"""Id of a document -> the subjects that it may be evidence on."""

_TAKE_OUT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")


def evidence_of(document: Document, sentiment: Sentiment, *, story_id: str) -> str:
    """A document that is negative on a subject as alerts quote it, as JSON; empty of any other. The id comes first: `take_out` goes by it."""
    if sentiment.negative < LEAST_NEGATIVE:
        return ""
    item = AlertEvidence(
        doc_id=document.doc_id,
        title=(document.title or document.text)[:TITLE_CHARS],
        url=document.canonical_url or document.url,
        publisher=document.publisher,
        published_at=document.published_at,
        lang=document.lang,
        negative=sentiment.negative,
        story_size=1,
        story_id=story_id,
        fetched_at=document.fetched_at,
        kind=str(document.kind),
    )
    return msgspec.json.encode(item).decode()  # Redis' MessagePack knows no bytes


def quotes_of(scored: Iterable[ScoredDocument]) -> Quotes:
    """The quotes of judged documents."""
    quotes: dict[str, set[str]] = {}
    for item in scored:
        subjects = [subject for subject in item.subjects if item.sentiment_on(subject).negative >= LEAST_NEGATIVE] if item.counted else []
        if subjects:
            quotes.setdefault(item.document.doc_id, set()).update(subjects)
    return quotes


def note_quotes(pipe: Pipeline, names: Names, quotes: Quotes) -> None:
    """Add to a pipeline what notes them; an edit that speaks of others adds to what was noted."""
    for doc_id, subjects in quotes.items():
        key = names.quoted(digest(doc_id))
        pipe.hset(key, mapping=dict.fromkeys(sorted(subjects), ""))
        pipe.expire(key, QUOTED_FOR)


async def take_out(redis: Redis, names: Names, doc_ids: Collection[str]) -> None:
    """Take documents out of the evidence of every subject, in two round trips.

    Errors:
        RedisError: not all may be gone; doing it again is safe.
    """
    noted = [names.quoted(digest(doc_id)) for doc_id in doc_ids]
    async with redis.pipeline(transaction=False) as pipe:
        for key in noted:
            pipe.hkeys(key)
        found = cast("list[list[bytes]]", await pipe.execute())
    beginnings: dict[str, list[bytes]] = {}
    for doc_id, subjects in zip(doc_ids, found, strict=True):
        for name in subjects:
            beginnings.setdefault(name.decode(), []).append(msgspec.json.encode({"doc_id": doc_id})[:-1] + b",")
    if not beginnings:
        return
    async with redis.pipeline(transaction=False) as pipe:
        for subject, those in beginnings.items():
            pipe.eval(_TAKE_OUT, 1, names.evidence(subject), *those)
        for key in noted:
            pipe.delete(key)
        await pipe.execute()
