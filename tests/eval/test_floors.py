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

ROWS_SHA256 = ""


class Floor(NamedTuple):
    """Least accuracy and macro F1, greatest calibration error."""

    accuracy: float
    macro_f1: float
    ece: float


FLOORS: dict[tuple[str, str], Floor] = {}
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
    text = "Acme wins the contract that Zenith had hoped for, Zenith shares plunge 20%"
    row = Row("", text, measured_rows()["sentfin, held out"][0].kind, "en", entities=((0, 4, 2), (29, 35, 0)))
    (own,) = backend.score([row.input]).entities
    assert [int(one.argmax()) for one in own] == [2, 0]
