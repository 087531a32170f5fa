"""Two models by what their cards say of the same rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from models.cards import Card

FEWEST_ROWS = 100
"""Sets of fewer are not compared: there one row is more than a point."""
MOST_FALL = 0.01
"""A point: what a score may fall by and still not be called worse; trainings that differ in the seed alone differ by so much."""
ROUNDING = 1e-9

MEASURES = {"accuracy": "accuracy", "macro_f1": "macro F1"}
"""What is compared, and how it is called. Calibration errors are not: on some hundred rows they differ by points from one sample to the next."""


class Change(Struct, frozen=True):
    """One score of both models, on the same rows."""

    head: str
    name: str  # of the set of rows
    rows: int
    measure: str
    before: float
    after: float

    @property
    def worse(self) -> bool:
        """Whether it falls by more than is let pass."""
        return self.before - self.after > MOST_FALL + ROUNDING

    def __str__(self) -> str:
        return f"{self.head} on {self.name}: {MEASURES[self.measure]} {self.before:.4f} -> {self.after:.4f} ({self.rows} rows)"


def changes(before: Card, after: Card) -> list[Change]:
    """Every score that both cards have of the same rows, by the digest of the rows: equal names alone may hide other rows."""
    return list(_changes(before, after))


def falls(found: Sequence[Change]) -> list[Change]:
    """The scores that are worse, the worst first."""
    return sorted((change for change in found if change.worse), key=lambda change: change.after - change.before)


def _changes(before: Card, after: Card) -> Iterator[Change]:
    for head in before.scores:
        theirs = after.measured(head)
        for name, score in before.measured(head).items():
            other = theirs.get(name)
            if other is None or not score.rows_sha256 or other.rows_sha256 != score.rows_sha256 or score.rows < FEWEST_ROWS:
                continue
            for measure in MEASURES:
                yield Change(head, name, score.rows, measure, getattr(score, measure), getattr(other, measure))
