"""The shipped model, as it runs, on rows that it was not fitted on. A floor lies slightly under what was measured, for processors that round otherwise."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from models.backends.base import Backend, BatchStats, Floats, Scores
from models.cards import WEIGHTS
from models.registry import load_backend
from models.training.finish import set_of
from models.training.measure import Quality, quality
from models.training.rows import Row
from models.training.run import material
from models.training.split import Part
from opinion.settings import Settings
from tests.support.model import UNPACKED

pytestmark = [pytest.mark.eval, pytest.mark.timeout(900)]

ROWS_SHA256 = "ff62fbf49c8b674230f2a17f2632ad7aa6015eadff3d3a00564098dd7443e6da"


class Floor(NamedTuple):
    """Least accuracy and macro F1, greatest calibration error."""

    accuracy: float
    macro_f1: float
    ece: float


FLOORS: dict[tuple[str, str], Floor] = {
    ("sentiment", "twitter-financial-sentiment, published validation split"): Floor(0.878, 0.845, 0.042),  # 0.8844, 0.8509, 0.0299; 2388 rows
    ("topics", "twitter-financial-topic, published validation split"): Floor(0.905, 0.895, 0.028),  # 0.9111, 0.9013, 0.0159; 4117 rows
    ("sentiment", "sentfin, held out"): Floor(0.886, 0.886, 0.062),  # 0.8978, 0.8980, 0.0418; 734 rows
    ("entity", "sentfin, held out"): Floor(0.883, 0.884, 0.076),  # 0.8954, 0.8956, 0.0559; 870 rows
    ("entity", "sentfin, entities differ, held out"): Floor(0.803, 0.787, 0.100),  # 0.8240, 0.8076, 0.0602; 250 rows
    ("sentiment", "synthetic en news, held out"): Floor(0.842, 0.835, 0.112),  # 0.8623, 0.8553, 0.0719; 138 rows
    ("topics", "synthetic en news, held out"): Floor(0.641, 0.629, 0.145),  # 0.6618, 0.6492, 0.1052; 136 rows
    ("sentiment", "synthetic zh news, held out"): Floor(0.918, 0.918, 0.071),  # 0.9386, 0.9385, 0.0305; 228 rows
    ("topics", "synthetic zh news, held out"): Floor(0.831, 0.841, 0.124),  # 0.8512, 0.8615, 0.0844; 215 rows
    ("sentiment", "synthetic zh social, held out"): Floor(0.874, 0.880, 0.066),  # 0.8943, 0.9001, 0.0260; 388 rows
    ("topics", "synthetic zh social, held out"): Floor(0.694, 0.698, 0.089),  # 0.7143, 0.7182, 0.0491; 371 rows
    ("sentiment", "en_corporate, other writers"): Floor(0.850, 0.832, 0.077),  # 0.8705, 0.8523, 0.0369; 224 rows
    ("topics", "en_corporate, other writers"): Floor(0.730, 0.475, 0.098),  # 0.7500, 0.4955, 0.0577; 224 rows
    ("sentiment", "zh_forum5, other writers"): Floor(0.762, 0.765, 0.137),  # 0.7824, 0.7852, 0.0965; 216 rows
    ("topics", "zh_forum5, other writers"): Floor(0.712, 0.685, 0.149),  # 0.7321, 0.7056, 0.1091; 209 rows
    ("sentiment", "zh_press, other writers"): Floor(0.851, 0.853, 0.110),  # 0.8714, 0.8731, 0.0700; 140 rows
    ("topics", "zh_press, other writers"): Floor(0.865, 0.844, 0.099),  # 0.8857, 0.8643, 0.0588; 140 rows
    ("entity", "entities, other writers"): Floor(0.588, 0.594, 0.107),  # 0.6081, 0.6146, 0.0674; 148 rows
    ("sentiment", "synthetic en social, held out"): Floor(0.714, 0.718, 0.203),  # 0.7344, 0.7386, 0.1430; 64 rows
}
"""(head, set) -> floor; beside each what was measured on two cores in bfloat16."""


@cache
def measured_rows() -> dict[str, list[Row]]:
    """Per set, the rows that are only measured."""
    rows, parts = material()
    sets: dict[str, list[Row]] = {}
    for row, part in zip(rows, parts, strict=True):
        if part is Part.MEASURE:
            sets.setdefault(set_of(row), []).append(row)
    return sets


@pytest.fixture(scope="module")
def passes() -> list[BatchStats]:
    return []


@pytest.fixture(scope="module")
def backend(passes: list[BatchStats]) -> Backend:
    return load_backend(Settings(model=str(WEIGHTS), model_dir=UNPACKED, device="cpu"), on_batch=passes.append)


@pytest.fixture(scope="module")
def judged(backend: Backend) -> dict[str, Scores]:
    return {name: backend.score([row.input for row in rows]) for name, rows in measured_rows().items()}


def test_the_rows_are_the_pinned_ones() -> None:
    assert hashlib.sha256(msgspec.json.encode(measured_rows())).hexdigest() == ROWS_SHA256


@pytest.mark.parametrize(("head", "name"), FLOORS)
def test_scores_hold_their_floors(judged: dict[str, Scores], head: str, name: str) -> None:
    found, floor = quality_of(measured_rows()[name], judged[name], head=head), FLOORS[head, name]
    assert found.accuracy >= floor.accuracy, f"{head} on {name}: {found}"
    assert found.macro_f1 >= floor.macro_f1, f"{head} on {name}: {found}"
    assert found.ece <= floor.ece, f"{head} on {name}: {found}"


def quality_of(rows: list[Row], scores: Scores, *, head: str) -> Quality:
    """How good one head's answers are on the rows that are labelled for it."""
    if head == "entity":
        given = np.concatenate(list(scores.entities))
        labels = np.array([label for row in rows for _, _, label in row.entities])
        read = np.isfinite(given).all(1)
        return quality(given[read], labels[read])
    answers: Floats = scores.sentiment if head == "sentiment" else scores.topics
    labels = np.array([-1 if (label := row.sentiment if head == "sentiment" else row.topic) is None else label for row in rows])
    return quality(answers[labels >= 0], labels[labels >= 0])


