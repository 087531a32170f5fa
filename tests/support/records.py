"""Tiny builders: a document, a scored document, with only what a test cares about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from opinion.names import digest, doc_id_of
from opinion.records import (
    TOPICS,
    Alert,
    AlertLinks,
    AlertStatus,
    AlertWindow,
    Document,
    DocumentKind,
    Lane,
    ScoredDocument,
    Sentiment,
    Severity,
    TransitionReason,
)

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

NEGATIVE = Sentiment(0.9, 0.06, 0.04)
DOUBTFUL = Sentiment(0.6, 0.25, 0.15)
"""Negative, but not clearly."""
NEUTRAL = Sentiment(0.05, 0.9, 0.05)
POSITIVE = Sentiment(0.04, 0.06, 0.9)


def document(number: int = 1, **changes: Any) -> Document:
    """Document number N: published at noon plus N seconds, fetched 30 s later."""
    at = NOON + timedelta(seconds=number)
    fields: dict[str, Any] = {
        "doc_id": doc_id_of("feed", str(number)),
        "source": "feed",
        "publisher": "news.example",
        "kind": DocumentKind.NEWS,
        "native_id": str(number),
        "url": f"https://news.example/{number}",
        "title": f"Headline {number}",
        "text": f"Text of document {number}",
        "lang": "en",
        "published_at": at,
        "published_precision": "s",
        "fetched_at": at + timedelta(seconds=30),
    }
    return Document(**(fields | changes))


def scored(number: int = 1, *, sentiment: Sentiment = NEGATIVE, subjects: tuple[str, ...] = ("topic:Macro",), story: str = "", **changes: Any) -> ScoredDocument:
    """The judgement of document N; its story is its own unless one is named."""
    base = document(number, **changes)
    return ScoredDocument(
        document=base,
        event_at=base.published_at or base.fetched_at,
        sentiment=sentiment,
        polarity=sentiment.polarity,
        topics=dict.fromkeys(TOPICS, 1 / len(TOPICS)),
        topic="Macro",
        subjects=list(subjects),
        story_id=story or "st_" + digest(str(number)),
        scored_at=base.fetched_at,
    )


def alert(sequence: int = 1, **changes: Any) -> Alert:
    """Transition number N of the alert on the dairy."""
    fields: dict[str, Any] = {
        "alert_id": "al_1",
        "sequence": sequence,
        "subject": "entity:XDEM:HSRY",
        "subject_name": "Huasui Dairy",
        "severity": Severity.HIGH,
        "status": AlertStatus.FIRING,
        "reason": TransitionReason.THRESHOLD_PASSED,
        "lane": Lane.SHARE,
        "started_at": NOON,
        "updated_at": NOON,
        "window": AlertWindow(
            start_at=NOON - timedelta(hours=1),
            width_s=3600,
            total=58,
            negative=41,
            ratio=0.707,
            baseline_ratio=0.22,
            expected_negative=12.8,
            lift=3.2,
            p_value=1e-9,
            score=9.0,
            stories=19,
            publishers=14,
            authors=20,
        ),
        "summary": "…",
        "links": AlertLinks(console="", api=""),
    }
    return Alert(**(fields | changes))
