"""Kafka first, the cursor second: so a crash at any line repeats at most what Kafka already has, and loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from opinion.codec import encode
from opinion.names import Names
from opinion.records import Document, Op
from scrapers.cursor import Cursor, CursorStore, remembered, unpublished


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

    async def publish(self, documents: Sequence[Document], *, source: str, key: str, cursor: Cursor, at: datetime, known_only: bool = False) -> list[Document]:
        """The documents that were new, published and acknowledged; then the cursor of the feed of that key is moved.

        With `known_only` the deletion of what was never published is left out: a source that tells of everybody's would fill the topic with them.
        """
        cursors = self._cursors.of(source)
        seen = await cursors.seen([document.doc_id for document in documents], at=at)
        fresh = unpublished(documents, seen)
        if known_only:
            fresh = [document for document in fresh if document.op is not Op.DELETE or document.doc_id in seen]
        await self._producer.send_all(self._topic, [(document.doc_id.encode(), encode(document)) for document in fresh])
        await cursors.commit(key, cursor, seen=remembered(fresh, seen), at=at)
        return fresh
