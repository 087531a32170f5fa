"""Counts of one subject on a regular grid of panes, and their sums by the quarter hour and the hour. Sparse: silence costs nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from alerts.detect.rules import HOUR_S
from opinion.windows import PANE_S, QUARTER_S

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

Change = tuple[int, int, int]
"""By how much total, negative and clearly negative changed."""

CHUNK = 64
"""Cells stored together: 1.5 kB, about an hour of one-minute panes."""
FEW_CHUNKS = 16
"""So many are joined as they are: twice as fast as copying each into its place."""
TOTAL, NEGATIVE, CLEAR = 0, 1, 2
"""Rows of every count array: texts, negatives, and those of the negatives that are so clearly."""
ROWS = 3

_EMPTY = np.zeros((ROWS, CHUNK), np.int64)
_EMPTY.setflags(write=False)


class CountGrid:
    """Total, negative and clearly negative counts by whole-numbered cell; cells never written are zero."""

    def __init__(self) -> None:
        self._chunks: dict[int, Ints] = {}

    def put(self, cell: int, *, total: int, negative: int, clear: int = 0) -> Change:
        """Set a cell; returns by how much its counts changed."""
        chunk = self._chunk(cell // CHUNK)
        column = cell % CHUNK
        change = total - int(chunk[TOTAL, column]), negative - int(chunk[NEGATIVE, column]), clear - int(chunk[CLEAR, column])
        chunk[:, column] = total, negative, clear
        return change

    def add(self, cell: int, *, total: int, negative: int, clear: int = 0) -> None:
        """Add to a cell."""
        self._chunk(cell // CHUNK)[:, cell % CHUNK] += (total, negative, clear)

    def add_many(self, cells: Ints, counts: Ints) -> None:
        """Add column i of `counts` (ROWS, n) to cell `cells[i]`; cells may repeat but must not fall."""
        if not len(cells):
            return
        keys, starts = np.unique(cells // CHUNK, return_index=True)
        for key, start, end in zip(keys.tolist(), starts, [*starts[1:], len(cells)], strict=True):
            for row, values in zip(self._chunk(key), counts[:, start:end], strict=True):
                np.add.at(row, cells[start:end] % CHUNK, values)

    def slice(self, first: int, last: int) -> Ints:
        """A copy of cells [first, last), shape (ROWS, last - first)."""
        begin, end = first // CHUNK, (last - 1) // CHUNK + 1
        if 0 < end - begin <= FEW_CHUNKS:
            held = np.concatenate(self.chunks(range(begin, end)), axis=1)
            return held[:, first - begin * CHUNK : last - begin * CHUNK]
        out = np.zeros((ROWS, max(0, last - first)), np.int64)
        keys = range(begin, end) if end - begin <= len(self._chunks) else sorted(key for key in self._chunks if begin <= key < end)
        for key in keys:
            chunk = self._chunks.get(key)
            if chunk is not None:
                low, high = max(first, key * CHUNK), min(last, (key + 1) * CHUNK)
                out[:, low - first : high - first] = chunk[:, low - key * CHUNK : high - key * CHUNK]
        return out

    def chunks(self, keys: Iterable[int]) -> list[Ints]:
        """The chunks of these numbers, each (ROWS, CHUNK), as they are held: not to be written to."""
        get = self._chunks.get
        return [get(key, _EMPTY) for key in keys]

    def total(self, cell: int) -> int:
        """The total of one cell."""
        chunk = self._chunks.get(cell // CHUNK)
        return 0 if chunk is None else int(chunk[TOTAL, cell % CHUNK])

    def spans(self, first: int, last: int, *, reach: int) -> Iterator[tuple[int, int]]:
        """Stretches of [first, last) that lie within `reach` cells after a chunk that was written to, in order."""
        low = high = first
        for key in sorted(self._chunks):
            begin, end = max(first, key * CHUNK), min(last, (key + 1) * CHUNK + reach)
            if begin > high:
                if high > low:
                    yield low, high
                low = begin
            high = max(high, end)
        if high > low:
            yield low, high

    @property
    def size(self) -> int:
        """How many chunks are held."""
        return len(self._chunks)

    def first(self) -> int | None:
        """First cell of the oldest chunk; None where nothing was ever written."""
        return min(self._chunks) * CHUNK if self._chunks else None

    def trim(self, first: int) -> None:
        """Forget chunks that end before cell `first`."""
        for key in [key for key in self._chunks if (key + 1) * CHUNK <= first]:
            del self._chunks[key]

    def _chunk(self, key: int) -> Ints:
        chunk = self._chunks.get(key)
        if chunk is None:
            chunk = self._chunks[key] = np.zeros((ROWS, CHUNK), np.int64)
        return chunk


def slices(grids: Sequence[CountGrid], first: int, last: int) -> Ints:
    """Cells [first, last) of many grids, (ROWS, grids, last - first): what stacking `slice` of each would give, but all chunks are joined at once."""
    begin, end = first // CHUNK, (last - 1) // CHUNK + 1
    if end <= begin or not grids:
        return np.zeros((ROWS, len(grids), max(0, last - first)), np.int64)
    keys = range(begin, end)
    held = np.concatenate([chunk for grid in grids for chunk in grid.chunks(keys)], axis=1).reshape(ROWS, len(grids), -1)
    return held[:, :, first - begin * CHUNK : last - begin * CHUNK]


class PaneSeries:
    """The panes of one subject: pane i is [anchor_s + i * pane_s, + pane_s), and boundary i is the instant it begins at.

    A pane counts in the hour, and the quarter hour, that its last second lies in, so that these are whole once they are over, whatever the width.
    """

    def __init__(self, *, pane_s: int = PANE_S, anchor_s: int = 0) -> None:
        self.pane_s = pane_s
        self.anchor_s = anchor_s
        self.panes = CountGrid()
        self.quarters = CountGrid()
        self.hours = CountGrid()
        self._horizon: int | None = None

    def put(self, start_s: int, *, total: int, negative: int, clear: int = 0) -> Change:
        """Set the pane that holds the instant `start_s`; returns by how much its counts changed.

        Late edits are welcome until the pane is trimmed; after that they are ignored, and zeros come back.
        """
        pane = self.boundary(start_s)
        if self._horizon is not None and pane < self._horizon:
            return 0, 0, 0
        change = self.panes.put(pane, total=total, negative=negative, clear=clear)
        if any(change):
            self.quarters.add(self.quarter_of(pane), total=change[TOTAL], negative=change[NEGATIVE], clear=change[CLEAR])
            self.hours.add(self.hour_of(pane), total=change[TOTAL], negative=change[NEGATIVE], clear=change[CLEAR])
        return change

    def load(self, starts_s: Ints, counts: Ints) -> Ints:
        """Add many panes at once: `counts` is (ROWS, n), `starts_s` must not fall. Returns the hour of each."""
        panes = (starts_s - self.anchor_s) // self.pane_s
        ends = self.instants(panes + 1) - 1
        hours: Ints = ends // HOUR_S
        self.panes.add_many(panes, counts)
        self.quarters.add_many(ends // QUARTER_S, counts)
        self.hours.add_many(hours, counts)
        return hours

    def boundary(self, at_s: float) -> int:
        """The newest boundary at or before an instant (epoch seconds)."""
        return int((at_s - self.anchor_s) // self.pane_s)

    def instant(self, boundary: int) -> int:
        """Epoch seconds of a boundary."""
        return self.anchor_s + boundary * self.pane_s

    def instants(self, boundaries: Ints) -> Ints:
        """Epoch seconds of boundaries."""
        return self.anchor_s + boundaries * self.pane_s

    def quarters_of(self, starts_s: Ints) -> Ints:
        """The quarter hours that the panes which begin at these instants are learned in."""
        quarters: Ints = (self.instants((starts_s - self.anchor_s) // self.pane_s + 1) - 1) // QUARTER_S
        return quarters

    def quarter_of(self, pane: int) -> int:
        """The quarter hour (since 1970) that a pane is learned in."""
        return (self.instant(pane + 1) - 1) // QUARTER_S

    def hour_of(self, pane: int) -> int:
        """The hour (since 1970) that a pane is learned in."""
        return (self.instant(pane + 1) - 1) // HOUR_S

    def window(self, boundary: int, *, panes: int) -> tuple[int, int]:
        """Total and negative of the `panes` panes before a boundary."""
        total, negative, _ = self.panes.slice(boundary - panes, boundary).sum(axis=1).tolist()
        return total, negative

    def trim(self, *, panes_before_s: float, quarters_before_s: float, hours_before_s: float) -> None:
        """Forget panes, quarter hours and hours that ended before these instants."""
        self._horizon = max(self.boundary(panes_before_s), self._horizon or 0)
        self.panes.trim(self._horizon)
        self.quarters.trim(int(quarters_before_s // QUARTER_S))
        self.hours.trim(int(hours_before_s // HOUR_S))
