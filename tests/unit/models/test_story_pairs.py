from __future__ import annotations

from collections import defaultdict
from functools import cache
from pathlib import Path

import msgspec

from models.story_text import story_id_of
from opinion.records import Document, Instant
from tests.support.records import document

PAIRS = Path(__file__).parents[2] / "data" / "stories" / "pairs.jsonl"


class Telling(msgspec.Struct):
    """One document of a pair."""

    title: str
    text: str
    lang: str
    publisher: str
    published_at: Instant

    def as_document(self, number: int) -> Document:
        return document(number, title=self.title, text=self.text, lang=self.lang, publisher=self.publisher, published_at=self.published_at, fetched_at=self.published_at)


class Pair(msgspec.Struct):
    """Two documents, and whether they tell the same event."""

    kind: str
    same: bool
    a: Telling
    b: Telling

    @property
    def joined(self) -> bool:
        return story_id_of(self.a.as_document(1)) == story_id_of(self.b.as_document(2))


@cache
def pairs() -> list[Pair]:
    return [msgspec.json.decode(line, type=Pair) for line in PAIRS.read_bytes().splitlines()]


def test_there_are_pairs_of_every_kind_in_both_languages() -> None:
    kinds = defaultdict(list)
    for pair in pairs():
        kinds[pair.kind].append(pair)
    assert set(kinds) == {"reprint", "rewording", "translation", "update", "template", "sister", "far"}
    assert len(pairs()) >= 150
    assert min(len({pair.a.lang for pair in found}) for found in kinds.values()) == 2


def test_two_events_are_never_one_story() -> None:
    assert [pair for pair in pairs() if not pair.same and pair.joined] == []
