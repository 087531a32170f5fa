from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import betabinom, binom

from alerts.detect.evidence import corroborated_score
from alerts.detect.rules import Rules, WindowRule
from alerts.detect.share import Sums, lenses, score_range, tail, window_sums
from tests.support.surges import THETA, spike

RULES = Rules()


def one(total: int, negative: int, *, usual: float = 0.2) -> float:
    sums = Sums(np.array([[total]]), np.array([[negative]]), np.zeros((1, 1), np.int64))
    return float(score_range(sums, usual=np.array([[usual]]), rho=np.array([[RULES.rho_of(3600)]]), rules=RULES)[0, 0])


@pytest.mark.parametrize(("total", "negative", "usual"), [(10, 5, 0.2), (58, 41, 0.22), (300, 90, 0.25), (7, 7, 0.4)])
def test_without_correlation_the_tail_is_the_binomial_one(total: int, negative: int, usual: float) -> None:
    exact = binom.sf(negative - 1, total, usual)
    assert tail(np.array([negative]), np.array([total]), usual=usual, rho=0.0)[0] == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("total", "negative"), [(30, 15), (58, 30), (200, 90)])
def test_with_correlation_the_tail_is_near_the_beta_binomial_one(total: int, negative: int) -> None:
    rho, usual = 0.03, 0.2
    exact = betabinom.sf(negative - 1, total, usual * (1 / rho - 1), (1 - usual) * (1 / rho - 1))
    found = tail(np.array([negative]), np.array([total]), usual=usual, rho=rho)[0]
    assert np.log10(found) == pytest.approx(np.log10(exact), abs=0.6)


def test_no_negatives_surprise_nobody() -> None:
    assert tail(np.array([0, 0]), np.array([0, 9]), usual=0.2, rho=0.03) == pytest.approx([1, 1], abs=1e-6)


def test_the_tail_never_reaches_zero() -> None:
    assert tail(np.array([10**6]), np.array([10**6]), usual=1e-12, rho=0.0)[0] > 0


def test_too_few_negatives_score_nothing() -> None:
    assert one(4, 4) == 0.0
    assert one(5, 5) > 0.0


def test_too_little_lift_scores_nothing() -> None:
    assert one(100_000, 25_000) == 0.0
    assert one(100_000, 26_000) > 0.0


def test_the_score_rises_with_the_negatives() -> None:
    scores = [one(60, negative) for negative in range(16, 61)]
    assert scores == sorted(scores)


def test_windows_are_sums_of_the_panes_before_each_boundary() -> None:
    views = lenses(Rules(windows=(WindowRule(60), WindowRule(180))), pane_s=60)
    counts = np.array([[1, 2, 4, 8], [0, 1, 0, 1], [0, 0, 0, 1]])
    sums = window_sums(counts, views)
    assert sums.total.tolist() == [[4, 8], [7, 14]]
    assert sums.negative.tolist() == [[0, 1], [1, 2]]
    assert sums.clear.tolist() == [[0, 1], [0, 1]]


def test_windows_narrower_than_a_pane_fall_together() -> None:
    assert [(view.panes, view.width_s) for view in lenses(RULES, pane_s=86400)] == [(1, 86400)]
    assert [view.panes for view in lenses(RULES, pane_s=420)] == [1, 3, 5, 9, 18, 26]
    assert [view.min_negative for view in lenses(RULES, pane_s=60)] == [10, *[RULES.min_negative] * 5]


def test_broad_evidence_keeps_its_score() -> None:
    assert corroborated_score(spike(stories=21), RULES) == spike().score


def test_unknown_breadth_limits_nothing() -> None:
    assert corroborated_score(spike(stories=0, publishers=0, authors=0), RULES) == spike().score


@pytest.mark.parametrize("breadth", [{"stories": 1}, {"stories": 2}, {"stories": 40, "publishers": 1, "authors": 1}, {"stories": 40, "publishers": 0, "authors": 2}])
def test_one_story_or_one_author_is_no_evidence(breadth: dict[str, int]) -> None:
    assert corroborated_score(spike(total=260, negative=240, score=9.0, **breadth), RULES) == 0.0


def test_a_reprint_storm_over_a_usual_day_is_no_evidence() -> None:
    storm = spike(total=280, negative=216, baseline_ratio=0.2, score=9.0, stories=17, publishers=150)
    assert corroborated_score(storm, RULES) < THETA


def test_an_author_storm_over_a_usual_day_is_no_evidence() -> None:
    storm = spike(total=280, negative=216, baseline_ratio=0.2, score=9.0, stories=216, publishers=1, authors=17)
    assert corroborated_score(storm, RULES) < THETA


def test_few_authors_beside_many_publishers_limit_nothing() -> None:
    assert corroborated_score(spike(stories=40, publishers=12, authors=1), RULES) == spike().score


def test_what_companies_with_an_alert_account_for_is_no_evidence() -> None:
    topic = spike(total=58, negative=41, stories=40, publishers=14)
    partly = spike(total=58, negative=41, stories=40, publishers=14, explained=20)
    assert corroborated_score(topic, RULES) == topic.score
    assert 0 < corroborated_score(partly, RULES) < topic.score
    assert corroborated_score(spike(total=58, negative=41, stories=40, explained=41), RULES) == 0
