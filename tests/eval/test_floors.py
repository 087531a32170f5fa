"""The shipped model, as it runs, on rows that it was not fitted on. A floor lies slightly under what was measured, for processors that round otherwise."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from models.backends.base import Backend, BatchStats, Floats, Scores
from models.registry import load_backend
from models.training.finish import set_of
from models.training.measure import Quality, quality
from models.training.rows import Row
from models.training.run import material
from models.training.split import Part
from opinion.settings import Settings
from tests.support.model import UNPACKED

pytestmark = [pytest.mark.eval, pytest.mark.timeout(900)]

ROWS_SHA256 = "d9fda3f5f9f17c43371c2f5792be32382f182aed90a5e4a37bf76e8afde2daa0"


class Floor(NamedTuple):
    """Least accuracy and macro F1, greatest calibration error."""

    accuracy: float
    macro_f1: float
    ece: float


FLOORS: dict[tuple[str, str], Floor] = {
    ("sentiment", "twitter-financial-sentiment, published validation split"): Floor(0.876, 0.839, 0.047),  # 0.8819, 0.8448, 0.0350; 2388 rows
    ("topics", "twitter-financial-topic, published validation split"): Floor(0.902, 0.891, 0.025),  # 0.9079, 0.8967, 0.0121; 4117 rows
    ("sentiment", "sentfin, held out"): Floor(0.884, 0.884, 0.048),  # 0.8965, 0.8965, 0.0279; 734 rows
    ("entity", "sentfin, held out"): Floor(0.890, 0.890, 0.035),  # 0.9023, 0.9024, 0.0142; 870 rows
    ("entity", "sentfin, entities differ, held out"): Floor(0.803, 0.789, 0.078),  # 0.8240, 0.8099, 0.0375; 250 rows
    ("sentiment", "synthetic en news, held out"): Floor(0.860, 0.855, 0.101),  # 0.8803, 0.8757, 0.0610; 117 rows
    ("topics", "synthetic en news, held out"): Floor(0.684, 0.650, 0.158),  # 0.7043, 0.6707, 0.1178; 115 rows
    ("sentiment", "synthetic zh news, held out"): Floor(0.906, 0.906, 0.084),  # 0.9261, 0.9260, 0.0438; 203 rows
    ("topics", "synthetic zh news, held out"): Floor(0.824, 0.848, 0.121),  # 0.8446, 0.8684, 0.0807; 193 rows
    ("sentiment", "synthetic zh social, held out"): Floor(0.871, 0.877, 0.081),  # 0.8911, 0.8977, 0.0407; 349 rows
    ("topics", "synthetic zh social, held out"): Floor(0.710, 0.704, 0.111),  # 0.7305, 0.7247, 0.0705; 334 rows
    ("sentiment", "en_corporate, other writers"): Floor(0.832, 0.809, 0.095),  # 0.8527, 0.8296, 0.0550; 224 rows
    ("topics", "en_corporate, other writers"): Floor(0.712, 0.483, 0.119),  # 0.7321, 0.5031, 0.0787; 224 rows
    ("sentiment", "zh_forum5, other writers"): Floor(0.725, 0.729, 0.158),  # 0.7454, 0.7491, 0.1180; 216 rows
    ("topics", "zh_forum5, other writers"): Floor(0.688, 0.648, 0.150),  # 0.7081, 0.6685, 0.1095; 209 rows
    ("sentiment", "zh_press, other writers"): Floor(0.858, 0.860, 0.104),  # 0.8786, 0.8802, 0.0636; 140 rows
    ("topics", "zh_press, other writers"): Floor(0.851, 0.839, 0.112),  # 0.8714, 0.8593, 0.0712; 140 rows
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
    return load_backend(Settings(model_dir=UNPACKED, device="cpu"), on_batch=passes.append)


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
