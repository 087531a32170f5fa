"""Scored documents on disk, so that people can look behind any number: a SQLite file beside the alerter, filled from `yuqing.scored.v1`.

Each alerter has its own, with the offsets it was filled up to in the same file: both move together, so a crash neither loses nor doubles.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from opinion.clock import epoch_ms
from opinion.codec import decode, encode
from opinion.erased import sign_of
from opinion.errors import StoreUnavailable
from opinion.records import Op, ScoredDocument

T = TypeVar("T")

MOST_TEXT_CHARS = 4_000
"""Kept of a text: what the model read of it, and some more."""
PURGE_ROWS = 5_000
"""Rows removed in one transaction: a long one would hold up readers."""
_FORM = 1
"""Version of the file; one of another is made anew from the log."""

_TABLES = """
CREATE TABLE documents (
  row INTEGER PRIMARY KEY, doc_id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, event_ms INTEGER NOT NULL, gone_ms INTEGER NOT NULL, source TEXT NOT NULL, kind TEXT NOT NULL,
  lang TEXT NOT NULL, sentiment TEXT NOT NULL, negative REAL NOT NULL, story TEXT NOT NULL, scored TEXT
);
CREATE INDEX documents_by_time ON documents (event_ms DESC, row DESC);
CREATE INDEX documents_by_story ON documents (story, event_ms);
CREATE INDEX documents_by_end ON documents (gone_ms);
CREATE TABLE subjects (subject TEXT NOT NULL, event_ms INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (subject, event_ms, row)) WITHOUT ROWID;
CREATE INDEX subjects_by_row ON subjects (row);
CREATE VIRTUAL TABLE words USING fts5 (title, text, content='', tokenize='trigram');
CREATE TABLE offsets (partition INTEGER PRIMARY KEY, next INTEGER NOT NULL);
"""
_INSERT = "INSERT INTO documents (doc_id, version, event_ms, gone_ms, source, kind, lang, sentiment, negative, story, scored) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Query(Struct, frozen=True, kw_only=True):
    """Which documents; what is None does not matter."""

    subject: str | None = None
    since: datetime | None = None
    until: datetime | None = None  # not included
    sentiment: str | None = None  # on the subject, where one is asked for
    lang: str | None = None  # en, zh
    kind: str | None = None
    source: str | None = None
    story: str | None = None
    words: str | None = None  # must occur in title or text, as they stand
    after: tuple[int, int] | None = None  # the place of the last one seen: older ones follow
    limit: int = 50


class Found(Struct, frozen=True):
    """A document and its place in the list, newest first."""

    scored: ScoredDocument
    place: tuple[int, int]


class Archive:
    """The file. Every call runs in a thread; one at a time writes, and reads do not wait for it.

    Errors of every method:
        StoreUnavailable: the disk is full, gone, or the file is broken (retryable).
    """

    def __init__(self, path: Path, *, keep: timedelta) -> None:
        self._path = path
        self._keep = keep
        self._local = threading.local()
        self._writing = threading.Lock()
        self._connections: list[sqlite3.Connection] = []

    async def open(self) -> dict[int, int]:
        """Make the file where there is none; partition -> the offset from which on it is to be filled."""

        def work(database: sqlite3.Connection) -> dict[int, int]:
            if database.execute("PRAGMA user_version").fetchone()[0] != _FORM:
                for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('documents', 'subjects', 'words', 'offsets')").fetchall():
                    database.execute(f"DROP TABLE {name}")
                database.executescript(_TABLES + f"PRAGMA user_version = {_FORM};")
            return dict(database.execute("SELECT partition, next FROM offsets").fetchall())

        return await self._run(work, writes=True)

    async def put(self, partition: int, records: Sequence[tuple[int, ScoredDocument]]) -> None:
        """Take in scored documents of a partition with their offsets, in order; a newer version replaces, a deletion erases for good."""

        def work(database: sqlite3.Connection) -> None:
            with database:
                for _, scored in records:
                    _put(database, scored, keep=self._keep)
                if records:
                    database.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?)", (partition, records[-1][0] + 1))
            if any(scored.document.op is Op.DELETE for _, scored in records):
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the journal still holds what was erased

        await self._run(work, writes=True)

    async def find(self, query: Query) -> list[Found]:
        """The documents of a query, newest event first."""

        def work(database: sqlite3.Connection) -> list[Found]:
            text, values = _select(query)
            return [Found(decode(scored, ScoredDocument), (event_ms, row)) for scored, event_ms, row in database.execute(text, values)]

        return await self._run(work)

    async def get(self, doc_id: str) -> ScoredDocument | None:
        """One document; None where it is not kept, or erased."""

        def work(database: sqlite3.Connection) -> ScoredDocument | None:
            found = database.execute("SELECT scored FROM documents WHERE doc_id = ? AND scored IS NOT NULL", (doc_id,)).fetchone()
            return decode(found[0], ScoredDocument) if found else None

        return await self._run(work)

    async def purge(self, *, now: datetime) -> int:
        """Forget what is older than it may be kept; how many."""

        def work(database: sqlite3.Connection) -> int:
            gone = 0
            while True:
                with database:
                    rows = database.execute("SELECT row FROM documents WHERE gone_ms < ? LIMIT ?", (epoch_ms(now), PURGE_ROWS)).fetchall()
                    _remove(database, [row for (row,) in rows])
                gone += len(rows)
                if len(rows) < PURGE_ROWS:
                    return gone

        return await self._run(work, writes=True)

    async def copy_to(self, path: Path) -> None:
        """Write all of it to another file, as of one instant, while others read and fill."""

        def work(database: sqlite3.Connection) -> None:
            with closing(sqlite3.connect(path)) as copy:
                database.backup(copy)

        await self._run(work)

    async def take_up(self, offsets: Mapping[int, int], *, erased: Collection[bytes]) -> int:
        """Be filled from these offsets on, and lose the documents that `erased` stands for (opinion/erased.py), as by their deletion; how many they were.

        For a copy that was made at another time, maybe beside another Kafka.
        """

        def work(database: sqlite3.Connection) -> int:
            if database.execute("PRAGMA user_version").fetchone()[0] != _FORM:
                return 0  # it is made anew from the log
            rows = database.execute("SELECT row, doc_id FROM documents WHERE scored IS NOT NULL").fetchall() if erased else []
            gone = [row for row, doc_id in rows if sign_of(doc_id) in erased]
            with database:
                for row in gone:
                    known = database.execute("SELECT doc_id, version, event_ms, gone_ms, source, kind, lang FROM documents WHERE row = ?", (row,)).fetchone()
                    _remove(database, [row])
                    database.execute(_INSERT, (*known, "", 0.0, "", None))
                database.execute("DELETE FROM offsets")
                database.executemany("INSERT INTO offsets VALUES (?, ?)", offsets.items())
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return len(gone)

        return await self._run(work, writes=True)

    async def stands(self) -> dict[int, int] | None:
        """Partition -> the offset up to which a file that is there was filled; None where it never was, or is of another version."""

        def work(database: sqlite3.Connection) -> dict[int, int] | None:
            known = database.execute("PRAGMA user_version").fetchone()[0] == _FORM
            return dict(database.execute("SELECT partition, next FROM offsets").fetchall()) or None if known else None

        return await self._run(work) if self._path.exists() else None

    def close(self) -> None:
        """Close the file."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    async def _run(self, work: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        def guarded() -> T:
            try:
                if not writes:
                    return work(self._connection())
                with self._writing:
                    return work(self._connection())
            except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
                raise StoreUnavailable(f"the archive of documents at {self._path}: {error}") from error

        return await asyncio.to_thread(guarded)

    def _connection(self) -> sqlite3.Connection:
        """That of the thread."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            found = sqlite3.connect(self._path, timeout=10, check_same_thread=False)
            self._path.chmod(0o600)
            found.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;")
            found.create_function("sentiment_on", 2, _sentiment_on, deterministic=True)
            self._local.connection = found
            self._connections.append(found)
        return found


def _put(database: sqlite3.Connection, scored: ScoredDocument, *, keep: timedelta) -> None:
    document = scored.document
    known = database.execute("SELECT row, version, scored IS NULL FROM documents WHERE doc_id = ?", (document.doc_id,)).fetchone()
    erased = document.op is Op.DELETE
    if known is not None and (known[2] or (known[1] > document.version and not erased)):
        return  # erased for good, or an older version that was sent again; who erases need not know the version
    if known is not None:
        _remove(database, [known[0]])
    days = document.extra.get("retention_days")
    kept = min(keep, timedelta(days=days)) if isinstance(days, int) else keep
    if len(document.text) > MOST_TEXT_CHARS:
        scored = replace(scored, document=replace(document, text=document.text[:MOST_TEXT_CHARS]))
    at_ms = epoch_ms(scored.event_at)
    row = database.execute(
        _INSERT,
        (
            document.doc_id, document.version, at_ms, epoch_ms(scored.event_at + kept), document.source, document.kind.value, document.lang,
            "" if erased else scored.sentiment.label, 0.0 if erased else scored.sentiment.negative, "" if erased else scored.story_id, None if erased else encode(scored).decode(),
        ),
    ).lastrowid  # fmt: skip
    if not erased:
        database.executemany("INSERT OR IGNORE INTO subjects VALUES (?, ?, ?)", [(subject, at_ms, row) for subject in scored.subjects])
        database.execute("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", (row, document.title, scored.document.text))


def _remove(database: sqlite3.Connection, rows: Iterable[int]) -> None:
    for row in rows:
        (scored,) = database.execute("SELECT scored FROM documents WHERE row = ?", (row,)).fetchone()
        if scored is not None:
            document = decode(scored, ScoredDocument).document
            database.execute("INSERT INTO words (words, rowid, title, text) VALUES ('delete', ?, ?, ?)", (row, document.title, document.text))
        database.execute("DELETE FROM subjects WHERE row = ?", (row,))
        database.execute("DELETE FROM documents WHERE row = ?", (row,))


def _select(query: Query) -> tuple[str, list[object]]:
    """The statement for a query, and its values."""
    time = "s.event_ms" if query.subject is not None else "d.event_ms"
    conditions: list[tuple[str, list[object]]] = [("d.scored IS NOT NULL", [])]
    if query.subject is not None:
        conditions.append(("s.subject = ?", [query.subject]))
    if query.since is not None:
        conditions.append((f"{time} >= ?", [epoch_ms(query.since)]))
    if query.until is not None:
        conditions.append((f"{time} < ?", [epoch_ms(query.until)]))
    if query.after is not None:
        conditions.append((f"({time}, d.row) < (?, ?)", list(query.after)))
    if query.lang is not None:
        conditions.append(("d.lang LIKE ? ESCAPE '\\'", [_like(query.lang) + "%"]))
    conditions += [(f"d.{column} = ?", [value]) for column in ("kind", "source", "story") if (value := getattr(query, column)) is not None]
    if query.words:
        conditions.append(_words(query.words))
    if query.sentiment is not None:
        conditions.append(("d.sentiment = ?" if query.subject is None else "sentiment_on(d.scored, s.subject) = ?", [query.sentiment]))
    origin = "subjects s JOIN documents d ON d.row = s.row" if query.subject is not None else "documents d"
    where = " AND ".join(text for text, _ in conditions)
    values = [value for _, some in conditions for value in some]
    return f"SELECT d.scored, d.event_ms, d.row FROM {origin} WHERE {where} ORDER BY {time} DESC, d.row DESC LIMIT ?", [*values, query.limit]  # noqa: S608 - only our own words


def _sentiment_on(scored: str, subject: str) -> str:
    return decode(scored.encode(), ScoredDocument).sentiment_on(subject).label


def _words(words: str) -> tuple[str, list[object]]:
    """Trigrams find three letters or more; what is shorter, as Chinese words are, is looked for in every text that the other conditions leave."""
    if len(words) >= 3:
        return "d.row IN (SELECT rowid FROM words WHERE words MATCH ?)", ['"' + words.replace('"', '""') + '"']
    return "instr(json_extract(d.scored, '$.document.title') || char(10) || coalesce(json_extract(d.scored, '$.document.text'), ''), ?) > 0", [words]


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
