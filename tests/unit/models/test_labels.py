from __future__ import annotations

from itertools import chain

import pytest

from models.backends.base import SENTIMENTS
from models.labels import SYNONYMS, columns_of, plain, sentiment_of, topic_of
from opinion.errors import ModelLoadError
from opinion.records import TOPICS


@pytest.mark.parametrize(
    ("names", "label"),
    [
        (("negative", "Negative", "NEG", "bearish", "Bear", "very_negative", "负面", "利空", "看跌", "負面", "negative (stars 1, 2 and 3)"), 0),
        (("neutral", "NEUTRAL", " neu ", "中性", "ｎｅｕｔｒａｌ"), 1),
        (("positive", "pos", "Bullish", "Very Positive", "very-positive", "正面", "利好", "看漲"), 2),
        (("", "LABEL_0", "0", "mixed", "1 star", "(negative)"), None),
    ],
)
def test_names_of_sentiments(names: tuple[str, ...], label: int | None) -> None:
    assert {name: sentiment_of(name) for name in names} == dict.fromkeys(names, label)


def test_synonyms_are_written_as_they_are_looked_up_and_stand_for_one_sentiment_each() -> None:
    written = list(chain.from_iterable(SYNONYMS.values()))
    assert tuple(SYNONYMS) == SENTIMENTS
    assert [plain(name) for name in written] == written
    assert len(set(written)) == len(written)


def test_topics_are_known_by_their_words() -> None:
    assert [topic_of(name) for name in TOPICS] == list(range(len(TOPICS)))
    assert topic_of("fed / central banks") == topic_of("FED_CENTRAL_BANKS") == TOPICS.index("Fed | Central Banks")
    assert topic_of("3") is topic_of("") is None


def test_labels_of_a_classifier_in_any_order() -> None:
    assert columns_of(["Positive", "Negative", "Neutral"]) == [2, 0, 1]
    assert columns_of(["neg", "pos"]) == [0, 2]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], r"its labels are 'LABEL_0', 'LABEL_1', 'LABEL_2': 'LABEL_0', 'LABEL_1', 'LABEL_2' cannot be told"),
        (["negative", "joy", "positive"], "'joy' cannot be told"),
        (["negative", "neutral"], "none stands for positive"),
        (["LABEL_0"], "'LABEL_0' cannot be told"),
        ([], "none stands for negative or positive"),
    ],
)
def test_labels_that_do_not_say_which_sentiment_they_are_are_refused(names: list[str], says: str) -> None:
    with pytest.raises(ModelLoadError, match=says):
        columns_of(names)
