from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.backends.base import SENTIMENTS
from models.training.report import Evaluation, Failure, as_text, mix_ups, poles_of, report_of, section_of, wilson
from opinion.records import TOPICS

TRUTH = np.array([0, 0, 0, 1, 2, 2])
JUDGED = np.array([0, 0, 1, 1, 2, 0])


def sure(judged: np.ndarray[tuple[int], np.dtype[np.int64]], *, labels: int = 3, confidence: float = 0.8) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Probabilities that judge so."""
    rest = (1 - confidence) / (labels - 1)
    found = np.full((len(judged), labels), rest, np.float32)
    found[np.arange(len(judged)), judged] = confidence
    return found


def test_precision_recall_f1_and_support_of_each_class() -> None:
    report = report_of(SENTIMENTS, sure(JUDGED), TRUTH)
    assert [(one.label, one.precision, one.recall, one.f1, one.support) for one in report.classes] == [
        ("negative", 0.6667, 0.6667, 0.6667, 3),
        ("neutral", 0.5, 1.0, 0.6667, 1),
        ("positive", 1.0, 0.5, 0.6667, 2),
    ]
    assert report.confusion == [[2, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert (report.quality.accuracy, report.quality.macro_f1) == (0.6667, 0.6667)
    assert report.quality.ece == pytest.approx(0.8 - 4 / 6, abs=1e-3)
    assert [(one.rows, one.accuracy) for one in report.reliability] == [(6, 0.6667)]


def test_a_class_that_is_never_judged_or_never_occurs_has_no_number_there() -> None:
    report = report_of(SENTIMENTS, sure(np.array([2, 2])), np.array([0, 0]))
    negative, positive = report.classes
    assert (negative.precision, negative.recall, negative.f1) == (None, 0.0, 0.0)
    assert (positive.precision, positive.recall, positive.support) == (0.0, None, 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_the_numbers_of_a_report_agree(pairs: list[tuple[int, int]]) -> None:
    truth, judged = (np.array(column) for column in zip(*pairs, strict=True))
    report = report_of(SENTIMENTS, sure(judged), truth)
    assert sum(one.support for one in report.classes) == len(pairs) == sum(one.rows for one in report.reliability)
    assert np.mean([one.f1 for one in report.classes]) == pytest.approx(report.quality.macro_f1, abs=1e-4)
    assert 0 <= report.accuracy_low <= report.quality.accuracy + 1e-4
    assert report.quality.accuracy - 1e-4 <= report.accuracy_high <= 1


@pytest.mark.parametrize(("right", "count", "low", "high"), [(0, 10, 0, 0.278), (10, 10, 0.722, 1), (50, 100, 0.404, 0.596)])
def test_the_interval_is_that_of_wilson(right: int, count: int, low: float, high: float) -> None:
    assert wilson(right, count) == pytest.approx((low, high), abs=1e-3)


def test_polarity_leaves_neutral_out_of_the_choice() -> None:
    poles = poles_of(np.array([[0.3, 0.6, 0.1], [0.0, 1.0, 0.0], [0.1, 0.0, 0.9]], np.float32))
    assert poles.argmax(1).tolist() == [0, 0, 1]
    assert np.allclose(poles.sum(1), 1)


def test_each_group_has_its_report_the_largest_first() -> None:
    section = section_of("sentiment", SENTIMENTS, sure(JUDGED), TRUTH, languages=["zh", "en", "en", "en", "zh", "en"], kinds=["news"] * 6)
    assert {name: report.quality.rows for name, report in section.by_language.items()} == {"en": 4, "zh": 2}
    assert list(section.by_language) == ["en", "zh"]
    assert section.by_kind["news"] == section.whole


def evaluation(count: int = 4, **changes: object) -> Evaluation:
    truth, judged = np.tile(TRUTH, count), np.tile(JUDGED, count)
    languages = ["en", "zh", "en", "zh", "en", "zh"] * count
    topics = np.arange(len(truth)) % 20
    sections = [
        section_of("sentiment", SENTIMENTS, sure(judged), truth, languages=languages, kinds=["news"] * len(truth)),
        section_of("topic", TOPICS, sure((topics + (topics == 3)) % 20, labels=20), topics, languages=languages, kinds=["news"] * len(truth)),
    ]
    found = Evaluation(dataset="set.csv", sha256="0" * 64, model="m@r", backend="torch", texts=len(truth), failures=[Failure(7, "why")], unlabelled=2, empty=0, sections=sections)
    return msgspec.structs.replace(found, **changes)


def test_the_text_says_what_was_left_out_and_every_number() -> None:
    text = as_text(evaluation(10))
    assert "set.csv: 60 texts judged by m@r (torch)\nleft out, without a label: 2\nfailed: 1 text, first line 7: why\n" in text
    assert "Sentiment: 60 texts\n  accuracy 0.667 (0.541 to 0.773)   macro F1 0.667   ECE 0.133\n" in text
    assert "  negative      0.667   0.667  0.667       30\n" in text
    assert "  negative |              20        10         0\n" in text
    assert "Sentiment, en only: 30 texts" in text
    assert "Sentiment, news only" not in text  # there is nothing else
    assert "      3  Treasuries | Corporate Debt -> Dividend\n" in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_columns_stand_under_their_headings() -> None:
    lines = as_text(evaluation(10)).splitlines()
    for heading in (number for number, line in enumerate(lines) if line.rstrip().endswith("support")):
        assert len({len(line) for line in lines[heading : heading + 4]}) == 1
    for heading in (number for number, line in enumerate(lines) if "| judged" in line):
        assert len({len(line) for line in lines[heading : heading + 4]}) == 1


def test_the_most_frequent_mix_ups_come_first() -> None:
    report = report_of(SENTIMENTS, sure(np.array([1, 1, 0])), np.array([0, 0, 2]))
    assert dict(mix_ups(report)) == {("negative", "neutral"): 2, ("positive", "negative"): 1}


def test_a_small_group_is_not_taken_apart() -> None:
    text = as_text(evaluation(2))
    assert "Sentiment, zh only: 6 texts\n  accuracy" in text
    assert text.count("labelled | judged") == 1
