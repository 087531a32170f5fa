"""The shipped model on a pinned sample of rows that it was not fitted on. A floor lies slightly under what was measured, for processors that round otherwise."""

from __future__ import annotations

import hashlib
from functools import cache

import msgspec
import numpy as np
import pytest

from models.backends.base import Backend, BatchStats, Scores
from models.heads import GROUPS, group_of
from models.registry import load_backend
from models.training.clusters import clusters_of, position
from models.training.measure import calibration_error, macro_f1
from models.training.probe import MEASURED_BELOW
from models.training.rows import Row, all_rows
from opinion.settings import Settings
from tests.support.model import UNPACKED

pytestmark = pytest.mark.eval

PER_SET = 150
"""Rows of each set: all together are judged in about ten seconds on two cores."""
SAMPLE_SHA256 = "e1c554d5fd26a718f42c7d8b35c6cd9edec3233d70fce577746b086ada75f435"

FLOORS = {
    ("sentiment", "twitter-financial-sentiment"): (0.88, 0.11),  # 0.900, 0.084
    ("sentiment", "sentfin"): (0.86, 0.09),  # 0.880, 0.061
    ("sentiment", "en news"): (0.76, 0.10),  # 0.791, 0.074
    ("sentiment", "zh news"): (0.86, 0.11),  # 0.884, 0.085
    ("sentiment", "zh social"): (0.79, 0.11),  # 0.813, 0.083
    ("topic", "twitter-financial-topic"): (0.73, 0.13),  # 0.753, 0.108
    ("topic", "en news"): (0.59, 0.18),  # 0.627, 0.154
    ("topic", "zh news"): (0.80, 0.12),  # 0.824, 0.095
    ("topic", "zh social"): (0.59, 0.12),  # 0.614, 0.094
}
"""(head, set) -> least accuracy, greatest calibration error; beside each what was measured on two cores in float32."""


@cache
def sample() -> dict[str, list[Row]]:
    """Per set, the rows nearest the beginning of the held-out order."""
    rows = all_rows()
    clusters = clusters_of([row.text for row in rows], openings=[index for index, row in enumerate(rows) if row.dataset == "synthetic" and row.lang == "zh"])
    sets: dict[str, list[tuple[float, int]]] = {}
    for index, row in enumerate(rows):
        place = position(rows[clusters[index]].text)
        if row.evaluation or (place < MEASURED_BELOW and row.dataset in ("sentfin", "synthetic")):
            lang, register = GROUPS[group_of(row.input)]
            name = f"{lang} {register}" if row.dataset == "synthetic" else row.dataset
            sets.setdefault(name, []).append((hash_of(row), index))
    return {name: [rows[index] for _, index in sorted(found)[:PER_SET]] for name, found in sets.items()}


def hash_of(row: Row) -> float:
    """The row's own place in [0, 1)."""
    return int.from_bytes(hashlib.sha256(row.text.encode()).digest()[:4], "big") / 2**32


@pytest.fixture(scope="module")
def passes() -> list[BatchStats]:
    return []


@pytest.fixture(scope="module")
def backend(passes: list[BatchStats]) -> Backend:
    return load_backend(Settings(model_dir=UNPACKED, device="cpu"), on_batch=passes.append)


@pytest.fixture(scope="module")
def judged(backend: Backend) -> dict[str, Scores]:
    return {name: backend.score([row.input for row in rows]) for name, rows in sample().items()}


def test_the_sample_is_the_pinned_one() -> None:
    assert hashlib.sha256(msgspec.json.encode(sample())).hexdigest() == SAMPLE_SHA256


@pytest.mark.parametrize(("head", "name"), FLOORS)
def test_scores_hold_their_floors(judged: dict[str, Scores], head: str, name: str) -> None:
    rows, scores = sample()[name], judged[name]
    labels = np.array([-1 if (label := getattr(row, head)) is None else label for row in rows])
    probabilities = scores.sentiment if head == "sentiment" else scores.topics
    best, known = probabilities.argmax(1), labels >= 0
    right = best[known] == labels[known]
    accuracy, error = float(right.mean()), calibration_error(probabilities[known].max(1), right)
    floor, ceiling = FLOORS[head, name]
    assert accuracy >= floor, f"{head} on {name}: accuracy {accuracy:.3f} of {known.sum()} rows, macro F1 {macro_f1(best[known], labels[known]):.3f}, calibration error {error:.3f}"
    assert error <= ceiling, f"{head} on {name}: calibration error {error:.3f}"


def test_the_real_model_answers_alike_in_a_batch_and_alone(backend: Backend, judged: dict[str, Scores]) -> None:
    for name, rows in sample().items():
        for index in (0, len(rows) // 2):
            alone = backend.score([rows[index].input])
            assert np.abs(alone.sentiment[0] - judged[name].sentiment[index]).max() < 0.03
            assert alone.embedding[0] @ judged[name].embedding[index] > 0.999


@pytest.mark.parametrize(
    ("text", "lang", "label"),
    [
        ("Regulators fine the bank $2 billion over money laundering failures", "en", "negative"),
        ("Company raises full-year guidance after record quarterly profit", "en", "positive"),
        ("公司因财务造假被证监会立案调查，股价跌停", "zh-Hans", "negative"),
        ("公司净利润同比大幅增长35%，创历史新高", "zh-Hans", "positive"),
    ],
)
def test_plain_cases_are_judged_right(backend: Backend, text: str, lang: str, label: str) -> None:
    row = Row("", text, sample()["sentfin"][0].kind, lang)
    assert ("negative", "neutral", "positive")[int(backend.score([row.input]).sentiment[0].argmax())] == label
