"""A model's card: what the weights are, what they were made from, how well they do; and whether a folder holds what its card says."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct, field

from opinion.errors import ModelLoadError

DEFAULT = "default"
"""How settings and commands call the model that came with the program."""
WEIGHTS = Path(__file__).parent / "weights"
"""Where that one is."""
HEADS, ADAPTERS, CARD = "heads.safetensors", "adapters.safetensors", "card.json"


class Encoder(Struct, frozen=True):
    """What the weights were made for."""

    name: str
    sha256: str
    origin: str = ""


class Origin(Struct, frozen=True):
    """One set of rows that the weights were trained on."""

    rows: int
    origin: str  # where from, and under which licence


class Score(Struct, frozen=True):
    """How well one head does on one set of rows that nothing was fitted on."""

    rows: int
    accuracy: float
    macro_f1: float
    ece: float  # expected calibration error, in [0, 1]
    ece_uncalibrated: float | None = None  # the same before the temperatures; None where it was not measured
    rows_sha256: str = ""  # 16 digits; of equal rows and labels, whatever their order; empty in cards written before it was kept


class Card(Struct, frozen=True):
    """What `yuqing train` writes beside the weights. Loading relies on the first four."""

    name: str
    adapters_sha256: str
    heads_sha256: str
    encoder: Encoder
    trained_at: datetime | None = None  # None in cards written before it was kept
    mean_of: list[str] = field(default_factory=list)  # revisions of the models whose mean the weights are; empty: they come from one training
    taught_by: str = ""  # revision of the model whose answers stood in for missing labels; empty: none
    licence: str = ""
    intended_use: str = ""
    limits: list[str] = field(default_factory=list)
    trained_on: dict[str, Origin] = field(default_factory=dict)
    temperatures: dict[str, dict[str, float]] = field(default_factory=dict)  # head -> language and register -> temperature
    scores: dict[str, dict[str, Score | float]] = field(default_factory=dict)  # head -> set of rows; a bare number is a score of another kind

    @property
    def revision(self) -> str:
        """The short name of the weights."""
        return revision_of(self.adapters_sha256, self.heads_sha256)

    def measured(self, head: str) -> dict[str, Score]:
        """The scores of one head on labelled rows, by set."""
        return {name: score for name, score in self.scores.get(head, {}).items() if isinstance(score, Score)}


def revision_of(adapters_sha256: str, heads_sha256: str) -> str:
    """The short name of a set of weights."""
    return hashlib.sha256(f"{adapters_sha256}{heads_sha256}".encode()).hexdigest()[:12]


def read_card(directory: Path) -> Card:
    """The card of the model in `directory`.

    Errors:
        ModelLoadError: there is none, or it lacks a field or has one of another form.
    """
    path = directory / CARD
    try:
        return msgspec.json.decode(path.read_bytes(), type=Card)
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise ModelLoadError(msg) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        msg = f"{path} is no model card: {error}"
        raise ModelLoadError(msg) from error


def checked(directory: Path) -> Card:
    """The card of the model in `directory`, whose weights are those it tells of and were made for this program's encoder.

    Errors:
        ModelLoadError: no card, weights that are missing or were changed, or another encoder's.
    """
    from models import encoder_files  # noqa: PLC0415 - brings numpy: only those who look at weights wait for it

    card = read_card(directory)
    if card.encoder.sha256 != encoder_files.SHA256:
        msg = f"{directory} was made for the encoder {card.encoder.name} ({card.encoder.sha256[:12]}), not for {encoder_files.NAME} ({encoder_files.REVISION})"
        raise ModelLoadError(msg)
    for name, sha256 in ((ADAPTERS, card.adapters_sha256), (HEADS, card.heads_sha256)):
        _check_hash(directory / name, sha256=sha256)
    return card


def _check_hash(path: Path, *, sha256: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise ModelLoadError(msg) from error
    if found != sha256:
        msg = f"{path} has sha256 {found[:12]}, its card says {sha256[:12]}: it was changed or cut off"
        raise ModelLoadError(msg)
