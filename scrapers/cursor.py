"""What of a feed was published already: validators, the hash of the last body, and every item's version. Moves after Kafka's ack only."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.erased import deletion_of, signs_of
from opinion.errors import StoreUnavailable
from opinion.names import Names, digest
from opinion.records import Document, Op

SEEN_DAYS = 8
"""How long an item that left its feed is remembered: outages and holidays end within a week, and the old items come back."""
MOST_VERSIONS = 20
"""An item whose text changes on every poll (a counter, an advertisement) is no news each time."""
AUTHOR_KEY_BYTES = 32
MOST_MARKS = 500
"""Items of a feed that are known again under other ids: more than twice as many as any real feed lists."""
ERASED = "erased"
"""Stands for the text of an item that its source deleted."""


class Cursor(Struct, frozen=True, omit_defaults=True):
    """Where the polling of one feed stands."""

    etag: str = ""
    last_modified: str = ""
    body_hash: str = ""  # of the last body that was parsed and published whole
    whole_ms: int = 0  # when a body last came whole, epoch milliseconds
    place: str = ""  # the last file that was published whole, of a source of files
    waiting: dict[str, int] = field(default_factory=dict)  # addresses of files that may still come -> until when they are asked for, epoch milliseconds
    marks: tuple[str, ...] = ()  # of the items of that body: what they say where, whatever their ids


class Seen(Struct, frozen=True):
    """What was published of one item."""

    version: int
    content_hash: str
    today: bool = True  # False: remembered from an earlier day only

    def __str__(self) -> str:
        return f"{self.version}:{self.content_hash}"


def mark_of(document: Document) -> str | None:
    """What tells an item by its address and text; None where it has no address."""
    return digest(f"{document.canonical_url}\n{document.content_hash}", chars=12) if document.canonical_url else None


def marks_of(documents: Sequence[Document]) -> tuple[str, ...]:
    """The marks of the first items."""
    return tuple(mark for document in documents[:MOST_MARKS] if (mark := mark_of(document)))


def unpublished(documents: Iterable[Document], seen: Mapping[str, Seen], *, marks: Collection[str] = ()) -> list[Document]:
    """The documents that were not published in this wording; an edited one comes as `update` with a higher version, an erased one once and never again.

    With the `marks` of the body before, items of a site that gives them other ids on each request are none.
    """
    found = []
    for document in documents:
        last = seen.get(document.doc_id)
        if last is None:
            if mark_of(document) not in marks:
                found.append(deletion_of(document) if document.op is Op.DELETE else document)
        elif last.content_hash == ERASED:
            continue  # a source that lists it again does not bring it back
        elif document.op is Op.DELETE:
            found.append(deletion_of(document, version=last.version + 1))
        elif last.content_hash != document.content_hash and last.version < MOST_VERSIONS:
            found.append(replace(document, op=Op.UPDATE, version=last.version + 1))
    return found


def remembered(published: Iterable[Document], seen: Mapping[str, Seen]) -> dict[str, Seen]:
    """What today is to remember: what was published now, and listed items that only earlier days know, so that they never expire while listed."""
    carried = {doc_id: last for doc_id, last in seen.items() if not last.today}
    return carried | {document.doc_id: Seen(document.version, ERASED if document.op is Op.DELETE else document.content_hash) for document in published}


_cursor = msgspec.json.Decoder(Cursor)


class CursorStore:
    """Cursors and seen items of one source in Redis.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable; each write may be repeated).
    """

    def __init__(self, redis: Redis, names: Names, *, source: str) -> None:
        self._redis = redis
        self._names = names
        self._source = source

    def of(self, source: str) -> CursorStore:
        """The same of another source."""
        return self if source == self._source else CursorStore(self._redis, self._names, source=source)

    async def load(self, key: str) -> Cursor:
        """Where the feed of that key stands; an empty cursor where it was never polled, or where the stored one is of another form."""
        try:
            value = cast("bytes | None", await self._redis.hget(self._names.cursor(self._source), digest(key)))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give a cursor: {error}") from error
        try:
            return _cursor.decode(value) if value else Cursor()
        except msgspec.MsgspecError:
            return Cursor()

    async def seen(self, doc_ids: Sequence[str], *, at: datetime) -> dict[str, Seen]:
        """What was published of these items in the last SEEN_DAYS days; absent where nothing was. One that was erased otherwise is as if its source had deleted it."""
        if not doc_ids:
            return {}
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for key in self._days(at):
                    pipe.hmget(key, list(doc_ids))
                pipe.zmscore(self._names.erased, signs_of(doc_ids))
                *days, erased = cast("list[list[bytes | None]]", await pipe.execute())
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say what was published: {error}") from error
        found: dict[str, Seen] = {}
        for doc_id, values, gone in zip(doc_ids, zip(*days, strict=True), erased, strict=True):
            newest = next((value for value in values if value), None)
            if newest is not None:
                version, _, content_hash = newest.decode().partition(":")
                found[doc_id] = Seen(int(version), content_hash, today=values[0] is not None)
            if gone is not None and (doc_id not in found or found[doc_id].content_hash != ERASED):
                found[doc_id] = Seen(found[doc_id].version if doc_id in found else 1, ERASED, today=False)
        return found

    async def commit(self, key: str, cursor: Cursor, *, seen: Mapping[str, Seen], at: datetime) -> None:
        """Move the feed's cursor and remember what was published, both or neither."""
        today = self._days(at)[0]
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                if seen:
                    pipe.hset(today, mapping={doc_id: str(last) for doc_id, last in seen.items()})
                    pipe.expire(today, timedelta(days=SEEN_DAYS + 1))
                pipe.hset(self._names.cursor(self._source), digest(key), msgspec.json.encode(cursor))
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take a cursor: {error}") from error

    async def author_key(self) -> bytes:
        """The key that authors are hashed with: made once, the same for all scrapers of an installation."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.set(self._names.author_key, secrets.token_bytes(AUTHOR_KEY_BYTES), nx=True)
                pipe.get(self._names.author_key)
                return cast("bytes", (await pipe.execute())[1])
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the key of authors: {error}") from error

    def _days(self, at: datetime) -> list[str]:
        """Keys of the remembered days, newest first."""
        day = int(at.timestamp() // 86_400)
        return [self._names.seen(self._source, day - back) for back in range(SEEN_DAYS)]
