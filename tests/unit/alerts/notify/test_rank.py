from __future__ import annotations

from typing import Any

import msgspec
import pytest

from alerts.notify.rank import LEAST, Answer, facts_of, fit, priority_of
from opinion.records import Alert, Severity
from tests.support.records import alert


def answers(count: int, *, mattered: Any) -> list[Answer]:
    found = [some(number) for number in range(count)]
    return [Answer(facts_of(item), mattered(item)) for item in found]


def some(number: int) -> Alert:
    severity = list(Severity)[number % 3]
    window = msgspec.structs.replace(alert().window, stories=1 + number % 7, publishers=1 + number % 5)
    return alert(alert_id=f"al_{number}", subject=f"{'entity:XNAS' if number % 2 else 'topic'}:{number % 4}", severity=severity, window=window)


def test_too_little_teaches_nothing() -> None:
    assert fit(answers(LEAST - 1, mattered=lambda item: item.severity == Severity.CRITICAL)) is None
    assert fit(answers(100, mattered=lambda _: True)) is None


def test_what_people_take_on_comes_first_and_says_why() -> None:
    ranking = fit(answers(60, mattered=lambda item: item.severity == Severity.CRITICAL))
    assert ranking is not None
    critical, warning = (priority_of(alert(subject="topic:0", severity=severity), ranking) for severity in (Severity.CRITICAL, Severity.WARNING))
    assert critical.value > 0.7
    assert warning.value < 0.3
    assert critical.reasons[0] == "+ severity"
    assert warning.reasons[0] == "- severity"


def test_a_subject_that_is_always_dismissed_sinks() -> None:
    ranking = fit(answers(60, mattered=lambda item: item.subject != "topic:0"))
    assert ranking is not None
    assert priority_of(some(0), ranking).value < 0.4 < priority_of(some(2), ranking).value


@pytest.mark.parametrize("seed", range(3))
def test_the_same_answers_give_the_same_model_whatever_their_order(seed: int) -> None:
    given = answers(40, mattered=lambda item: item.window.stories > 3)
    turned = given[seed * 7 :] + given[: seed * 7]
    first, second = fit(given), fit(turned)
    assert first is not None
    assert second is not None
    assert second.weights == pytest.approx(first.weights, abs=1e-6)
