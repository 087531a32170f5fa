"""The mean of several trainings of one encoder: better on rows that none of them has seen than each, at the cost of one.

Source: Wortsman et al. 2022, arXiv:2203.05482 (model soups): trainings that start from the same weights end in one valley, and its middle is lower.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from models.adapters import Array, Tensors, adapters_from
from models.cards import ADAPTERS, HEADS, checked
from models.features import HEAD_NAMES
from models.heads import Head, load_heads
from models.reader import Reader
from models.training.finish import finish
from models.training.run import material
from opinion.errors import ModelLoadError

RANK = 92
"""Of the mean's adapters, kept in 8 bits (6.8 MB): it has the ranks of all together, 96 of three; 46 in 16 bits lose 6 % of the square of what they change."""

LEAST_KIN = 0.3
"""Cosine between the last layers of two trainings: .70 to .87 where they began with the same values, -.06 to .02 where not."""


def average(directories: Sequence[Path], out: Path, *, base: Path, name: str, max_tokens: int, rank: int = RANK) -> dict[str, Any]:
    """Write the mean of the models in `directories` into `out`, calibrated and measured as a training's end is; returns its card.

    Errors:
        ModelLoadError: a folder holds no model of this encoder, models of different shapes or of different first values, or `out` cannot be written.
    """
    cards = [checked(directory) for directory in directories]
    adapters = [adapters_from((directory / ADAPTERS).read_bytes()) for directory in directories]
    hidden = Reader(base, max_tokens=max_tokens).hidden
    heads = [load_heads(directory / HEADS, sha256=card.heads_sha256, hidden=hidden) for directory, card in zip(directories, cards, strict=True)]
    for (first, of_first), (second, of_second) in pairwise(zip(directories, heads, strict=True)):
        if not all(is_kin(getattr(of_first, head), getattr(of_second, head)) for head in HEAD_NAMES):
            raise ModelLoadError(f"{first} and {second} began with different values, so that their mean is neither: train with the same `seed` and another `order`")
    rows, parts = material()
    return finish(
        adapters=mean_adapters(adapters, rank=rank),
        heads={head: mean_head([getattr(one, head) for one in heads]) for head in HEAD_NAMES},
        rows=rows,
        parts=parts,
        base=base,
        out=out,
        name=name,
        max_tokens=max_tokens,
        eight_bits=True,
        mean_of=[card.revision for card in cards],
    )


def mean_adapters(trainings: Sequence[Tensors], *, rank: int) -> dict[str, Array]:
    """The mean of adapters: of the products of those of a matrix, as near as `rank` allows (Eckart and Young 1936).

    Errors:
        ModelLoadError: they are of different shapes.
    """
    first = trainings[0]
    shapes = [{name: _shape_of(name, tensor) for name, tensor in one.items()} for one in trainings]
    if any(one != shapes[0] for one in shapes):
        raise ModelLoadError("adapters of different shapes have no mean")
    mean: dict[str, Array] = {}
    for name in first:
        at, _, part = name.rpartition(".")
        if part == "up":
            mean[name], mean[f"{at}.down"] = _factors(np.mean([_product(one, at) for one in trainings], axis=0), rank=rank)
        elif part != "down":
            mean[name] = np.mean([one[name].astype(np.float32) for one in trainings], axis=0)
    return mean


def is_kin(first: Head, second: Head) -> bool:
    """Whether two heads began with the same values: units of the hidden layer stand in the same places."""
    one, other = first.outer.ravel(), second.outer.ravel()
    return float(one @ other) > LEAST_KIN * float(np.linalg.norm(one) * np.linalg.norm(other))


def mean_head(heads: Sequence[Head]) -> Head:
    """The mean of heads that began with the same values; temperatures are set anew by who calls."""
    return Head(**{field: np.mean([getattr(head, field) for head in heads], axis=0) for field in Head.__struct_fields__})


def _product(adapters: Mapping[str, Array], at: str) -> Array:
    return np.asarray(adapters[f"{at}.up"].astype(np.float32) @ adapters[f"{at}.down"].astype(np.float32))


def _factors(product: Array, *, rank: int) -> tuple[Array, Array]:
    """Two matrices, (out, rank) and (rank, in), whose product is nearest to this one; both of like size, since they are kept in 16 bits."""
    left, sizes, right = np.linalg.svd(product, full_matrices=False)
    roots = np.sqrt(sizes[:rank])
    return left[:, :rank] * roots, roots[:, None] * right[:rank]


def _shape_of(name: str, tensor: Array) -> tuple[int, ...]:
    """The shape, but for the rank of an adapter's halves."""
    at = {"up": 0, "down": 1}.get(name.rpartition(".")[2])
    return tensor.shape if at is None else (tensor.shape[at],)
