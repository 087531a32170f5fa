from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from alerts.catching_up import caught_up, marks_of, watched
from alerts.compose import window_of
from alerts.detector import Detector, DetectorState
from alerts.lifecycle import Episode, Transition
from alerts.source_watch import SourceAlert, Watching
from opinion.records import Alert, AlertNote, AlertStatus, Lane, Scan, TransitionReason
from tests.support.records import NOON, alert
from tests.support.surges import COMPANY, MONDAY, STUDIED, look, put, quiet, with_surge

HOUR = timedelta(hours=1)
MINUTES = with_surge(quiet(hours=30), at_hour=24, hours=1.5, per_hour=60)


def told(transition: Transition, **changes: Any) -> Alert:
    """The transition as the log has it."""
    fields = {name: getattr(transition, name) for name in ("alert_id", "subject", "severity", "status", "reason", "lane", "started_at")}
    over = transition.status == AlertStatus.RESOLVED
    return alert(transition.sequence, window=window_of(transition.spike), updated_at=transition.at, ended_at=transition.at if over else None, **(fields | changes))


def life(detector: Detector, *, first: int, last: int) -> list[Transition]:
    """What a detector tells, looking every ten minutes."""
    found: list[Transition] = []
    for minute in range(first, last, 10):
        put(detector, MINUTES, first=minute - 10, last=minute)
        found += [transition for transition in look(detector, minute) if transition.sequence]
    return found


@pytest.mark.parametrize("stop", [24 * 60 + 60, 29 * 60], ids=["while it is on", "once it is over"])
def test_a_state_that_is_older_than_the_log_goes_on_as_if_it_were_not(stop: int) -> None:
    detector = Detector(STUDIED)
    assert life(detector, first=10, last=24 * 60) == []
    saved = detector.state()
    since = life(detector, first=24 * 60, last=stop)
    assert since
    again = Detector(STUDIED)
    put(again, MINUTES, first=0, last=stop)
    again.restore(caught_up(saved, [told(transition) for transition in since]))
    put(again, MINUTES, first=0, last=stop)
    (episode,) = again.state().episodes.values()
    (known,) = detector.state().episodes.values()
    for name in ("alert_id", "sequence", "severity", "started_at", "ended_at", "scan"):
        assert getattr(episode, name) == getattr(known, name), name
    assert again.firing() == detector.firing()
    later, expected = life(again, first=stop, last=30 * 60), life(detector, first=stop, last=30 * 60)
    assert [(item.alert_id, item.sequence, item.status, item.at) for item in later] == [(item.alert_id, item.sequence, item.status, item.at) for item in expected]


def test_what_the_state_knows_already_changes_nothing() -> None:
    detector = Detector(STUDIED)
    found = life(detector, first=10, last=29 * 60)
    state = detector.state()
    assert caught_up(state, [told(transition) for transition in found]) == state


def test_an_earlier_alert_of_a_subject_does_not_take_the_place_of_a_later_one() -> None:
    detector = Detector(STUDIED)
    life(detector, first=10, last=26 * 60)
    state = detector.state()
    old = alert(2, subject=COMPANY, alert_id="al_old", started_at=MONDAY, updated_at=MONDAY + HOUR, ended_at=MONDAY + HOUR, status=AlertStatus.RESOLVED)
    assert caught_up(state, [old]).episodes == state.episodes


def test_an_act_counts_as_told_and_not_as_looked_at() -> None:
    state = DetectorState(evaluated_s=int(NOON.timestamp()))
    acted = alert(2, status=AlertStatus.UPDATED, reason=TransitionReason.ACKNOWLEDGED, updated_at=NOON + HOUR, acknowledged_by="ann", acknowledged_at=NOON + HOUR)
    after = caught_up(state, [alert(1), acted])
    (episode,) = after.episodes.values()
    assert (episode.sequence, episode.hot_at, after.evaluated_s) == (2, NOON, int(NOON.timestamp()))


@pytest.mark.parametrize(
    ("lane", "width_s", "scan"), [(Lane.SHARE, 3600, Scan.SHARE), (Lane.SHARE, 86_400, Scan.DAY), (Lane.COUNT, 3600, Scan.COUNT)], ids=["share", "day", "count"]
)
def test_the_scan_of_an_alert_is_told_by_its_lane_and_window(lane: Lane, width_s: int, scan: Scan) -> None:
    one = alert(1, lane=lane)
    after = caught_up(DetectorState(), [replace(one, window=replace(one.window, width_s=width_s))])
    (episode,) = after.episodes.values()
    assert isinstance(episode, Episode)
    assert (episode.scan, episode.peak.scan) == (scan, scan)


def test_alerts_on_sources_stay_on_and_end() -> None:
    lost = {"lane": Lane.SOURCE, "reason": TransitionReason.SOURCE_LOST}
    on = alert(1, alert_id="al_a", subject="source:a", **lost)
    over = alert(2, alert_id="al_b", subject="source:b", status=AlertStatus.RESOLVED, **(lost | {"reason": TransitionReason.SOURCE_BACK}))
    before = Watching(on={"source:b": SourceAlert(alert_id="al_b", sequence=1, started_at=NOON)}, since={"source:a": NOON, "source:c": NOON})
    after = watched(before, [on, over, alert(1)])
    assert after == Watching(on={"source:a": SourceAlert(alert_id="al_a", sequence=1, started_at=NOON)}, since={"source:c": NOON})
    assert caught_up(DetectorState(), [on, over]) == DetectorState()


def test_marks_are_those_of_the_transition() -> None:
    note = AlertNote(by="ann", at=NOON, text="seen")
    found = marks_of(alert(3, acknowledged_by="ann", acknowledged_at=NOON, assigned_to="bob", notes=[note], muted=True))
    assert found.on(alert(4)) == alert(4, acknowledged_by="ann", acknowledged_at=NOON, assigned_to="bob", notes=[note], muted=True)
