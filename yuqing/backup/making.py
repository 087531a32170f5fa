"""`yuqing backup`: what cannot be had from elsewhere, in one file, while everything runs."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from alerts.archive import Archive
from models import shelf
from opinion.clock import SystemClock
from opinion.errors import ConfigError
from opinion.names import Names
from opinion.redis_client import connect
from opinion.settings import Settings
from opinion.token import token_path
from yuqing.backup.families import FAMILIES
from yuqing.backup.form import Manifest, Since, Writer, described, framed, written
from yuqing.backup.places import readers, since
from yuqing.backup.state import State
from yuqing.up import Stack

ARCHIVE, RULES, SHELF = "documents.db", "rules.yaml", shelf.FOLDER
REDIS = "redis"
"""Where an embedded Redis keeps what it holds, in the data directory."""
TOKENS = ("api-token", "intake-token")
SECRETS = "it holds secrets (keys of receivers, tokens) and texts: keep it where only you can read it"

Echo = Callable[[str], None]


class Files(NamedTuple):
    """Files of an installation, beside what its servers hold."""

    archive: Path
    shelf: Path  # trained models that were promoted
    tokens: dict[str, Path]
    rules: Path | None

    @classmethod
    def of(cls, settings: Settings) -> Files:
        """Where they are, or would be."""
        tokens = dict(zip(TOKENS, (token_path(settings, "api"), token_path(settings, "intake")), strict=True))
        return cls(settings.data_dir / ARCHIVE, settings.data_dir / SHELF, tokens, settings.rules)


@asynccontextmanager
async def on_servers(settings: Settings, *, echo: Echo) -> AsyncIterator[Settings]:
    """The settings with servers that answer: those that are set, else those of the data directory, started for as long as this lasts.

    Errors:
        ConfigError: a `yuqing up` uses the data directory.
        ServerFailed: a server cannot start.
    """
    if settings.kafka and settings.redis:
        yield settings
        return
    stack = Stack(settings, echo=echo, processes=())
    try:
        await stack.start_servers()
        yield stack.settings
    finally:
        await stack.stop()


async def make_backup(path: Path, *, settings: Settings, archive: bool, echo: Echo) -> int:
    """Write a backup to a new file; 0. Without `archive` the judged documents are left out.

    Errors:
        ConfigError: the file is there or cannot be written, or there is nothing to back up.
        StoreUnavailable, BusUnavailable: a server does not answer (retryable; no file is left).
    """
    if not (settings.redis or (settings.data_dir / REDIS).exists()):
        raise ConfigError(f"there is nothing to back up in {settings.data_dir}: name another --data-dir, or your own servers (YUQING_KAFKA, YUQING_REDIS)")
    with written(path) as writer:
        async with on_servers(settings, echo=echo) as running:
            manifest = await _write(writer, running, archive=archive, folder=path.parent)
    echo(_said(path, manifest))
    echo(SECRETS)
    return 0


def _said(path: Path, manifest: Manifest) -> str:
    return f"{path}: {path.stat().st_size / 1000:,.0f} kB, {described(manifest)}"


async def _write(writer: Writer, settings: Settings, *, archive: bool, folder: Path) -> Manifest:
    kafka, redis_url = settings.require_servers()
    files, names, now = Files.of(settings), settings.names, SystemClock().now()
    documents = Archive(files.archive, keep=timedelta(days=settings.archive_days))
    redis = connect(redis_url)
    try:
        state = State(redis, names)
        keys = await state.keys()
        counts = await state.counts(keys)
        if not counts:
            raise ConfigError(f"there is nothing to back up: Redis holds nothing of namespace {settings.namespace!r}")
        stands = await documents.stands() if archive else None
        places = await _places(kafka, names, now=now, stands=stands)  # before anything is copied
        for family in FAMILIES:
            with writer.part(f"redis/{family.name}.bin") as write:
                async for packed in state.copies(family, keys[family]):
                    write(framed(packed))
        if stands is not None:
            await _write_archive(writer, documents, folder=folder)
    finally:
        documents.close()
        await redis.aclose()
    _write_files(writer, files)
    manifest = Manifest(program=version("yuqing"), made_at=now, namespace=settings.namespace, since=places, counts=counts, rules="" if files.rules is None else files.rules.name)
    writer.finish(manifest)
    return manifest


async def _places(kafka: str, names: Names, *, now: datetime, stands: Mapping[int, int] | None) -> Since:
    documents, scored, alerts = readers(names)
    return Since(
        documents=await since(kafka, documents, now=now),
        scored=await since(kafka, scored, now=now),
        alerts=await since(kafka, alerts, now=now),
        archive=None if stands is None else await since(kafka, scored, now=now, read=stands),
    )


async def _write_archive(writer: Writer, documents: Archive, *, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix=".yuqing-backup-", dir=folder) as own:
        copy = Path(own) / ARCHIVE
        await documents.copy_to(copy)
        writer.add(ARCHIVE, copy)


def _write_files(writer: Writer, files: Files) -> None:
    for name, path in files.tokens.items():
        if path.exists():
            writer.add(name, path)
    if files.rules is not None:
        writer.add(RULES, files.rules)
    for path in sorted(files.shelf.rglob("*")) if files.shelf.exists() else []:
        if path.is_file() and not path.name.startswith("."):
            writer.add(f"{SHELF}/{path.relative_to(files.shelf).as_posix()}", path)
