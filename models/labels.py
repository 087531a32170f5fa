"""What others call the sentiments and topics: their names to ours."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from models.backends.base import SENTIMENTS
from opinion.errors import ModelLoadError
from opinion.records import TOPICS

SYNONYMS: dict[str, tuple[str, ...]] = {
    "negative": ("neg", "bearish", "bear", "very negative", "负面", "负向", "负", "消极", "利空", "看空", "看跌", "負面", "負向", "負", "消極"),
    "neutral": ("neu", "neut", "中性", "中立", "中", "客观", "客觀"),
    "positive": ("pos", "bullish", "bull", "very positive", "正面", "正向", "正", "积极", "利好", "看多", "看涨", "積極", "看漲"),
}
"""Our name of a sentiment -> others for it, as `plain` writes them."""

_REMARK = re.compile(r"\(.*\)$")
_BREAKS = re.compile(r"[\s_-]+")
_NOT_LETTERS = re.compile(r"[\W_]+")


def plain(name: str) -> str:
    """A label without case, width, breaks between words, and a remark at its end.

    >>> plain(" Very_NEGATIVE "), plain("negative (stars 1, 2 and 3)")
    ('very negative', 'negative')
    """
    return _BREAKS.sub(" ", _REMARK.sub("", unicodedata.normalize("NFKC", name).strip()).casefold()).strip()


_SENTIMENTS = {other: index for index, ours in enumerate(SENTIMENTS) for other in (ours, *SYNONYMS[ours])}
_TOPICS = {_NOT_LETTERS.sub("", name.casefold()): index for index, name in enumerate(TOPICS)}


def sentiment_of(name: str) -> int | None:
    """The index into SENTIMENTS that a label stands for; None where it is not known.

    >>> sentiment_of("Bearish"), sentiment_of("中性"), sentiment_of("POS"), sentiment_of("LABEL_0")
    (0, 1, 2, None)
    """
    return _SENTIMENTS.get(plain(name))


def topic_of(name: str) -> int | None:
    """The index into TOPICS that a label stands for, whatever stands between its words; None where it is not known.

    >>> topic_of("m&a / investments") == TOPICS.index("M&A | Investments"), topic_of("Sports")
    (True, None)
    """
    return _TOPICS.get(_NOT_LETTERS.sub("", name.casefold()))


def columns_of(names: Sequence[str]) -> list[int]:
    """For each label of a classifier the index into SENTIMENTS; several labels may stand for one, and neutral may be missing.

    >>> columns_of(["Very Negative", "negative", "Positive"])
    [0, 0, 2]

    Errors:
        ModelLoadError: a label is not known, or none stands for negative or for positive.
    """
    found = [sentiment_of(name) for name in names]
    said = ", ".join(map(repr, names))
    if None in found:
        unknown = ", ".join(repr(name) for name, column in zip(names, found, strict=True) if column is None)
        msg = f"its labels are {said}: {unknown} cannot be told as negative, neutral or positive; name them so in `id2label` of its config.json"
        raise ModelLoadError(msg)
    missing = [SENTIMENTS[index] for index in (0, len(SENTIMENTS) - 1) if index not in found]
    if missing:
        msg = f"its labels are {said}: none stands for {' or '.join(missing)}"
        raise ModelLoadError(msg)
    return [column for column in found if column is not None]
