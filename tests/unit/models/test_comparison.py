from __future__ import annotations

import pytest

from models.cards import WEIGHTS, Card, Encoder, Score, read_card
from models.comparison import FEWEST_ROWS, changes, falls


def card(head: str = "sentiment", name: str = "set", *, accuracy: float = 0.8, macro_f1: float = 0.8, rows: int = 200, digest: str = "a") -> Card:
    return Card("m", "a", "h", Encoder("e", "s"), scores={head: {name: Score(rows, accuracy, macro_f1, 0.05, None, digest), "cosine": 0.9}})


def test_scores_of_the_same_rows_are_compared() -> None:
    assert [str(change) for change in changes(card(), card(accuracy=0.75, macro_f1=0.9))] == [
        "sentiment on set: accuracy 0.8000 -> 0.7500 (200 rows)",
        "sentiment on set: macro F1 0.8000 -> 0.9000 (200 rows)",
    ]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (card(), card(digest="b")),
        (card(digest=""), card(digest="")),
        (card(), card(name="another")),
        (card(), card(head="topics")),
        (card(rows=FEWEST_ROWS - 1), card(rows=FEWEST_ROWS - 1)),
    ],
    ids=["other rows", "rows not known", "another set", "another head", "too few"],
)
def test_what_cannot_be_compared_is_left_out(before: Card, after: Card) -> None:
    assert changes(before, after) == []


@pytest.mark.parametrize(("after", "worse"), [(0.95, False), (0.8, False), (0.79, False), (0.7899, True), (0.1, True)])
def test_more_than_a_point_is_a_fall(after: float, worse: bool) -> None:
    assert bool(falls(changes(card(), card(accuracy=after)))) is worse
    assert bool(falls(changes(card(), card(macro_f1=after)))) is worse


def test_the_worst_fall_is_first() -> None:
    assert [change.measure for change in falls(changes(card(), card(accuracy=0.7, macro_f1=0.6)))] == ["macro_f1", "accuracy"]


def test_the_shipped_card_can_be_compared_on_every_set_that_is_large_enough() -> None:
    shipped = read_card(WEIGHTS)
    large = sum(score.rows >= FEWEST_ROWS for head in shipped.scores for score in shipped.measured(head).values())
    assert len(changes(shipped, shipped)) == 2 * large > 0
