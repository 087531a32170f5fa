from __future__ import annotations

from itertools import pairwise
from typing import Any

from models.relevance import ROUND_UP, ROUND_UP_CAP, Place, relevance


def place(**changes: Any) -> float:
    fields: dict[str, Any] = {"title": False, "first": 0, "mentions": 1, "companies": 1, "tagged": False, "titled": True}
    return relevance(Place(**(fields | changes)))


def test_a_title_outweighs_the_first_paragraph_and_that_a_later_one() -> None:
    assert place(title=True) > place(first=100) > place(first=900)


def test_without_a_title_the_first_words_stand_for_it() -> None:
    assert place(titled=False, first=10) == place(title=True)
    assert place(titled=False, first=100) == place(first=100)


def test_repeats_add_less_and_less() -> None:
    steps = [place(mentions=count) for count in range(1, 6)]
    gains = [later - earlier for earlier, later in pairwise(steps)]
    assert gains == sorted(gains, reverse=True)
    assert min(gains) > 0


def test_company_of_others_takes_away() -> None:
    assert place(companies=1) > place(companies=3) > place(companies=5)


def test_a_tag_is_full_relevance_unless_there_are_too_many() -> None:
    assert place(tagged=True, mentions=0, companies=ROUND_UP) == 1.0
    assert place(tagged=True, mentions=0, companies=ROUND_UP + 1) == ROUND_UP_CAP


def test_it_stays_within_zero_and_one() -> None:
    assert 0 < place(first=3_000, companies=500) <= place(title=True, mentions=10_000) <= 1
