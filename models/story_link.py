"""Whether two documents tell one event: a small signature of each, and a judgement of two signatures.

Unlike the story id (models.story_text) this is a guess, and depends on what else was seen: it stands beside the identity, never in its place.
Two texts are one telling where they share most of their character pieces, or where their embeddings are near; figures, periods, names and time
may forbid it. Thresholds were chosen on the even lines of tests/data/stories/pairs.jsonl; tests/eval/test_story_floor.py holds the floor and says what was seen of the odd.
"""

from __future__ import annotations

import unicodedata
import zlib
from array import array
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from rensa import RMinHash
from safetensors.numpy import load_file

from models.story_names import names_of, terms_of
from models.story_numbers import Number, agree, figures_of, number_of
from models.story_text import told_text
from opinion.records import Document

Vector = NDArray[np.float32]

PERMUTATIONS, SEED, PIECE_CHARS = 64, 7, 3
"""MinHash of character 3-grams: the standard error of an estimated Jaccard of .5 is .06."""
FACT_CHARS = 320
"""Beginning of title and of text that figures and names are read from: further down stands background, in which the stories of one company agree."""
WINDOW_MS = 48 * 3_600_000
"""Longest time between two tellings of one event, event time: as long as a story is remembered (models.stories)."""
LIKENESS_MS = 24 * 3_600_000
"""The same where only the meaning supports it: the next day's report of a kind means the same."""
NEAR_COPY = 0.45
"""Estimated Jaccard from which two texts are copies with changes; what changed then decides."""
SAME_LANGUAGE, SAME_LANGUAGE_NAMED = 0.60, 0.46
"""Cosine of centred embeddings from which two texts of one language tell one event: whatever they name, and where they share a name."""
CROSS_LANGUAGE, CROSS_LANGUAGE_BACKED = 0.40, 0.30
"""The same across languages: with the embedding alone, and where a company or figures of STRONG_DIGITS agree; in between with fewer digits."""
FORM_ALIKE = 0.80
"""Cosine from which two texts follow one form, so that figures that differ are another issue of it."""
NAMES_SHARED = 1 / 3
"""Share of names that makes them agree: headlines with Capitals Throughout have many that are none."""
LEAST_SHARE = 1 / 3
"""Share of the hard figures of the text that states fewer that the other must state too."""
STRONG_DIGITS = 3
"""Digits in which agreeing figures back a link by themselves: `48,600`, or `17 %` and `9亿` together."""
PARTED = -1.0
"""Verdict on two issues of one form."""

_MEANS = Path(__file__).parent / "story_means.safetensors"


class Signature(Struct, frozen=True, array_like=True):
    """What of a document is compared. About 1 kB as MessagePack."""

    lang: str  # `en`, `zh`, else `und`
    event_ms: int  # event time, epoch milliseconds
    sketch: bytes  # PERMUTATIONS minima, the low 16 bits of each
    embedding: bytes  # centred, int8; empty where there is none
    numbers: list[str]  # see models.story_numbers
    periods: list[str]  # `q3`, `m5`, `d5-31`, ..
    names: bytes  # 16-bit hashes of the names, in the order of the text
    terms: bytes  # 16-bit hashes of the words, names among them
    entities: list[str]  # ids of the companies it is about


class _Figures(NamedTuple):
    """How the figures of two texts relate."""

    digits: int  # in all figures that agree, small counts left out
    contradicting: bool  # each states hard figures that the other does not
    share: float  # agreeing figures for each hard one of the text that states fewer; 1 where it states none


def unpacked(embedding: bytes) -> Vector | None:
    """The embedding of a judgement as floats of any length; None where it has none."""
    return np.frombuffer(embedding, np.int8).astype(np.float32) if embedding else None


