"""Rows for people: columns as wide as what stands in them, Chinese letters counted as two."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

WIDEST = 60
"""Columns of a cell; the last one of a row may be as wide as it likes."""


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, the heads first.

    >>> table(["id", "name"], [["1", "茅台"], ["12", "x"]])
    ['id  name', '1   茅台', '12  x']
    """
    cells = [[_one_line(cell) for cell in row] for row in [heads, *rows]]
    widths = [min(WIDEST, max(cell_len(row[column]) for row in cells)) for column in range(len(heads) - 1)]
    return ["  ".join([*(set_cell_size(cell, width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in cells]


def _one_line(cell: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(cell.split()))
