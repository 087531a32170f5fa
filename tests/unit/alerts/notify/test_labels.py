from __future__ import annotations

import pytest

from alerts.notify.labels import fits, labels_of, matcher_of
from opinion.errors import ConfigError
from opinion.records import AlertEvidence
from tests.support.records import alert


def evidence(**changes: object) -> AlertEvidence:
    fields = {"doc_id": "d", "title": "t", "url": None, "publisher": "p", "published_at": None, "lang": "en", "negative": 0.9, "story_size": 1, "story_id": "st_1", "kind": "news"}
    return AlertEvidence(**(fields | changes))  # type: ignore[arg-type]


def test_labels_say_what_an_alert_is() -> None:
    assert labels_of(alert(evidence=[evidence()])) == {
        "alertname": "NegativeOpinion",
        "alert_id": "al_1",
        "subject": "entity:XDEM:HSRY",
        "subject_kind": "entity",
        "subject_name": "Huasui Dairy",
        "market": "XDEM",
        "severity": "high",
        "lane": "share",
        "story": "st_1",
    }
    assert "market" not in labels_of(alert(subject="topic:Macro"))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('severity="high"', True),
        ("severity=high", True),
        ('severity != "high"', False),
        ('subject =~ "entity:XDEM:.*"', True),
        ('subject =~ "XDEM"', False),  # patterns match the whole value
        ('subject !~ "topic:.*"', True),
        ('market = ""', False),
        ('nowhere = ""', True),
        (r'subject_name = "Huasui \"Dairy\""', False),
    ],
)
def test_matchers_are_alertmanager_s(text: str, wanted: bool) -> None:
    assert matcher_of(text).fits(labels_of(alert())) is wanted
    assert matcher_of(str(matcher_of(text))) == matcher_of(text)


@pytest.mark.parametrize("text", ["", "severity", "severity==high", "1a=b", 'a="b', "a=~(", "a=~(x+)+", "a=~" + "x" * 300, "a=b c"])
def test_wrong_matchers_are_refused_in_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        matcher_of(text)
    assert "\n" not in str(caught.value)


def test_all_conditions_must_hold() -> None:
    labels = {"a": "1", "b": "2"}
    assert fits([matcher_of("a=1"), matcher_of("b=2")], labels)
    assert not fits([matcher_of("a=1"), matcher_of("b=3")], labels)
