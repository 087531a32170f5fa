"""Erasing documents by hand: at a person's request, or where a source does not tell of its deletions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from opinion.bus import Producer, create_topics
from opinion.clock import SystemClock
from opinion.codec import encode
from opinion.errors import ConfigError
from opinion.records import Document, DocumentKind, Op
from opinion.settings import Settings

SEND_WITHIN_S = 20.0
_DOC_ID = re.compile(r"(?P<source>[a-z0-9_]{1,60}):[0-9a-f]{32}", re.ASCII)


async def erase_documents(doc_ids: Sequence[str], *, settings: Settings, echo: Callable[[str], None]) -> int:
    """Publish a deletion of each document, as its source might have; 0 when Kafka has them all.

    Errors:
        ConfigError: something is no id of a document; nothing is published.
        BusUnavailable: Kafka does not answer.
    """
    wanted = list(dict.fromkeys(doc_ids))
    sources = {doc_id: _source_of(doc_id) for doc_id in wanted}
    kafka, _ = settings.require_servers()
    now = SystemClock().now()
    deletions = [Document(op=Op.DELETE, doc_id=doc_id, source=source, publisher=source, kind=DocumentKind.NEWS, native_id="", fetched_at=now) for doc_id, source in sources.items()]
    await create_topics(kafka, settings.names, partitions=settings.partitions, replication=settings.replication, retention=settings.retention)
    producer = Producer(kafka, deadline_s=SEND_WITHIN_S)
    try:
        await producer.send_all(settings.names.documents, [(deletion.doc_id.encode(), encode(deletion)) for deletion in deletions])
    finally:
        await producer.stop()
    echo(f"{len(deletions)} deletion{'' if len(deletions) == 1 else 's'} published; workers and the alerter erase as they come to them (`yuqing status` shows how far they are)")
    return 0


def _source_of(doc_id: str) -> str:
    match = _DOC_ID.fullmatch(doc_id)
    if match is None:
        raise ConfigError(f"{doc_id[:100]!r} is no id of a document: `<source>:` and 32 hex digits, as `doc_id` in alerts and documents")
    return match["source"]
