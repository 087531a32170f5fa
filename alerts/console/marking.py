"""The words that decided, marked where they stand in a text. Pure; nothing here is HTML."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

Run = tuple[str, bool]
"""A piece of a text, and whether it is marked."""


def marked(text: str, words: Iterable[str]) -> list[Run]:
    """The text in pieces; together they are the text again.

    >>> marked("Shares plunge as Shares fall", ["plunge", "Shares"])
    [('Shares', True), (' ', False), ('plunge', True), (' as ', False), ('Shares', True), (' fall', False)]
    """
    on = [False] * len(text)
    for word in filter(None, words):
        start = text.find(word)
        while start >= 0:
            if _whole(text, start=start, end=start + len(word)):
                on[start : start + len(word)] = [True] * len(word)
            start = text.find(word, start + len(word))
    edges = [0, *(place for place in range(1, len(text)) if on[place] != on[place - 1]), len(text)]
    return [(text[begin:end], on[begin]) for begin, end in pairwise(edges) if end > begin]


def _whole(text: str, *, start: int, end: int) -> bool:
    """Whether a piece is not the inside of a longer word; Chinese has no spaces between its words."""
    return not (_joins(text, start) or _joins(text, end))


def _joins(text: str, place: int) -> bool:
    return 0 < place < len(text) and all(char.isascii() and char.isalnum() for char in text[place - 1 : place + 1])
