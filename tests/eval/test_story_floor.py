"""Linking of retellings on 200 written pairs, with the embeddings of the shipped model.

Thresholds were chosen on the even lines. The odd ones are not unseen, though: rules (stop words, soft figures) were mended after false links
between documents of different pairs, odd lines among them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from models.backends.base import ModelInput
from models.cards import WEIGHTS
from models.judge import packed
from models.registry import load_backend
from models.story_index import MemoryEventIndex
from models.story_link import Signature, Vector, linked, signature_of
from models.story_text import story_id_of
from opinion.clock import epoch_ms
from opinion.settings import Settings
from tests.support.model import UNPACKED
from tests.unit.models.test_story_pairs import Pair, Telling, pairs

pytestmark = pytest.mark.eval

F1_FLOOR, ODD_F1_FLOOR, PRECISION_FLOOR = 0.905, 0.91, 0.97
"""All pairs; odd lines alone; all pairs. Measured 0.916, 0.926, 0.990; with the untuned encoder 0.964, 0.973, 1.0 (identity alone: F1 below 0.02)."""
INDEX_F1_FLOOR = 0.90
"""All pairs through an index that has to find them again among the others. Measured 0.906; with the untuned encoder 0.959."""


@cache
def embeddings() -> Vector:
    """Of both documents of each pair, (2 x pairs, width), as the stream hands them on."""
    backend = load_backend(Settings(model=str(WEIGHTS), model_dir=UNPACKED, device="cpu"))
    found = backend.score([ModelInput(telling.title, telling.text, lang=telling.lang) for pair in pairs() for telling in (pair.a, pair.b)]).embedding
    return np.stack([np.frombuffer(packed(row), np.int8).astype(np.float32) for row in found])


def signed(telling: Telling, number: int) -> Signature:
    return signature_of(telling.as_document(number), epoch_ms(telling.published_at), (), embeddings()[number])


@cache
def judged() -> list[tuple[Pair, bool]]:
    """Each pair, and whether it was linked."""
    return [(pair, linked(signed(pair.a, 2 * index), signed(pair.b, 2 * index + 1)) is not None) for index, pair in enumerate(pairs())]


async def through_an_index() -> list[tuple[Pair, bool]]:
    """Each pair, and whether an index gave both one event, all documents told in the order of their times."""
    told = [(telling, number) for number, telling in enumerate(telling for pair in pairs() for telling in (pair.a, pair.b))]
    told.sort(key=lambda one: one[0].published_at)
    index = MemoryEventIndex()
    events: dict[int, str] = {}
    for at in range(0, len(told), 32):
        batch = [(str(number), story_id_of(telling.as_document(number)), signed(telling, number)) for telling, number in told[at : at + 32]]
        events.update(zip((int(doc_id) for doc_id, _, _ in batch), await index.assign(batch), strict=True))
    return [(pair, events[2 * index] == events[2 * index + 1]) for index, pair in enumerate(pairs())]


def scores(rows: Sequence[tuple[Pair, bool]]) -> tuple[float, float, float]:
    """Precision, recall and F1 of links."""
    right = sum(found and pair.same for pair, found in rows)
    precision = right / max(1, sum(found for _, found in rows))
    recall = right / sum(pair.same for pair, _ in rows)
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def report(rows: Sequence[tuple[Pair, bool]]) -> str:
    """Linked of all, per kind."""
    kinds = defaultdict(list)
    for pair, found in rows:
        kinds[pair.kind].append(found)
    precision, recall, f1 = scores(rows)
    return f"precision {precision:.3f}, recall {recall:.3f}, F1 {f1:.3f}; linked " + ", ".join(f"{kind} {sum(found)} of {len(found)}" for kind, found in kinds.items())


def test_retellings_are_linked_and_other_events_are_not() -> None:
    precision, _, f1 = scores(judged())
    assert f1 >= F1_FLOOR, report(judged())
    assert precision >= PRECISION_FLOOR, report(judged())


def test_the_pairs_that_no_threshold_was_chosen_on_do_as_well() -> None:
    odd = judged()[::2]
    assert scores(odd)[2] >= ODD_F1_FLOOR, report(odd)


def test_the_next_issue_of_a_series_is_never_linked() -> None:
    assert [pair for pair, found in judged() if found and pair.kind == "template"] == []


async def test_an_index_finds_them_again() -> None:
    found = await through_an_index()
    precision, _, f1 = scores(found)
    assert f1 >= INDEX_F1_FLOOR, report(found)
    assert precision >= PRECISION_FLOOR, report(found)
