from __future__ import annotations

import pytest
from scipy.stats import binomtest, chi2

from opinion.records import Severity
from yuqing.plant_report import Alarm, Run, as_table, delay_s, plant_report, poisson_95, wilson_95
from yuqing.planting import DAY_S, SURGE_S, Plan, Span, Surge

WEEK_S = 7 * DAY_S
SPAN = Span(2 * WEEK_S, 4 * WEEK_S)
SURGES = [Surge("a", SPAN.start_s + DAY_S * day, 12.0) for day in (0, 6, 12)] + [Surge("b", SPAN.start_s + DAY_S, 3.0)]
PLAN = Plan(SURGES, {"a": SPAN, "b": SPAN}, 1, 5)


def alarms(*begins_s: int) -> list[Alarm]:
    return [Alarm(at_s, at_s + 3600, Severity.WARNING) for at_s in begins_s]


@pytest.mark.parametrize(("caught", "planted"), [(0, 10), (8, 10), (10, 10), (93, 245)])
def test_the_interval_of_a_recall_is_wilsons(caught: int, planted: int) -> None:
    known = binomtest(caught, planted).proportion_ci(0.95, method="wilson")
    assert wilson_95(caught, planted) == pytest.approx((known.low, known.high), abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 10, 250])
def test_the_interval_of_a_count_is_exact(count: int) -> None:
    low = chi2.ppf(0.025, 2 * count) / 2 if count else 0.0
    assert poisson_95(count) == pytest.approx((low, chi2.ppf(0.975, 2 * count + 2) / 2))


@pytest.mark.parametrize(("begins", "expected"), [((), None), ((0,), None), ((1,), 1), ((-60, 600, 900), 600), ((SURGE_S,), SURGE_S), ((SURGE_S + 1,), None)])
def test_a_surge_is_caught_by_an_alert_that_begins_while_it_lasts(begins: tuple[int, ...], expected: int | None) -> None:
    surge = SURGES[0]
    assert delay_s(surge, {"a": alarms(*(surge.onset_s + at_s for at_s in begins)), "b": alarms(surge.onset_s + 5)}) == expected


def test_the_report_counts_false_alarms_in_second_halves_only() -> None:
    quiet = {"a": alarms(SPAN.start_s - 5, SPAN.start_s + 5, SPAN.end_s), "left out": alarms(SPAN.start_s + 7)}
    report = plant_report(PLAN, quiet=quiet, surging={3.0: Run([1, 2, 3, 4], {})})
    assert (report.subjects, report.left_out, report.seed, report.surge_s) == (2, 1, 5, 10_800)
    assert (report.false_alarms, report.subject_weeks, report.false_alarms_per_subject_week) == (2, 4.0, 0.5)
    assert report.false_alarms_per_subject_week_95 == pytest.approx((0.2422 / 4, 7.2247 / 4), abs=1e-4)
    assert report.chance_recall == pytest.approx(0.5 * 3 / 168, abs=1e-5)


def test_each_strength_has_its_recall_and_delays() -> None:
    caught = {"a": alarms(SURGES[0].onset_s + 600, SURGES[1].onset_s + 1200), "b": alarms(SURGES[3].onset_s + 6000)}
    weak, strong = plant_report(PLAN, quiet={}, surging={5.0: Run([10, 20, 30, 40], caught), 2.0: Run([0, 1, 1, 2], {})}).strengths
    assert (weak.k, weak.planted, weak.caught, weak.recall, weak.median_texts, weak.median_delay_min, weak.p90_delay_min) == (2.0, 4, 0, 0.0, 1.0, None, None)
    assert (strong.k, strong.caught, strong.recall, strong.median_texts) == (5.0, 3, 0.75, 25.0)
    assert (strong.median_delay_min, strong.p90_delay_min) == (20.0, 84.0)
    assert strong.recall_95 == pytest.approx(wilson_95(3, 4), abs=1e-4)


def test_the_table_has_a_line_for_each_strength() -> None:
    caught = {"a": alarms(SURGES[0].onset_s + 600)}
    shown = as_table(plant_report(PLAN, quiet=caught, surging={2.0: Run([0, 1, 1, 2], {}), 10.0: Run([90, 90, 99, 80], caught)}))
    about, price, _, weak, strong = shown.splitlines()
    assert "3 h" in about
    assert "2 subjects, 1 left out" in about
    assert "1 alert in 4.0 subject-weeks, 0.250 per" in price
    assert weak.split() == ["2", "4", "1", "0.0%", "0.0%-49.0%", "-", "-"]
    assert strong.split() == ["10", "4", "90", "25.0%", "4.6%-69.9%", "10", "min", "10", "min"]
