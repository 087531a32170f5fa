"""The shelf: trained models under the data directory, each in a folder of its revision's name, and which of them workers load.

What is in use is the last of the promotions in the pointer file; without any it is the model that came with the program.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field

from models.cache import locked
from models.cards import DEFAULT, WEIGHTS, Card, checked, read_card
from opinion.errors import ConfigError, ModelLoadError, ModelRefused
from opinion.settings import Settings

FOLDER, POINTER, LOCK = "shelf", "in-use.json", ".lock"
REMEDY = "promote it again from the folder of its training, or go back: `yuqing model rollback`, or `yuqing model promote default --force` for the built-in one"

_REVISION = re.compile(r"[0-9a-f]{12}")


class Promotion(Struct, frozen=True):
    """A model put to use."""

    revision: str  # `default`: the one that came with the program, whichever that is
    at: datetime


class Pointer(Struct, frozen=True):
    """What the pointer file says."""

    promotions: list[Promotion] = field(default_factory=list)  # the last is in use, the others are what a rollback goes back to
    schema: int = 1

    @property
    def in_use(self) -> str:
        """The revision that workers load."""
        return self.promotions[-1].revision if self.promotions else DEFAULT


class Shelf:
    """The shelf of a data directory; none need be there."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / FOLDER
        self._pointer = self.folder / POINTER

    def place(self, revision: str) -> Path:
        """The folder of a revision; of `default`, that of the program."""
        return WEIGHTS if revision == DEFAULT else self.folder / revision

    def revisions(self) -> list[str]:
        """What is on the shelf, in order of name.

        Errors:
            ConfigError: the data directory cannot be read.
        """
        with self._blamed():
            try:
                return sorted(path.name for path in self.folder.iterdir() if path.is_dir() and _REVISION.fullmatch(path.name))
            except FileNotFoundError:
                return []

    def find(self, name: str) -> Path:
        """The folder that a command means: that of the built-in model (`default`, or its revision), of a revision on the shelf, or else a directory.

        Errors:
            ConfigError: it is none of them.
        """
        if name in (DEFAULT, read_card(WEIGHTS).revision):
            return WEIGHTS
        known = self.revisions()
        if name in known:
            return self.place(name)
        directory = Path(name)
        if not name or not directory.is_dir():
            raise ConfigError(f"{name!r} is neither a directory nor a revision; known: {', '.join([DEFAULT, *known])}")
        return directory

    def pointer(self) -> Pointer:
        """What was promoted.

        Errors:
            ModelLoadError: the pointer file cannot be read, or holds something else.
        """
        try:
            return msgspec.json.decode(self._pointer.read_bytes(), type=Pointer)
        except FileNotFoundError:
            return Pointer()
        except OSError as error:
            msg = f"{self._pointer}: {error.strerror}: which model is in use cannot be told"
            raise ModelLoadError(msg) from error
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            msg = f"{self._pointer} does not say which model is in use ({error}); remove it to go back to the built-in one, then promote"
            raise ModelLoadError(msg) from error

    def in_use(self) -> tuple[Path, Card]:
        """The folder that workers load, and its checked card.

        Errors:
            ModelLoadError: the pointer or what it points to is missing or damaged. There is no other model in its stead: windows would mix the judgements of both.
        """
        return self._usable(self.pointer().in_use)

    def put(self, directory: Path) -> Card:
        """The card of the model in `directory`, which is on the shelf when this returns: copied, checked, seen by others whole or not at all.

        Errors:
            ModelLoadError: it is missing or damaged, or was made for another encoder.
            ConfigError: the data directory cannot be written.
        """
        card = checked(directory)
        with self._changing():
            if not self._holds(card):
                self._copy(directory, self.folder / card.revision)
        return card

    def promote(self, revision: str, *, at: datetime) -> bool:
        """Have workers load the revision from their next start on; False where they did already.

        Errors:
            ModelLoadError: it is missing or damaged, or the pointer file is.
            ConfigError: the data directory cannot be written.
        """
        self._usable(revision)
        with self._changing():
            pointer = self.pointer()
            if revision == pointer.in_use:
                return False
            self._write(Pointer([*pointer.promotions, Promotion(revision, at)]))
            return True

    def rollback(self) -> tuple[str, str]:
        """Have workers load again what they loaded before the last promotion; the revisions of before and of now.

        Errors:
            ModelRefused: nothing was promoted.
            ModelLoadError: what was in use before is missing or damaged, or the pointer file is.
            ConfigError: the data directory cannot be written.
        """
        with self._changing():
            pointer = self.pointer()
            if not pointer.promotions:
                raise ModelRefused("nothing to go back to: the built-in model is in use, and none was promoted")
            back = Pointer(pointer.promotions[:-1])
            self._usable(back.in_use)
            self._write(back)
            return pointer.in_use, back.in_use

    def _usable(self, revision: str) -> tuple[Path, Card]:
        directory = self.place(revision)
        if revision == DEFAULT:
            return directory, checked(directory)
        try:
            card = checked(directory)
        except ModelLoadError as error:
            msg = f"the promoted model {revision} cannot be used: {error}; {REMEDY}"
            raise ModelLoadError(msg) from error
        if card.revision != revision:
            msg = f"{directory} holds the model {card.revision}, not the promoted {revision}; {REMEDY}"
            raise ModelLoadError(msg)
        return directory, card

    def _holds(self, card: Card) -> bool:
        """Whether the model is on the shelf, and undamaged."""
        try:
            return checked(self.folder / card.revision).revision == card.revision
        except ModelLoadError:
            return False

    def _copy(self, source: Path, target: Path) -> None:
        building = Path(tempfile.mkdtemp(prefix=".", dir=self.folder))
        try:
            for path in source.iterdir():
                if path.is_file():
                    shutil.copyfile(path, building / path.name)
            checked(building)  # the source may have changed, or the disk be full, since it was looked at
            building.chmod(0o755)
            shutil.rmtree(target, ignore_errors=True)  # only what is damaged is replaced
            building.rename(target)
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def _write(self, pointer: Pointer) -> None:
        """Replace the pointer file: whoever reads it sees the old or the new one, also after a power cut."""
        new = self._pointer.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(pointer), indent=2) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._pointer)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """One command changes the shelf at a time."""
        with self._blamed(), locked(self.folder / LOCK):
            yield

    @contextmanager
    def _blamed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ConfigError(f"setting `data_dir`: {self.folder}: {error.strerror or error}") from error


def model_of(settings: Settings) -> tuple[Path, Card]:
    """Where the configured model is, and its checked card: a directory that `model` names, else the promoted one, else the one that came with the program.

    Errors:
        ModelLoadError: it is missing or damaged, or was made for another encoder.
    """
    if settings.model == DEFAULT:
        return Shelf(settings.data_dir).in_use()
    directory = Path(settings.model)
    return directory, checked(directory)