def test_the_real_model_answers_alike_in_a_batch_and_alone(backend: Backend, judged: dict[str, Scores]) -> None:
    for name, rows in measured_rows().items():
        for index in (0, len(rows) // 2):
            alone = backend.score([rows[index].input])
            assert np.abs(alone.sentiment[0] - judged[name].sentiment[index]).max() < 0.05
            assert alone.embedding[0] @ judged[name].embedding[index] > 0.995


@pytest.mark.parametrize(
    ("text", "lang", "label"),
    [
        ("Regulators fine the bank $2 billion over money laundering failures", "en", "negative"),
        ("Company raises full-year guidance after record quarterly profit", "en", "positive"),
        ("The company has its headquarters in Turku and employs 214 people.", "en", "neutral"),
        ("公司因财务造假被证监会立案调查，股价跌停", "zh-Hans", "negative"),
        ("公司净利润同比大幅增长35%，创历史新高", "zh-Hans", "positive"),
        ("公司將於11月28日召開股東大會", "zh-Hant", "neutral"),
        ("公司因財務造假被證監會立案調查，股價跌停", "zh-Hant", "negative"),
    ],
)
def test_plain_cases_are_judged_right(backend: Backend, text: str, lang: str, label: str) -> None:
    row = Row("", text, measured_rows()["sentfin, held out"][0].kind, lang)
    assert ("negative", "neutral", "positive")[int(backend.score([row.input]).sentiment[0].argmax())] == label


def test_winner_and_loser_of_one_text_are_told_apart(backend: Backend) -> None:
    text = "Acme shares jump 8% while Zenith plunges 20%"
    row = Row("", text, measured_rows()["sentfin, held out"][0].kind, "en", entities=((0, 4, 2), (27, 33, 0)))
    (own,) = backend.score([row.input]).entities
    assert [int(one.argmax()) for one in own] == [2, 0]
