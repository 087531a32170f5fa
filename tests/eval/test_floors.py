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
    ("sentiment", "twitter-financial-sentiment, published validation split"): Floor(0.872, 0.833, 0.043),  # 0.8777, 0.8393, 0.0313; 2388 rows
    ("topics", "twitter-financial-topic, published validation split"): Floor(0.901, 0.887, 0.029),  # 0.9072, 0.8929, 0.0170; 4117 rows
    ("sentiment", "sentfin, held out"): Floor(0.887, 0.887, 0.049),  # 0.8992, 0.8997, 0.0290; 734 rows
    ("entity", "sentfin, held out"): Floor(0.891, 0.891, 0.045),  # 0.9034, 0.9039, 0.0250; 870 rows
    ("entity", "sentfin, entities differ, held out"): Floor(0.816, 0.800, 0.081),  # 0.8360, 0.8202, 0.0405; 250 rows
    ("sentiment", "synthetic en news, held out"): Floor(0.820, 0.811, 0.089),  # 0.8406, 0.8316, 0.0487; 138 rows
    ("topics", "synthetic en news, held out"): Floor(0.656, 0.652, 0.162),  # 0.6765, 0.6727, 0.1217; 136 rows
    ("sentiment", "synthetic zh news, held out"): Floor(0.922, 0.922, 0.069),  # 0.9430, 0.9427, 0.0292; 228 rows
    ("topics", "synthetic zh news, held out"): Floor(0.831, 0.835, 0.107),  # 0.8512, 0.8558, 0.0674; 215 rows
    ("sentiment", "synthetic zh social, held out"): Floor(0.869, 0.873, 0.099),  # 0.8892, 0.8935, 0.0588; 388 rows
    ("topics", "synthetic zh social, held out"): Floor(0.732, 0.743, 0.110),  # 0.7520, 0.7636, 0.0697; 371 rows
    ("sentiment", "en_corporate, other writers"): Floor(0.832, 0.809, 0.085),  # 0.8527, 0.8296, 0.0446; 224 rows
    ("topics", "en_corporate, other writers"): Floor(0.721, 0.441, 0.132),  # 0.7411, 0.4614, 0.0919; 224 rows
    ("sentiment", "zh_forum5, other writers"): Floor(0.734, 0.737, 0.126),  # 0.7546, 0.7570, 0.0855; 216 rows
    ("topics", "zh_forum5, other writers"): Floor(0.678, 0.633, 0.116),  # 0.6986, 0.6534, 0.0762; 209 rows
    ("sentiment", "zh_press, other writers"): Floor(0.858, 0.858, 0.113),  # 0.8786, 0.8783, 0.0733; 140 rows
    ("topics", "zh_press, other writers"): Floor(0.880, 0.868, 0.115),  # 0.9000, 0.8889, 0.0755; 140 rows
    ("entity", "entities, other writers"): Floor(0.615, 0.626, 0.093),  # 0.6351, 0.6465, 0.0527; 148 rows
    ("sentiment", "synthetic en social, held out"): Floor(0.745, 0.748, 0.204),  # 0.7656, 0.7685, 0.1640; 64 rows
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
