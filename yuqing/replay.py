"""Publishing recorded Documents again, with their times moved and scaled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

import msgspec

from opinion.bus import Producer, create_topics
from opinion.codec import decode, encode
from opinion.errors import ConfigError, InvalidRecord, RecordError
from opinion.records import Document
from opinion.settings import Settings

CHUNK = 500
"""Documents sent between two waits for Kafka."""


async def run_replay(lines: Iterable[bytes], *, settings: Settings, speed: float, start: str | None, echo: Callable[[str], None]) -> int:
    """Publish every document of `lines`; 0 when Kafka has them all.

    Errors:
        ConfigError: `start` is no instant.
        InvalidRecord: a line is no Document; the message names the line, those before it were sent.
        BusUnavailable: Kafka does not answer.
    """
    kafka, _ = settings.require_servers()
    await create_topics(kafka, settings.names, partitions=settings.partitions, replication=settings.replication, retention=settings.retention)
    producer = Producer(kafka)
    sent = 0
    loop = asyncio.get_running_loop()
    began, first = loop.time(), None
    try:
        for chunk in _chunks(shifted(lines, start_at=instant_of(start, option="--start")), size=CHUNK if speed == 0 else 1):
            first = first or chunk[0].fetched_at
            if speed > 0:
                await asyncio.sleep(max(0.0, began + (chunk[0].fetched_at - first).total_seconds() / speed - loop.time()))
            await producer.send_all(settings.names.documents, [(document.doc_id.encode(), encode(document)) for document in chunk])
            sent += len(chunk)
    finally:
        await producer.stop()
    echo(f"{sent} documents published to {settings.names.documents}")
    return 0


def shifted(lines: Iterable[bytes], *, start_at: datetime | None) -> Iterator[Document]:
    """The documents of JSON Lines, moved so that the first was fetched at `start_at` (None: as they are).

    Errors:
        InvalidRecord: a line is no Document; the message names the line.
    """
    delta = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = decode(line, Document)
        except RecordError as error:
            raise InvalidRecord(f"line {number}: {error}") from error
        if start_at is not None:
            delta = delta if delta is not None else start_at - document.fetched_at
            published = None if document.published_at is None else document.published_at + delta
            document = msgspec.structs.replace(document, fetched_at=document.fetched_at + delta, published_at=published)
        yield document


def _chunks(documents: Iterator[Document], *, size: int) -> Iterator[list[Document]]:
    chunk: list[Document] = []
    for document in documents:
        chunk.append(document)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def instant_of(text: str | None, *, option: str) -> datetime | None:
    """The instant that an option names; None for None.

    Errors:
        ConfigError: no RFC 3339 instant with a time zone.
    """
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} is not an RFC 3339 instant") from error
    if at.tzinfo is None:
        raise ConfigError(f"{option} {text!r} has no time zone: write e.g. 2026-11-23T09:30:00Z")
    return at