def signature_of(document: Document, event_ms: int, entities: Sequence[str], embedding: Vector | None) -> Signature:
    """The signature of a document.

    Args:
        document: title and text are read.
        event_ms: event time, epoch milliseconds.
        entities: ids of the companies that it is about.
        embedding: the encoder's, of any length; None or one of another width than the means is no evidence.
    """
    plain = unicodedata.normalize("NFKC", f"{document.title[:FACT_CHARS]}\n{document.text[:FACT_CHARS]}".replace("’", "'").replace("−", "-"))
    numbers, periods = figures_of(plain)
    lang = document.lang[:2] if document.lang[:2] in ("en", "zh") else "und"
    return Signature(
        lang=lang,
        event_ms=event_ms,
        sketch=_sketch(told_text(document)),
        embedding=_centred(embedding, lang),
        numbers=numbers,
        periods=periods,
        names=_hashed(names_of(plain)),
        terms=_hashed(terms_of(plain)),
        entities=sorted(set(entities)),
    )


def linked(a: Signature, b: Signature) -> float | None:
    """How surely both tell one event, in (0, 1]; None where they do not, or the evidence does not suffice. Symmetric."""
    verdict = _verdict(a, b, alike(a, [b])[0])
    return verdict if verdict > 0 else None


def best(signature: Signature, others: Sequence[tuple[str, Signature]]) -> str | None:
    """Of (event, one telling of it) the event that the signature most surely tells of, the first of equals; None where there is none.

    No event of which a telling is known that has the same form and other figures or names: that is another issue, whatever links them in between.
    """
    likenesses = alike(signature, [other for _, other in others])
    verdicts = [(_verdict(signature, other, likeness), event) for (event, other), likeness in zip(others, likenesses, strict=True)]
    barred = {event for verdict, event in verdicts if verdict < 0}
    found = [(verdict, -index, event) for index, (verdict, event) in enumerate(verdicts) if verdict > 0 and event not in barred]
    return max(found)[2] if found else None


def alike(signature: Signature, others: Sequence[Signature]) -> list[tuple[float, float]]:
    """Estimated Jaccard and cosine to each of `others`; 0 where there is nothing to compare."""
    if not others:
        return []
    sketches = np.frombuffer(b"".join(other.sketch for other in others), np.uint16).reshape(len(others), -1)
    jaccard = (sketches == np.frombuffer(signature.sketch, np.uint16)).mean(1)
    if not signature.embedding:
        return [(share, 0.0) for share in jaccard.tolist()]
    blank = bytes(len(signature.embedding))
    rows = b"".join(other.embedding if len(other.embedding) == len(blank) else blank for other in others)
    vectors = np.frombuffer(rows, np.int8).reshape(len(others), -1).astype(np.float32)
    own = np.frombuffer(signature.embedding, np.int8).astype(np.float32)
    cosine = vectors @ own / np.maximum(np.linalg.norm(vectors, axis=1) * np.linalg.norm(own), 1e-6)
    return list(zip(jaccard.tolist(), cosine.tolist(), strict=True))


def _verdict(a: Signature, b: Signature, likeness: tuple[float, float]) -> float:
    """Above 0 how surely both tell one event, 0 where nothing says so, PARTED where they are two issues of one form."""
    jaccard, cosine = likeness
    copied = jaccard >= NEAR_COPY
    apart_ms = abs(a.event_ms - b.event_ms)
    if apart_ms > (WINDOW_MS if copied else LIKENESS_MS) or not (copied or cosine >= CROSS_LANGUAGE_BACKED):
        return 0.0
    if a.entities and b.entities and not set(a.entities) & set(b.entities):
        return 0.0
    figures = _figures(a, b)
    if copied:
        return PARTED if figures.contradicting or _renamed(a, b) or _periods_differ(a, b, "qhmd") else (1 + jaccard) / 2
    if figures.contradicting and cosine >= FORM_ALIKE:
        return PARTED
    if figures.share < LEAST_SHARE or _periods_differ(a, b, "qh"):
        return 0.0
    return cosine if cosine >= _threshold(a, b, figures) else 0.0


