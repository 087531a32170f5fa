from __future__ import annotations

import numpy as np
import pytest

from models.features import GROUPS
from models.training.fit import fit_embedding, fit_temperatures, temperature_of
from models.training.measure import calibration_error, macro_f1, quality


def test_the_embedding_map_finds_a_linear_relation() -> None:
    random = np.random.default_rng(5)
    features = (3 + random.standard_normal((500, 6))).astype(np.float32)
    target = (features @ random.standard_normal((6, 2)) + 1).astype(np.float32)
    found = fit_embedding(features, target)
    assert found.shape == (2, 7)
    assert np.allclose(features @ found[:, :-1].T + found[:, -1], target, atol=0.2)


def test_the_temperature_of_an_overconfident_head_is_above_one_and_of_a_timid_one_below() -> None:
    labels = np.array([0, 1] * 50)
    right = np.array([[1.0, -1.0], [-1.0, 1.0]] * 50, np.float32)
    right[:20] = right[:20, ::-1]  # a fifth is wrong
    assert temperature_of(right * 5, labels) > 1.5
    assert temperature_of(right * 0.1, labels) < 0.8


def test_a_group_with_few_rows_takes_the_common_temperature() -> None:
    labels = np.array([0, 1] * 50)
    logits = np.array([[2.0, -2.0], [-2.0, 2.0]] * 50, np.float32)
    logits[:30] = logits[:30, ::-1]
    groups = np.zeros(100, np.int64)
    groups[:3] = 2
    found = fit_temperatures(logits, labels, groups=groups)
    assert len(found) == len(GROUPS)
    assert found[2] == pytest.approx(temperature_of(logits, labels), rel=1e-5)
    assert found[0] != found[2]


def test_perfect_answers_have_no_error_and_sure_wrong_ones_all_of_it() -> None:
    labels = np.array([0, 1])
    assert quality(np.eye(2, dtype=np.float32), labels).ece == 0
    wrong = quality(np.eye(2, dtype=np.float32)[::-1], labels)
    assert (wrong.accuracy, wrong.macro_f1, wrong.ece) == (0, 0, 1)


def test_the_calibration_error_is_the_weighted_gap_of_the_bins() -> None:
    confidences = np.array([0.9, 0.9, 0.6, 0.6], np.float32)
    assert calibration_error(confidences, np.array([True, True, False, True])) == pytest.approx(0.5 * 0.1 + 0.5 * 0.1, abs=1e-6)


def test_macro_f1_counts_each_label_alike() -> None:
    assert macro_f1(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 1])) == pytest.approx((6 / 7) / 2)
