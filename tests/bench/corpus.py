"""Documents to measure with: a seeded mix of the synthetic texts, English and Chinese, news and social, of real lengths."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import msgspec

from opinion.names import digest, doc_id_of
from opinion.records import Document, DocumentKind, Precision

FOLDER = Path(__file__).parents[2] / "models" / "datasets" / "synthetic"
LANGUAGES = {"en": "en", "zh": "zh-Hans"}
PUBLISHERS = 40
PER_SECOND = 25
"""Documents a second of event time: a busy day of markets."""
FETCHED_AFTER = timedelta(seconds=20)


class Row(msgspec.Struct):
    """One labelled text; the labels are not used here."""

    text: str
    kind: str
    lang: str


@cache
def rows() -> list[Row]:
    """All rows, in a fixed order."""
    decoder = msgspec.json.Decoder(Row)
    return [decoder.decode(line) for path in sorted(FOLDER.glob("*.jsonl")) for line in path.read_bytes().splitlines() if line]


def documents(count: int, *, seed: int, now: datetime | None = None) -> list[Document]:
    """`count` documents drawn with replacement, so that reprints occur; the newest was fetched at `now` (left out: this moment)."""
    generator = random.Random(seed)
    newest = now or datetime.now(UTC)
    drawn = generator.choices(rows(), k=count)
    return [_document(number, row, generator.randrange(PUBLISHERS), fetched_at=newest - timedelta(seconds=(count - number) / PER_SECOND)) for number, row in enumerate(drawn)]


def _document(number: int, row: Row, publisher: int, *, fetched_at: datetime) -> Document:
    native_id = f"{number}/{row.text}"
    kind = DocumentKind(row.kind)
    return Document(
        doc_id=doc_id_of("bench", native_id),
        source="bench",
        publisher=f"publisher-{publisher}.example",
        kind=kind,
        native_id=digest(native_id, chars=20),
        url=f"https://publisher-{publisher}.example/{number}",
        canonical_url=f"https://publisher-{publisher}.example/{number}",
        text=row.text,
        lang=LANGUAGES[row.lang],
        published_at=fetched_at - FETCHED_AFTER,
        published_precision=Precision.SECOND,
        fetched_at=fetched_at,
        author_hash=digest(f"author {number % 997}", chars=32) if kind is DocumentKind.SOCIAL else None,
        content_hash=digest(row.text, chars=32),
        extra={"http_status": 200, "charset": "utf-8", "adapter_version": 1},
    )
