"""Traits by which the tellings of one event are found again: equal bands of a MinHash, sides of random planes, figures, names, companies.

A trait only proposes; models.story_link judges.
"""

from __future__ import annotations

from array import array
from functools import cache
from typing import NamedTuple

import numpy as np

from models.story_link import PERMUTATIONS, Signature, Vector
from models.story_numbers import number_of
from opinion.names import digest

SKETCH_BANDS, SKETCH_ROWS = 6, 3
"""Finds a pair of Jaccard .5 with probability .55, of .7 with .92. Copies mostly share names and figures besides."""
PLANE_BANDS, PLANES, PLANE_SEED = 8, 8, 11
"""Random hyperplanes (Charikar 2002): 256 cells, eight times. Workers of one installation must share NumPy's generator; others would find less, not wrong."""
FLIPS = 3
"""Cells beside its own in which a document also looks: those behind the planes it lies nearest to (Lv et al. 2007). They cost reads, not memory."""
MOST_NUMBERS, MOST_NAMES, MOST_ENTITIES = 4, 3, 4
"""Traits of each of these kinds: the figures with most digits, the first names."""
LEAST_DIGITS = 2
"""Digits of a figure that is a trait: round ones are in too many texts."""
TRAIT_CHARS = 12
"""Hex digits of a trait: 2**48 values."""


class Traits(NamedTuple):
    """Traits of one document."""

    own: list[str]  # what it is filed under, 6 to 25
    beside: list[str]  # where it looks besides

    @property
    def all(self) -> list[str]:
        """Where it looks."""
        return [*self.own, *self.beside]


def traits_of(signature: Signature) -> Traits:
    """The traits of a document."""
    cells, beside = _cells(signature)
    return Traits(_digests([*_exact(signature), *cells]), _digests(beside))


def _exact(signature: Signature) -> list[str]:
    sketch = np.frombuffer(signature.sketch, np.uint16).reshape(-1)[: SKETCH_BANDS * SKETCH_ROWS].reshape(SKETCH_BANDS, SKETCH_ROWS)
    numbers = sorted((form.lstrip("~+-") for form in signature.numbers), key=lambda form: -len(number_of(form).digits))
    figures = [form for form in numbers if len(number_of(form).digits) >= LEAST_DIGITS]
    return [
        *(f"m{band}:{row.tobytes().hex()}" for band, row in enumerate(sketch)),
        *(f"n:{form}" for form in figures[:MOST_NUMBERS]),
        *(f"w:{signature.lang}:{name}" for name in array("H", signature.names)[:MOST_NAMES]),
        *(f"e:{entity}" for entity in signature.entities[:MOST_ENTITIES]),
    ]


def _cells(signature: Signature) -> tuple[list[str], list[str]]:
    """Per band of planes the cell that the embedding lies in, and those next to it."""
    if not signature.embedding:
        return [], []
    vector = np.frombuffer(signature.embedding, np.int8).astype(np.float32)
    heights = (_planes(len(vector)) @ vector).reshape(PLANE_BANDS, PLANES)
    own: list[int] = ((heights > 0) @ (1 << np.arange(PLANES))).tolist()
    lowest: list[list[int]] = np.argsort(np.abs(heights), axis=1)[:, :FLIPS].tolist()
    beside = [f"p{band}:{cell ^ (1 << place)}" for band, cell in enumerate(own) for place in lowest[band]]
    return [f"p{band}:{cell}" for band, cell in enumerate(own)], beside


@cache
def _planes(width: int) -> Vector:
    return np.random.default_rng(PLANE_SEED).standard_normal((PLANE_BANDS * PLANES, width)).astype(np.float32)


def _digests(traits: list[str]) -> list[str]:
    return [digest(trait, chars=TRAIT_CHARS) for trait in dict.fromkeys(traits)]


assert SKETCH_BANDS * SKETCH_ROWS <= PERMUTATIONS
