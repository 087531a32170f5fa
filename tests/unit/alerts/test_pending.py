from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from alerts.compose import summary_en, summary_zh
from alerts.detect.rules import Rules
from alerts.detector import Detector
from alerts.lifecycle import Episode, Transition
from alerts.pending import wait, waits_for
from opinion.records import Severity, Spike, TransitionReason
from tests.support.surges import MONDAY, STUDIED, filled, look, put, quiet, spike, with_surge

SURGE = with_surge(quiet(hours=40), at_hour=30, hours=2, per_hour=60)
RULES = Rules()
FEW: dict[str, Any] = {"stories": 1, "publishers": 1}


def steps(told: list[Transition]) -> list[tuple[int, str, str]]:
    return [(item.sequence, item.status.value, item.reason.value) for item in told]


def minutely(detector: Detector, *, first: int, last: int, **breadth: Any) -> list[Transition]:
    told: list[Transition] = []
    for minute in range(first, last):
        put(detector, SURGE, first=minute - 1, last=minute)
        told += look(detector, minute, **breadth)
    return told


def test_one_story_alone_is_held_back_and_comes_to_nothing() -> None:
    told = look(filled(SURGE), 40 * 60, **FEW)
    assert steps(told) == [(0, "pending", "few_voices"), (0, "resolved", "lapsed")]
    began, lapsed = told
    assert MONDAY + timedelta(hours=30) < began.at < MONDAY + timedelta(hours=31)
    assert lapsed.at > MONDAY + timedelta(hours=32) + RULES.resolve_after
    assert began.alert_id == lapsed.alert_id
    assert began.started_at == lapsed.started_at == began.at


def test_what_was_held_back_fires_under_the_same_id_once_more_tell_it() -> None:
    detector = filled([])
    told = minutely(detector, first=1, last=31 * 60 + 20, **FEW)
    assert steps(told) == [(0, "pending", "few_voices")]
    assert detector.pending == 1
    told += minutely(detector, first=31 * 60 + 20, last=40 * 60, stories=50)
    assert steps(told)[1][:2] == (1, "firing")
    assert steps(told)[-1] == (told[-1].sequence, "resolved", "calm_again")
    assert {item.alert_id for item in told} == {told[0].alert_id}
    assert detector.pending == 0
    assert detector.firing() == {}


def test_a_surge_that_fires_at_once_was_never_held_back() -> None:
    assert "pending" not in {status for _, status, _ in steps(look(filled(SURGE), 40 * 60))}


def test_a_restart_keeps_what_is_held_back() -> None:
    first = filled([])
    told = minutely(first, first=1, last=31 * 60, **FEW)
    again = Detector(STUDIED)
    again.restore(first.state(), first.own_tails())
    put(again, SURGE, last=31 * 60)
    told += minutely(again, first=31 * 60, last=36 * 60, **FEW)
    assert steps(told) == [(0, "pending", "few_voices"), (0, "resolved", "lapsed")]


def test_how_often_was_looked_changes_nothing() -> None:
    often = filled([])
    told: list[Transition] = []
    for minute in range(1, 36 * 60):
        put(often, SURGE, first=minute - 1, last=minute)
        told += look(often, minute - 0.5, partial=True, **FEW) + look(often, minute, **FEW)
    once = look(filled(SURGE), 36 * 60 - 1, **FEW)
    assert [(item.alert_id, item.at, item.reason) for item in told] == [(item.alert_id, item.at, item.reason) for item in once]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({}, None, id="fires"),
        pytest.param({"score": 1.0}, None, id="passes nothing"),
        pytest.param({"stories": 1}, TransitionReason.FEW_VOICES, id="one story"),
        pytest.param({"authors": 1, "authored": 41}, TransitionReason.FEW_VOICES, id="one author"),
        pytest.param({"held": True}, TransitionReason.MAY_BE_CHANCE, id="one of many"),
        pytest.param({"explained": 41}, None, id="its companies' alerts tell it"),
        pytest.param({"explained": 20, "stories": 1}, TransitionReason.FEW_VOICES, id="few voices, companies apart"),
    ],
)
def test_why_a_window_that_passes_begins_no_alert(changes: dict[str, Any], reason: TransitionReason | None) -> None:
    assert waits_for(spike(**changes), last=None, rules=RULES) == reason


def test_what_ended_lately_is_not_held_back_but_disarmed() -> None:
    ended = Episode(
        subject=spike().subject,
        scan=spike().scan,
        alert_id="al_1",
        sequence=2,
        severity=Severity.WARNING,
        started_at=MONDAY - timedelta(hours=1),
        hot_at=MONDAY,
        told_over=1.0,
        peak=spike(),
        ended_at=MONDAY,
    )
    assert wait(None, spike(stories=1), last=ended, rules=RULES) == (None, None)
    later = spike(stories=1, at=ended.started_at + RULES.rearm)
    assert wait(None, later, last=ended, rules=RULES)[1] is not None


def test_an_open_minute_holds_nothing_back() -> None:
    assert wait(None, spike(stories=1, at=MONDAY + timedelta(seconds=30)), last=None, rules=RULES) == (None, None)


@pytest.mark.parametrize(
    ("found", "english", "chinese"),
    [(spike(stories=1), "few voices tell it so far", "声源过少"), (spike(held=True), "may do so by chance", "出于偶然")],
)
def test_what_is_read_of_it(found: Spike, english: str, chinese: str) -> None:
    pending, told = wait(None, found, last=None, rules=RULES)
    assert pending is not None
    assert told is not None
    assert english in summary_en("Hesheng Dairy", told)
    assert chinese in summary_zh("和盛乳业", told)
    _, lapsed = pending.lapsed(MONDAY + timedelta(hours=1))
    assert "came to nothing" in summary_en("Hesheng Dairy", lapsed)
    assert "未形成声势" in summary_zh("和盛乳业", lapsed)
