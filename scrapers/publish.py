"""Kafka first, the cursor second: so a crash at any line repeats at most what Kafka already has, and loses nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

import structlog

from opinion.codec import MAX_RECORD_BYTES, encode
from opinion.names import Names
from opinion.records import Document, Op
from scrapers.cursor import Cursor, CursorStore, remembered, unpublished

log = structlog.get_logger()

MOST_BYTES = MAX_RECORD_BYTES // 2
"""A longer record is left out: real ones are under a megabyte, and one that Kafka refuses would keep all others from it for ever."""


class Publishing(Protocol):
    """What publishing needs of a Kafka producer."""

    async def send_all(self, topic: str, records: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Return when Kafka has acknowledged every record."""
        ...


class Publisher:
    """Publishes what is new of each source, and remembers it.

    Errors of every method:
        BusUnavailable, StoreUnavailable (retryable): the cursor stands where it stood; the same may be published again.
    """

    def __init__(self, producer: Publishing, cursors: CursorStore, names: Names) -> None:
        self._producer = producer
        self._cursors = cursors
        self._topic = names.documents

    def cursors(self, source: str) -> CursorStore:
        """Where the feeds of a source stand."""
        return self._cursors.of(source)

    async def publish(
        self, documents: Sequence[Document], *, source: str, key: str, cursor: Cursor, at: datetime, marks: Collection[str] = (), known_only: bool = False
    ) -> list[Document]:
        """The documents that were new, published and acknowledged; then the cursor of the feed of that key is moved.

        What has one of the `marks` is not new.
        With `known_only` the deletion of what was never published is left out: a source that tells of everybody's would fill the topic with them. One of
        version 2 comes with what it deletes: a try before a crash may have published that, and not remembered it.
        """
        cursors = self._cursors.of(source)
        seen = await cursors.seen([document.doc_id for document in documents], at=at)
        fresh = unpublished(documents, seen, marks=marks)
        if known_only:
            fresh = [document for document in fresh if document.op is not Op.DELETE or document.doc_id in seen or document.version > 1]
        records = [(document, encode(document)) for document in fresh]
        short = [(document, record) for document, record in records if len(record) <= MOST_BYTES]
        if len(short) < len(records):
            log.warning("left out: too long", source=source, doc_ids=[document.doc_id for document, record in records if len(record) > MOST_BYTES])
        await self._producer.send_all(self._topic, [(document.doc_id.encode(), record) for document, record in short])
        await cursors.commit(key, cursor, seen=remembered(fresh, seen), at=at)
        return [document for document, _ in short]
