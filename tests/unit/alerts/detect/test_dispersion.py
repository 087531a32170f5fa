from __future__ import annotations

import numpy as np
import pytest

from alerts.detect.dispersion import LEAST, Dispersion
from alerts.detect.rules import HOUR_S, Rules
from alerts.detect.series import Floats, Ints

RULES = Rules()
HOURS = np.arange(1000, 1160)
SHARE = 0.2


def counts(*, rho: float, seed: int, texts: int = 200) -> tuple[Ints, Ints]:
    """Totals, and beta-binomial negatives whose correlation within an hour is `rho`."""
    random = np.random.default_rng(seed)
    total = np.full(len(HOURS), texts)
    spread = (1 - rho) / rho
    share = random.beta(SHARE * spread, (1 - SHARE) * spread, len(HOURS))
    return total, random.binomial(total, share)


def fresh(sums: dict[int, tuple[int, int]] | None = None) -> Dispersion:
    return Dispersion(sums, rho=RULES.rho_of(HOUR_S), weight=RULES.rho_weight)


def learned(found: Dispersion, total: Ints, negative: Ints, *, texts: float = 1000) -> Floats:
    level = np.full(len(HOURS), SHARE)
    found.add(HOURS, total=total, negative=negative, usual=level, texts=np.full(len(HOURS), texts))
    return found.factors(np.array([1160]), rules=RULES)


@pytest.mark.parametrize("rho", [0.004, 0.007, 0.02])
def test_the_fitted_rho_is_that_of_the_law(rho: float) -> None:
    found = fresh()
    for seed in range(100):
        total, negative = counts(rho=rho, seed=seed)
        factor = learned(found, total, negative)
    assert factor[0] * RULES.rho_of(HOUR_S) == pytest.approx(rho, rel=0.25)


def test_nothing_seen_leaves_the_rule() -> None:
    assert fresh().factors(np.array([5, 9]), rules=RULES).tolist() == [1, 1]


def test_surges_do_not_teach_that_surges_are_ordinary() -> None:
    calm, surged = fresh(), fresh()
    for seed in range(20):
        total, negative = counts(rho=0.007, seed=seed)
        before = learned(calm, total, negative)
        negative[::20] = total[::20] * 9 // 10
        after = learned(surged, total, negative)
    assert after[0] < before[0] * 1.1


def test_subjects_of_few_texts_or_short_memory_do_not_speak() -> None:
    found = fresh()
    learned(found, *counts(rho=0.1, seed=1, texts=10))
    learned(found, *counts(rho=0.1, seed=1), texts=10)
    assert found.sums() == {}


def test_the_order_of_subjects_and_a_restart_do_not_matter() -> None:
    first, second = counts(rho=0.01, seed=1), counts(rho=0.01, seed=2)
    one, other = fresh(), fresh()
    learned(one, *first)
    learned(other, *second)
    resumed = fresh(other.sums())
    assert learned(one, *second).tolist() == learned(resumed, *first).tolist()
    assert one.sums() == resumed.sums()


def test_old_hours_are_forgotten_and_the_fit_stays_within_bounds() -> None:
    found = fresh()
    for _ in range(200):
        least = learned(found, np.full(len(HOURS), 200), np.full(len(HOURS), 40))
    assert least[0] >= LEAST
    found.trim(1160)
    assert found.sums() == {}
