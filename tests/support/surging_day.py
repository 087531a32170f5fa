"""A quiet day that ends in a surge of bad news about one company, as Documents for the null judge."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from opinion.bus import Producer, create_topics
from opinion.codec import encode
from opinion.names import Names
from opinion.records import Document
from tests.support.records import document

COMPANY = "XDEM:HSRY"
SUBJECT = f"entity:{COMPANY}"


def surging_day(now: datetime) -> list[Document]:
    """Twenty quiet hours up to five minutes ago, then a surge by many publishers."""
    made: list[Document] = []
    for n in range(400):
        at = now - timedelta(hours=20) + timedelta(minutes=2.9 * n)
        tone = "bad" if n % 6 == 0 else "so"
        made.append(_text(n, at, f"A {tone} story about the dairy number {n}, told at some length for once."))
    for n in range(400, 460):
        at = now - timedelta(minutes=5) + timedelta(seconds=4 * (n - 400))
        made.append(_text(n, at, f"Bad milk: a bad story number {n} about the dairy, told at some length for once."))
    return made


def _text(number: int, at: datetime, text: str) -> Document:
    return document(number, title="", text=text, symbols=[COMPANY], publisher=f"p{number % 9}.example", published_at=at, fetched_at=at + timedelta(seconds=2))


async def publish(kafka: str, names: Names, documents: Sequence[Document]) -> None:
    """Create the topics and publish the documents."""
    await create_topics(kafka, names, partitions=4, replication=1)
    producer = Producer(kafka)
    await producer.send_all(names.documents, [(item.doc_id.encode(), encode(item)) for item in documents])
    await producer.stop()
