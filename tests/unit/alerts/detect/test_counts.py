from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nbinom, poisson

from alerts.detect.counts import count_scores, count_tail
from alerts.detect.series import Floats
from alerts.detect.share import LEAST_P


def tail(negative: int, *, usual: float, dispersion: float) -> float:
    return float(count_tail(np.array([negative]), usual=np.array([usual]), dispersion=np.array([dispersion]))[0])


def score(negative: int, *, usual: float, dispersion: float = 0.2, min_negative: int = 5, min_lift: float = 2.0) -> float:
    found = count_scores(np.array([[negative]]), usual=np.array([[usual]]), dispersion=np.array([dispersion]), min_negative=min_negative, min_lift=min_lift)
    return float(found[0, 0])


@given(st.integers(1, 400), st.floats(0.02, 300), st.floats(0.02, 4))
def test_the_tail_is_that_of_the_negative_binomial_law(negative: int, usual: float, dispersion: float) -> None:
    size = 1 / dispersion
    exact = max(LEAST_P, float(nbinom.sf(negative - 1, size, size / (size + usual))))
    assert tail(negative, usual=usual, dispersion=dispersion) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("negative", "usual"), [(1, 0.02), (5, 1), (12, 3), (40, 12), (130, 80)])
def test_without_dispersion_the_tail_is_that_of_the_poisson_law(negative: int, usual: float) -> None:
    exact = float(poisson.sf(negative - 1, usual))
    apart = [abs(tail(negative, usual=usual, dispersion=dispersion) / exact - 1) for dispersion in (1e-2, 1e-4, 1e-6)]
    assert apart == sorted(apart, reverse=True)
    assert apart[-1] < 3e-3


def test_no_negatives_surprise_nobody() -> None:
    assert tail(0, usual=0.02, dispersion=0.2) == pytest.approx(1, abs=1e-6)
    assert tail(0, usual=50, dispersion=0.2) == pytest.approx(1, abs=1e-6)


def test_the_tail_never_reaches_zero() -> None:
    assert tail(10**6, usual=0.02, dispersion=0.02) == LEAST_P
    assert score(10**6, usual=0.02, dispersion=0.02) == 300


def test_too_few_negatives_score_nothing() -> None:
    assert score(4, usual=0.1) == 0.0
    assert score(5, usual=0.1) > 0.0
    assert score(5, usual=0.1, min_negative=6) == 0.0


def test_too_little_rise_scores_nothing() -> None:
    assert score(19, usual=10) == 0.0
    assert score(20, usual=10) > 0.0
    assert score(20, usual=10, min_lift=2.5) == 0.0


@pytest.mark.parametrize("dispersion", [0.02, 0.2, 4.0])
def test_the_score_rises_with_the_count_and_falls_with_what_is_usual(dispersion: float) -> None:
    by_count = [score(negative, usual=4, dispersion=dispersion) for negative in range(8, 200)]
    assert all(low < high for low, high in pairwise(by_count))
    by_usual = [score(60, usual=usual, dispersion=dispersion) for usual in np.linspace(0.1, 29, 40).tolist()]
    assert all(high > low for high, low in pairwise(by_usual))


def test_the_score_is_the_logarithm_of_the_tail() -> None:
    assert score(30, usual=6) == pytest.approx(-np.log10(tail(30, usual=6, dispersion=0.2)))


def test_windows_and_subjects_are_judged_each_by_its_own_law() -> None:
    negative = np.array([[9, 30], [12, 3]])
    usual, dispersion = np.array([[2.0, 6.0], [4.0, 1.0]]), np.array([0.1, 0.5])
    found: Floats = count_scores(negative, usual=usual, dispersion=dispersion, min_negative=5, min_lift=2.0)
    alone = [[score(int(negative[row, i]), usual=float(usual[row, i]), dispersion=float(dispersion[i])) for i in (0, 1)] for row in (0, 1)]
    assert found == pytest.approx(np.array(alone))
    assert found[1, 1] == 0
