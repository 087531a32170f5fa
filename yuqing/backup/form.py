"""The file of a backup: a zip with a manifest that names its version and the hash of every part, readable by its owner alone.

A file that was cut off, altered or made by another program is recognised before anything of it is used. The hashes find damage; whoever can write the
file can also write hashes.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from msgspec import Struct, field

from opinion.errors import ConfigError
from opinion.records import Instant

FORM = "yuqing-backup"
VERSION = 1
"""Of the file and of what is in it; a newer one is refused."""
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 4_000_000
BLOCK_BYTES = 1 << 20
LENGTH_BYTES = 4
_PART = re.compile(r"[a-z0-9-]+(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*(\.[a-z]+)?")


class Part(Struct, frozen=True):
    """One file in it."""

    bytes: int
    sha256: str


class Since(Struct, frozen=True, kw_only=True):
    """From when on records of Kafka may not have had their effect on what is in a backup."""

    documents: Instant
    scored: Instant
    alerts: Instant
    archive: Instant | None = None  # of scored documents; None where the archive is not in it


class Manifest(Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    form: str = FORM
    version: int = VERSION
    program: str  # version of the program that made it
    made_at: Instant
    namespace: str
    since: Since
    counts: dict[str, int]  # for people
    rules: str = ""  # name of the file of rules; empty where the built-in ones were used
    parts: dict[str, Part] = field(default_factory=dict)


class _Head(Struct):
    form: str = ""
    version: int = 0


_manifest = msgspec.json.Decoder(Manifest)
_head = msgspec.json.Decoder(_Head)


class Writer:
    """A backup that is being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._parts: dict[str, Part] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """What takes the bytes of one part, one part after another."""
        assert _PART.fullmatch(name), name
        digest, size = hashlib.sha256(), 0
        with self._archive.open(name, "w", force_zip64=True) as out:

            def write(data: bytes) -> None:
                nonlocal size
                out.write(data)
                digest.update(data)
                size += len(data)

            yield write
        self._parts[name] = Part(size, digest.hexdigest())

    def add(self, name: str, path: Path) -> None:
        """A part that is a file."""
        with path.open("rb") as file, self.part(name) as write:
            while block := file.read(BLOCK_BYTES):
                write(block)

    def finish(self, manifest: Manifest) -> None:
        """Name all parts; nothing can be added after it."""
        data = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(manifest, parts=self._parts)))
        self._archive.writestr(MANIFEST, data)
        self._archive.comment = hashlib.sha256(data).hexdigest().encode()


@contextmanager
def written(path: Path) -> Iterator[Writer]:
    """A file to be written: there, whole and on disk, once the block ends well; otherwise it never was.

    Errors:
        ConfigError: there is one already, or it cannot be written.
    """
    if path.exists():
        raise ConfigError(f"{path} is there already: a backup never takes the place of another")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


class Backup:
    """A backup whose parts were all found to be as they were written."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    def parts(self, beginning: str) -> list[str]:
        """Names of parts, in the order they were written."""
        return [name for name in self.manifest.parts if name.startswith(beginning)]

    def frames(self, name: str) -> Iterator[bytes]:
        """The frames of a part that was written by `framed`."""
        with self._archive.open(name) as file:
            while length := file.read(LENGTH_BYTES):
                yield file.read(int.from_bytes(length, "big"))

    def read(self, name: str) -> bytes:
        """The bytes of a small part."""
        return self._archive.read(name)

    def extract(self, name: str, path: Path) -> None:
        """Write a part to a file that its owner alone may read."""
        with self._archive.open(name) as file, os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
            while block := file.read(BLOCK_BYTES):
                out.write(block)
            os.fchmod(out.fileno(), 0o600)


def framed(data: bytes) -> bytes:
    """Bytes with their length before them."""
    return len(data).to_bytes(LENGTH_BYTES, "big") + data


@contextmanager
def opened(path: Path) -> Iterator[Backup]:
    """A backup, every byte of it checked.

    Errors:
        ConfigError: it is none, is damaged or cut off, or was made by a newer version; one line says which.
    """
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{path} is no backup of yuqing, or was cut off") from error
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    with archive:
        yield Backup(archive, _checked(archive, path))


def _checked(archive: zipfile.ZipFile, path: Path) -> Manifest:
    try:
        with archive.open(MANIFEST) as file:
            data = file.read(MOST_MANIFEST_BYTES)
        head = _head.decode(data)
    except (KeyError, msgspec.MsgspecError, zlib.error, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ConfigError(f"{path} is no backup of yuqing") from error
    if head.form != FORM:
        raise ConfigError(f"{path} is no backup of yuqing")
    if head.version > VERSION:
        raise ConfigError(f"{path} was made by a newer version (form {head.version}, this program reads up to {VERSION}): upgrade it")
    try:
        manifest = _manifest.decode(data)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} is damaged: {MANIFEST}: {error}") from error
    names = [info.filename for info in archive.infolist()]
    if archive.comment != hashlib.sha256(data).hexdigest().encode() or sorted(names) != sorted([*manifest.parts, MANIFEST]):
        raise ConfigError(f"{path} is not as it was written: {MANIFEST}")
    for name, part in manifest.parts.items():
        if not _PART.fullmatch(name) or not _is(archive, name, part):
            raise ConfigError(f"{path} is not as it was written: {name}")
    return manifest


def _is(archive: zipfile.ZipFile, name: str, part: Part) -> bool:
    digest, left = hashlib.sha256(), part.bytes
    with suppress(zlib.error, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError), archive.open(name) as file:
        while left >= 0 and (block := file.read(BLOCK_BYTES)):
            digest.update(block)
            left -= len(block)
        return left == 0 and digest.hexdigest() == part.sha256
    return False


def described(manifest: Manifest) -> str:
    """A backup in one line, for people."""
    held = ", ".join(f"{name} {count}" for name, count in manifest.counts.items())
    return f"made {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC by yuqing {manifest.program}, namespace {manifest.namespace}: {held}"
