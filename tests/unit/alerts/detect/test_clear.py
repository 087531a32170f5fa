"""Clear negatives against their own law."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.detect.baseline import Usual
from alerts.detect.discovery import Shift
from alerts.detect.evidence import corroborated_score, score_of
from alerts.detect.rules import Rules
from alerts.detect.share import Sums, clear_scores, score_range, tail
from opinion.records import Scan
from tests.support.surges import spike

RULES = Rules()
RHO = 0.007


def usual(share: float, clear: float) -> Usual:
    return Usual(*(np.array([[value]]) for value in (share, share, 0.0, 1000.0, clear, 0.0)))


def score(total: int, negative: int, clear: int, *, share: float = 0.2, part: float = 0.2, rules: Rules = RULES) -> float:
    sums = Sums(*(np.array([[count]]) for count in (total, negative, clear)))
    return float(clear_scores(sums, usual(share, part), rho=np.array([[RHO]]), rules=rules)[0, 0])


@given(st.integers(5, 60), st.integers(0, 200), st.floats(0.02, 0.9))
def test_where_all_negatives_are_clear_they_score_as_negatives_do(negative: int, others: int, share: float) -> None:
    sums = Sums(*(np.array([[count]]) for count in (negative + others, negative, negative)))
    plain = score_range(sums, usual=np.array([[share]]), rho=np.array([[RHO]]), rules=RULES)[0, 0]
    if negative >= RULES.min_lift * share * (negative + others):
        assert score(negative + others, negative, negative, share=share, part=1.0) == pytest.approx(plain)


@pytest.mark.parametrize(("negative", "clear"), [(4, 4), (20, 2), (20, 4)])
def test_few_negatives_few_clear_ones_and_hardly_more_than_usual_surprise_nobody(negative: int, clear: int) -> None:
    assert score(80, negative, clear) == 0.0


def test_the_more_are_clear_the_higher_the_score() -> None:
    scores = [score(100, 30, clear) for clear in range(6, 30)]
    assert all(before < after for before, after in itertools.pairwise(scores))


def test_two_texts_are_clear_together_as_often_as_both_chances_vary() -> None:
    share, part, by, also_by = 0.2, 0.3, 0.02, 0.04
    rho, rho_part = by**2 / (share * (1 - share)), also_by**2 / (part * (1 - part))
    chances = np.array([(share + one * by) * (part + other * also_by) for one in (-1, 1) for other in (-1, 1)])
    exact = chances.var() / (share * part * (1 - share * part))
    sums = Sums(*(np.array([[count]]) for count in (200, 60, 30)))
    found = clear_scores(sums, usual(share, part), rho=np.array([[rho]]), rules=Rules(clear_rho=rho_part))[0, 0]
    expected = -np.log10(tail(np.array([30]), np.array([200]), usual=share * part, rho=exact)[0])
    assert found == pytest.approx(expected, rel=0.01)


def test_what_one_story_or_author_tells_is_taken_from_the_clear_ones_first() -> None:
    told = spike(total=100, negative=30, clear=25, expected_negative=20.0, baseline_ratio=0.2, expected_clear=4.0, score=9.0, stories=14)
    assert score_of(30, told, RULES) == pytest.approx(score(100, 30, 25), rel=0.2)
    assert corroborated_score(told, RULES) == pytest.approx(score_of(28, told, RULES))
    assert score_of(28, told, RULES) < score_of(30, told, RULES)
    assert score_of(7, told, RULES) == 0.0


def test_a_model_that_is_surer_of_all_texts_explains_clear_ones() -> None:
    told = spike(total=100, negative=30, clear=25, expected_negative=20.0, baseline_ratio=0.2, expected_clear=4.0)
    assert score_of(30, told, RULES, shift=Shift(0.0, 5.0)) < 2 < score_of(30, told, RULES)


def test_a_window_is_led_by_clear_negatives_where_they_stand_out_more() -> None:
    assert spike(lift=2.0, clear=13, expected_clear=4.0).led_by_clear
    assert not spike(lift=2.0, clear=12, expected_clear=4.0).led_by_clear
    assert not spike(lift=2.0, clear=0, expected_clear=0.0).led_by_clear


def test_a_day_with_a_negative_less_keeps_nearly_its_score() -> None:
    total, negative, share = 480, 150, 0.2
    score = float(score_range(Sums(*(np.array([[count]]) for count in (total, negative, 0))), usual=np.array([[share]]), rho=np.array([[RULES.day_rho]]), rules=RULES)[0, 0])
    day = spike(
        width_s=86_400, scan=Scan.DAY, total=total, negative=negative, baseline_ratio=share, expected_negative=share * total, expected_clear=0.0, clear=0, score=score, explained=1,
        stories=200, publishers=50, authors=0,
    )  # fmt: skip
    assert 0.95 * score < corroborated_score(day, RULES) < score
