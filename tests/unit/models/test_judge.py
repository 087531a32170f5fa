from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.backends.base import ModelInput, Scores
from models.entities import LinkedEntity
from models.explain import FINER, MOST_WORDS, STRETCHES, words_of
from models.judge import Judge, rounded
from opinion.errors import InferenceError, PoisonText
from opinion.records import TOPICS, Document, Judgement
from tests.support.records import document

MACRO, POLITICS = TOPICS.index("Macro"), TOPICS.index("Politics")


class Backend:
    """Fails on a batch that holds "poison"; negative where "bad" is in the text; topics as told."""

    name, device, model, revision = "fake", "cpu", "m", "r"

    def __init__(self, *, second: float = 0.1, broken: bool = False) -> None:
        self.calls: list[int] = []
        self.second, self.broken = second, broken

    def score(self, inputs: Sequence[ModelInput]) -> Scores:
        self.calls.append(len(inputs))
        if self.broken or any("poison" in item.text for item in inputs):
            raise InferenceError("failed")
        topics = np.zeros((len(inputs), 20), np.float32)
        topics[:, MACRO], topics[:, POLITICS] = 1 - self.second, self.second
        sentiment = np.array([[0.8, 0.1, 0.1] if "bad" in item.text else [0.2, 0.5, 0.3] for item in inputs], np.float32)
        return Scores(sentiment.reshape(-1, 3), topics, np.zeros((len(inputs), 4), np.float32), [self.own(item) for item in inputs])

    def own(self, item: ModelInput) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Negative for a name that begins with an O, the more where it slips, unreadable for one that begins with a Z, else positive."""
        rows = {"O": [0.9, 0.05, 0.05] if "slips" in item.text else [0.7, 0.2, 0.1], "Z": [np.nan] * 3}
        return np.array([rows.get(item.text[start], [0.1, 0.1, 0.8]) for start, _ in item.names], np.float32).reshape(-1, 3)

    def spans(self, text: str) -> list[tuple[int, int]]:
        ends = [at for at in range(len(text) + 1) if at == len(text) or text[at] == " "]
        return [(start, end) for start, end in zip([0, *(end + 1 for end in ends)], ends, strict=False) if end > start]


class Linker:
    def link(self, document: Document) -> list[LinkedEntity]:
        return [LinkedEntity("XNAS:AAPL", "Apple", 0.5), LinkedEntity("XNAS:MSFT", "Microsoft", 0.49)] if "Apple" in document.text else []


def judge(texts: Sequence[str], backend: Backend | None = None) -> list[Judgement | PoisonText]:
    return Judge(backend or Backend(), Linker()).judge([document(title="", text=text, doc_id=f"s:{number}") for number, text in enumerate(texts)])


def test_one_answer_per_document_in_order() -> None:
    answers = judge(["fine", "bad", "fine"])
    assert [answer.sentiment.label for answer in answers if isinstance(answer, Judgement)] == ["neutral", "negative", "neutral"]


def test_nothing_to_judge_is_no_call() -> None:
    backend = Backend()
    assert judge([], backend) == []
    assert backend.calls == []


def test_a_poisonous_text_spoils_only_itself() -> None:
    answers = judge(["a", "b", "poison", "d", "bad"])
    assert [isinstance(answer, PoisonText) for answer in answers] == [False, False, True, False, False]
    assert isinstance(answers[4], Judgement)
    assert answers[4].sentiment.label == "negative"


@given(st.lists(st.booleans(), max_size=30))
def test_each_poisonous_text_is_found_and_no_other(poisonous: list[bool]) -> None:
    answers = judge(["poison" if one else "fine" for one in poisonous])
    assert [isinstance(answer, PoisonText) for answer in answers] == poisonous


def test_a_broken_model_is_not_blamed_on_the_texts() -> None:
    with pytest.raises(InferenceError):
        judge(["a", "b", "c"], Backend(broken=True))


def test_a_document_counts_for_its_best_topic_and_its_main_company() -> None:
    (answer,) = judge(["Apple is bad"])
    assert isinstance(answer, Judgement)
    assert answer.subjects == ["topic:Macro", "entity:XNAS:AAPL"]
    assert [entity.id for entity in answer.entities] == ["XNAS:AAPL", "XNAS:MSFT"]
    assert answer.entities[0].sentiment == answer.sentiment
    assert (answer.model, answer.backend) == ("m@r", "fake")


@pytest.mark.parametrize(("second", "counted"), [(0.34, False), (0.36, True)])
def test_a_second_topic_counts_when_it_is_probable(second: float, counted: bool) -> None:
    (answer,) = judge(["x"], Backend(second=second))
    assert isinstance(answer, Judgement)
    assert ("topic:Politics" in answer.subjects) is counted
    assert set(answer.topics) == set(TOPICS)


@given(st.lists(st.floats(min_value=0, max_value=1), min_size=2, max_size=20).filter(lambda values: sum(values) > 0.01))
def test_rounded_probabilities_sum_to_one_and_stay_near(values: list[float]) -> None:
    exact = np.array(values) / sum(values)
    answer = rounded(np.array(values, np.float32))
    assert sum(round(value * 10_000) for value in answer) == 10_000
    assert np.abs(np.array(answer) - exact).max() < 2e-4


def test_the_word_that_decides_is_the_evidence() -> None:
    text = "shares look bad today"
    (evidence,) = Judge(Backend(), Linker()).explain(document(title="", text=text))
    assert (evidence.text, text[evidence.start : evidence.end]) == ("bad", "bad")
    assert evidence.weight == pytest.approx(np.log(0.8 / 0.2), abs=1e-3)


def test_in_a_hurry_the_deciding_word_of_a_long_text_is_found_with_few_passes() -> None:
    text = " ".join(["shares", "look", *["so"] * 40, "bad", *["today"] * (MOST_WORDS - 43), *["bad"] * 30])
    backend = Backend()
    (evidence,) = Judge(backend, Linker()).explain_quickly(document(title="", text=text))
    assert (evidence.text, evidence.start) == ("bad", text.index("bad"))
    assert sum(backend.calls) <= 1 + STRETCHES + 1 + FINER * MOST_WORDS // STRETCHES


def test_in_a_hurry_short_texts_are_explained_in_full() -> None:
    text = "shares look bad today"
    judging = Judge(Backend(), Linker())
    assert judging.explain_quickly(document(title="", text=text)) == judging.explain(document(title="", text=text)) != []


def test_why_a_company_is_spoken_ill_of_is_explained_by_what_is_said_of_it() -> None:
    text = "bad day A up as O slips"
    judging = Judge(Backend(), NamedLinker())
    assert [found.text for found in judging.explain_quickly(document(title="", text=text))] == ["bad"]
    (evidence,) = judging.explain_quickly(document(title="", text=text), company="O")
    assert (evidence.text, text[evidence.start : evidence.end]) == ("slips", "slips")
    assert [found.text for found in judging.explain_quickly(document(title="", text=text), company="elsewhere")] == ["bad"]
    assert [found.text for found in judging.explain_quickly(document(title="", text="bad day for Z, A"), company="Z")] == ["bad"]


def test_chinese_pieces_stand_alone_and_latin_ones_join() -> None:
    text = "AAPL涨停, up"
    assert [text[start:end] for start, end in words_of(text, [(0, 2), (2, 4), (4, 5), (5, 6), (6, 7), (8, 10)])] == ["AAPL", "涨", "停", "up"]


class NamedLinker:
    """Every word with a capital is a company."""

    def link(self, document: Document) -> list[LinkedEntity]:
        starts = [at for at in range(len(document.text)) if document.text[at].isupper()]
        return [LinkedEntity(document.text[at], document.text[at], 0.9, ((at, at + 1),)) for at in starts]


def labels(text: str) -> dict[str, str]:
    (answer,) = Judge(Backend(), NamedLinker()).judge([document(title="", text=text)])
    assert isinstance(answer, Judgement)
    return {mention.id: mention.sentiment.label for mention in answer.entities}


def test_several_companies_are_judged_each_by_itself() -> None:
    assert labels("A beats O") == {"A": "positive", "O": "negative"}


def test_one_company_alone_has_the_sentiment_of_the_text() -> None:
    assert labels("O is bad") == {"O": "negative"}
    assert labels("A is bad") == {"A": "negative"}


def test_a_company_whose_name_was_cut_off_has_the_sentiment_of_the_text() -> None:
    assert labels("bad for A, Z") == {"A": "positive", "Z": "negative"}
