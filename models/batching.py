"""Which texts share a forward pass: alike in length, within a budget of tokens. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def plan(lengths: Sequence[int], *, most_tokens: int, most_documents: int) -> list[list[int]]:
    """Batches of indices into `lengths` (tokens), every index once.

    A batch costs its longest length times its rows, because shorter rows are padded; that product stays within `most_tokens`, unless one
    text alone is longer. Sorting by length wastes least; the caller puts the answers back by index.

    >>> plan([9, 3, 4, 9], most_tokens=20, most_documents=8)
    [[1, 2], [0, 3]]
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        batch = batches[-1] if batches else []
        # ascending: this text is the batch's longest
        if not batch or len(batch) >= most_documents or (len(batch) + 1) * lengths[index] > most_tokens:
            batches.append([index])
        else:
            batch.append(index)
    return batches
