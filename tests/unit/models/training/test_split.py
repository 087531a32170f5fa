from __future__ import annotations

import random

import pytest

from models.training.rows import Row
from models.training.split import CALIBRATED_BELOW, MEASURED_BELOW, Part, half_of, parts_of
from opinion.records import DocumentKind


def row(text: str, *, dataset: str = "sentfin", evaluation: bool = False) -> Row:
    return Row(dataset, text, DocumentKind.NEWS, "en", sentiment=1, evaluation=evaluation)


TEXTS = ["".join(random.Random(number).choices("abcdefghijklmnopqrstuvwxyz", k=24)) for number in range(600)]


def shares(parts: list[Part]) -> dict[Part, float]:
    return {part: parts.count(part) / len(parts) for part in Part}


def test_shares_are_as_wanted() -> None:
    found = shares(parts_of([row(text) for text in TEXTS]))
    assert found[Part.MEASURE] == pytest.approx(MEASURED_BELOW, abs=0.03)
    assert found[Part.CALIBRATE] == pytest.approx(CALIBRATED_BELOW - MEASURED_BELOW, abs=0.03)


def test_a_published_validation_split_is_measured_and_its_training_rows_are_not() -> None:
    published = parts_of([row(text, dataset="twitter-financial-topic", evaluation=True) for text in TEXTS])
    assert set(published) == {Part.MEASURE}
    assert Part.MEASURE not in parts_of([row(text, dataset="twitter-financial-topic") for text in TEXTS])


def test_a_training_row_that_is_nearly_a_measured_one_is_measured_too() -> None:
    rows = [row(text) for text in TEXTS]
    parts = parts_of(rows)
    measured = [one for one, part in zip(rows, parts, strict=True) if part is Part.MEASURE]
    twins = [row(one.text + "!", dataset="twitter-financial-topic") for one in measured]
    assert set(parts_of([*rows, *twins])[len(rows) :]) == {Part.MEASURE}


def test_a_row_stays_where_it_is_when_others_come() -> None:
    rows = [row(text) for text in TEXTS]
    assert parts_of([*rows, row("something else entirely")])[: len(rows)] == parts_of(rows)


def test_rows_kept_apart_never_train() -> None:
    assert {half_of(row(text)) for text in TEXTS} == {Part.CALIBRATE, Part.MEASURE}