def _threshold(a: Signature, b: Signature, figures: _Figures) -> float:
    """The least cosine for the evidence that stands beside it; 2 where it forbids."""
    named = bool(a.entities and b.entities)  # they share one: else they would have been told apart before
    if a.lang != b.lang:
        backed = 1.0 if named else min(1.0, figures.digits / STRONG_DIGITS)
        return CROSS_LANGUAGE + (CROSS_LANGUAGE_BACKED - CROSS_LANGUAGE) * backed
    if named or _names_agree(a, b):
        return SAME_LANGUAGE_NAMED
    return 2.0 if a.names and b.names else SAME_LANGUAGE


def _figures(a: Signature, b: Signature) -> _Figures:
    ours, theirs = [[_number(form) for form in signature.numbers] for signature in (a, b)]
    digits, agreed = 0, 0.0
    left = list(theirs)
    missing: list[Number] = []
    for number in ours:
        match = next((other for other in left if agree(number, other)), None)
        if match is None:
            missing.append(number)
            continue
        left.remove(match)
        soft = number.soft and match.soft
        telling = not soft or number.exponent >= 1  # two berths and two dead are no evidence
        agreed += telling * (0.5 if soft else 1.0)
        digits += telling * min(len(number.digits), len(match.digits))
    fewer = min(sum(not number.soft for number in numbers) for numbers in (ours, theirs))
    return _Figures(digits, any(not number.soft for number in missing) and any(not number.soft for number in left), min(1.0, agreed / fewer) if fewer else 1.0)


def _names_agree(a: Signature, b: Signature) -> bool:
    """The text that names fewer shares NAMES_SHARED of its names with the other. A Chinese name may stand there without its suffix."""
    ours, theirs = _set(a.names), _set(b.names)
    if not (ours and theirs):
        return False
    if a.lang == "zh" and (ours & _set(b.terms) or theirs & _set(a.terms)):
        return True
    return len(ours & theirs) >= NAMES_SHARED * min(len(ours), len(theirs))


def _renamed(a: Signature, b: Signature) -> bool:
    """Each names somebody whom the other does not: one form filled in twice."""
    return bool(_set(a.names) - _set(b.terms)) and bool(_set(b.names) - _set(a.terms))


def _periods_differ(a: Signature, b: Signature, kinds: str) -> bool:
    """Both name periods of one kind, and none that is the same."""
    for kind in kinds:
        ours, theirs = [{period for period in signature.periods if period[0] == kind} for signature in (a, b)]
        if ours and theirs and not ours & theirs:
            return True
    return False


def _sketch(form: str) -> bytes:
    pieces = {form[at : at + PIECE_CHARS] for at in range(max(1, len(form) - PIECE_CHARS + 1))}
    sketch = RMinHash(PERMUTATIONS, SEED)
    sketch.update(sorted(pieces))
    minima: list[int] = sketch.digest()
    return array("H", (least & 0xFFFF for least in minima)).tobytes()


def _centred(embedding: Vector | None, lang: str) -> bytes:
    means = _means()
    mean = means.get(lang, means["und"])
    if embedding is None or embedding.shape != mean.shape:
        return b""
    vector = embedding / max(float(np.linalg.norm(embedding)), 1e-6) - mean
    return bytes(np.rint(vector * (127 / max(float(np.abs(vector).max()), 1e-6))).astype(np.int8))


@cache
def _means() -> dict[str, Vector]:
    """Mean embedding of 1,600 rows of each language (models/training/means.py); `und` is that of both. Without it all cosines are .7 to 1."""
    return dict(load_file(_MEANS))


@lru_cache(maxsize=4096)
def _number(form: str) -> Number:
    return number_of(form)


def _hashed(words: Sequence[str]) -> bytes:
    """16-bit hashes in the order given: of two texts of 100 words, one pair of different words in six texts is taken for the same."""
    return array("H", (zlib.crc32(word.encode("utf-8", "replace")) & 0xFFFF for word in words)).tobytes()


def _set(hashes: bytes) -> set[int]:
    return set(array("H", hashes))
