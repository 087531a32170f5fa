"""Rows that say nearly the same, found so that they never stand on both sides of a split."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

from rensa import RMinHash, RMinHashLSH

SHINGLE_CHARS = 3
"""Length of the character pieces compared: about a Chinese word, most of an English one."""
SIMILARITY = 0.6
"""Jaccard share of pieces from which two rows are one cluster; reprints with another number or ticker are at 0.6 to 0.9."""
PERMUTATIONS, BANDS, SEED = 64, 16, 7
"""16 bands of 4: finds pairs at 0.6 with probability .89, at 0.7 with .99; deterministic."""
OPENING_CHARS = 5
"""Contrast pairs share this much of their beginning and differ in the rest, too much for the shingles."""

_NOISE = re.compile(r"https?://\S+|[\W_]+")
_NUMBER = re.compile(r"\d+")


def normal_form(text: str) -> str:
    """The text in lower case without links, punctuation and the value of numbers.

    >>> normal_form("$AAPL up 5%! https://t.co/x")
    'aaplup0'
    """
    return _NUMBER.sub("0", _NOISE.sub("", unicodedata.normalize("NFKC", text).lower()))


def clusters_of(texts: Sequence[str], *, openings: Iterable[int] = ()) -> list[int]:
    """The cluster of each text: the index of its first member.

    `openings` are the indices of texts that also cluster by their first OPENING_CHARS characters.
    """
    forms = [normal_form(text) for text in texts]
    parent = list(range(len(texts)))
    lsh = RMinHashLSH(SIMILARITY, PERMUTATIONS, BANDS)
    shingles = [{form[at : at + SHINGLE_CHARS] for at in range(max(1, len(form) - SHINGLE_CHARS + 1))} for form in forms]
    for index, pieces in enumerate(shingles):
        sketch = RMinHash(PERMUTATIONS, SEED)
        sketch.update(sorted(pieces))
        for near in lsh.query(sketch):
            if len(pieces & shingles[near]) >= SIMILARITY * len(pieces | shingles[near]):  # the index only proposes
                _join(parent, near, index)
        lsh.insert(index, sketch)
    first: dict[str, int] = {}
    for index in openings:
        _join(parent, first.setdefault(forms[index][:OPENING_CHARS], index), index)
    return [_root(parent, index) for index in range(len(texts))]


def position(cluster_text: str) -> float:
    """The place in [0, 1) of the cluster whose first member is `cluster_text`: the same for ever, whatever rows are added."""
    digest = hashlib.sha256(normal_form(cluster_text).encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _root(parent: list[int], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = parent[index]
    return index


def _join(parent: list[int], one: int, other: int) -> None:
    a, b = sorted((_root(parent, one), _root(parent, other)))
    parent[b] = a  # the earlier row stays the root, whatever the order of finding
