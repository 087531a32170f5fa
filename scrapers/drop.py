"""A directory as a source: files of Documents that are put into it are published, then moved to `done` in it, or to `failed`.

A file is read in parts of whole lines, each published and acknowledged before the next. After a crash it is read again from its beginning: what was
published is known, so nothing is lost and nothing is told twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from pydantic import SecretStr

from opinion.clock import Clock
from opinion.errors import PageChanged, SourceError, SourceUnavailable
from opinion.records import Document
from opinion.settings import Feed, Settings
from scrapers.cursor import Cursor, CursorStore
from scrapers.parsing import Parser
from scrapers.poll import Polled
from scrapers.publish import Publisher, Publishing
from scrapers.source import Problem, Response
from scrapers.sources.documents import MAX_ROWS, NAME

DROP = "drop"
"""What the directory is called in `status` and metrics."""
LOOK_S = 2.0
"""Seconds between two looks into the directory."""
SETTLED_S = 1.0
"""A file that was written to since then may still grow. Better still: write it under another name and rename it."""
PART_BYTES = 2_000_000
"""A file of lines is read in parts of so many bytes."""
ENDINGS = (".jsonl", ".ndjson", ".json")
DONE, FAILED = "done", "failed"


def drop_of(settings: Settings) -> Feed:
    """The directory as a feed.

    Errors:
        ConfigError: `drop_fields` is of another form.
    """
    from scrapers.source import fitted  # noqa: PLC0415 - the registry imports every adapter

    options = {"fields": SecretStr(settings.drop_fields)} if settings.drop_fields else {}
    return fitted(Feed(source=NAME, url="https://drop.invalid/", name=DROP, options=options))[1]


class DropPoller:
    """Publishes what lies in the directory, one file a poll."""

    def __init__(self, settings: Settings, parser: Parser, cursors: CursorStore, producer: Publishing, *, clock: Clock) -> None:
        self._directory = settings.drop_dir or Path()
        self._most_bytes = settings.max_body_bytes
        self._parser = parser
        self._cursors = cursors.of(NAME)
        self._publisher = Publisher(producer, cursors, settings.names)
        self._clock = clock

    async def poll(self, feed: Feed) -> Polled:
        """Publish the oldest file that is complete.

        Errors:
            SourceUnavailable: the directory cannot be read.
            PageChanged: the file holds no documents; it lies in `failed` now.
            BusUnavailable, StoreUnavailable (retryable): the file stays.
        """
        path = await asyncio.to_thread(self._next)
        if path is None:
            return Polled(outcome="not_modified")
        published: list[Document] = []
        problems: list[Problem] = []
        try:
            for part in _parts(path, most_bytes=self._most_bytes):
                found, wrong = await self._publish(part, feed)
                published += found
                problems += wrong
        except SourceError as error:
            await asyncio.to_thread(_put_away, path, FAILED, [Problem(error.reason.value, str(error))])
            raise PageChanged(f"{path.name}: {error}; it is in `{FAILED}` now") from error
        except OSError as error:
            raise SourceUnavailable(f"{path.name}: {error.strerror}") from error
        await asyncio.to_thread(_put_away, path, DONE, problems)
        return Polled(outcome="ok" if published else "empty", published=published, problems=problems)

    async def _publish(self, part: bytes, feed: Feed) -> tuple[list[Document], list[Problem]]:
        response = Response(url=feed.url, body=part, fetched_at=self._clock.now())
        parsed = await self._parser.parse(NAME, response, feed=feed, author_key=await self._cursors.author_key())
        return await self._publisher.publish(parsed.documents, source=NAME, key=DROP, cursor=Cursor(), at=response.fetched_at), parsed.problems

    def _next(self) -> Path | None:
        try:
            files = [path for path in self._directory.iterdir() if path.suffix in ENDINGS and path.is_file() and not path.name.startswith(".")]
            ages = sorted((path.stat().st_mtime, path.name, path) for path in files)
        except OSError as error:
            raise SourceUnavailable(f"{self._directory}: {error.strerror}") from error
        return next((path for written, _, path in ages if time.time() - written >= SETTLED_S), None)


def _parts(path: Path, *, most_bytes: int) -> Iterator[bytes]:
    """A file of lines in parts of whole lines; any other as it is. Blank parts are left out.

    Errors:
        PageChanged: a line, or a file that is not of lines, is too long.
    """
    if path.suffix == ".json":
        if path.stat().st_size > most_bytes:
            raise PageChanged(f"over {most_bytes} bytes; as JSON Lines it may be as long as it likes")
        yield path.read_bytes()
        return
    part, size = [], 0
    with path.open("rb") as file:
        while line := file.readline(most_bytes + 1):
            if len(line) > most_bytes:
                raise PageChanged(f"a line of over {most_bytes} bytes")
            if line.strip():
                part.append(line)
                size += len(line)
            if size >= PART_BYTES or len(part) >= MAX_ROWS:
                yield b"".join(part)
                part, size = [], 0
    if part:
        yield b"".join(part)


def _put_away(path: Path, where: str, problems: list[Problem]) -> None:
    """Move a file out of sight, and say beside it what was wrong; a file of the same name gives way."""
    target = path.parent / where
    target.mkdir(exist_ok=True)
    if problems:
        (target / f"{path.name}.problems.jsonl").write_bytes(b"".join(msgspec.json.encode(problem) + b"\n" for problem in problems))
    path.replace(target / path.name)
