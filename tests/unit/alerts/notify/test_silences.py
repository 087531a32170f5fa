from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from alerts.notify.labels import matcher_of
from alerts.notify.silences import Inhibition, Silence, inhibiting, silence_of, silencing
from opinion.errors import ConfigError
from opinion.records import AlertStatus, Severity
from tests.support.records import NOON, alert

HOUR = timedelta(hours=1)


def silence(**changes: Any) -> Silence:
    fields: dict[str, Any] = {"matchers": ["severity=high"], "starts_at": NOON, "ends_at": NOON + HOUR, "author": "ann", "comment": "known", "now": NOON}
    return silence_of(**(fields | changes))


@pytest.mark.parametrize(("at", "state"), [(NOON - HOUR, "pending"), (NOON, "active"), (NOON + HOUR, "expired")])
def test_a_silence_is_on_from_its_start_to_before_its_end(at: datetime, state: str) -> None:
    assert silence().state(at) == state
    assert (silencing(alert(), [silence()], at=at) is not None) is (state == "active")


def test_other_alerts_are_not_silenced() -> None:
    assert silencing(alert(severity=Severity.CRITICAL), [silence()], at=NOON) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"matchers": []}, "matchers"),
        ({"matchers": ["subject=~.*"]}, "no label"),
        ({"matchers": ["severity=="]}, "matcher"),
        ({"ends_at": NOON}, "end"),
        ({"ends_at": NOON - HOUR, "starts_at": NOON - 2 * HOUR}, "past"),
        ({"author": " "}, "author"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        silence(**changes)


def test_the_same_request_gives_the_same_silence() -> None:
    assert silence().id == silence().id != silence(comment="another").id


RULE = Inhibition(source=[matcher_of("severity=critical")], target=[matcher_of("severity=~high|critical")], equal=["lane"])


def test_a_worse_alert_inhibits_another() -> None:
    worse = alert(alert_id="al_2", severity=Severity.CRITICAL)
    assert inhibiting(alert(), [alert(), worse], [RULE]) == worse
    assert inhibiting(alert(), [alert(), alert(alert_id="al_2", severity=Severity.CRITICAL, status=AlertStatus.RESOLVED)], [RULE]) is None


def test_nothing_inhibits_itself_nor_do_two_of_both_sides_inhibit_each_other() -> None:
    one, two = alert(severity=Severity.CRITICAL), alert(alert_id="al_2", severity=Severity.CRITICAL)
    assert inhibiting(one, [one, two], [RULE]) is None
