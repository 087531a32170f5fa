"""Scripted lives of alerts, to be told by Alertmanager and by us alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from alerts.notify.labels import labels_of
from opinion.records import Alert, AlertEvidence, AlertStatus, Severity, TransitionReason
from tests.support.records import alert

WAIT_S, INTERVAL_S = 1.0, 4.0
"""Of all groups."""
LENGTH_S = 18.0
"""All that happens in a case happens within this."""
INHIBITION = {"source": ['severity="critical"'], "target": ['severity="warning"'], "equal": ["story"]}


@dataclass(frozen=True)
class Step:
    """Something that happens `at_s` seconds after the beginning."""

    at_s: float
    verb: str  # fire, resolve, silence, unsilence
    name: str  # of the alert; of a silence, the alert that it silences
    severity: str = "high"
    story: str = "s1"
    for_s: float = 60.0  # a silence


@dataclass(frozen=True)
class Case:
    """One receiver and what happens to its alerts."""

    name: str
    steps: tuple[Step, ...]
    send_resolved: bool = True
    repeat_s: float = 60.0
    group_by: tuple[str, ...] = ("story",)
    expected: tuple[tuple[str, str], ...] = ()  # what is told, in order: names of those on, names of those over
    sooner_s: float = 0.0  # we may tell so much sooner than Alertmanager, which keeps the rhythm of an empty group for up to 30 s


def _fire(at_s: float, name: str, **more: str) -> Step:
    return Step(at_s, "fire", name, **more)  # type: ignore[arg-type]


def _resolve(at_s: float, name: str, **more: str) -> Step:
    return Step(at_s, "resolve", name, **more)  # type: ignore[arg-type]


CASES = (
    Case("one_fires_and_resolves", (_fire(0, "a"), _resolve(6, "a")), expected=(("a", ""), ("", "a"))),
    Case("two_within_the_wait_travel_together", (_fire(0, "a"), _fire(0.4, "b")), expected=(("ab", ""),)),
    Case("one_that_joins_later_waits_for_the_interval", (_fire(0, "a"), _fire(2, "b")), expected=(("a", ""), ("ab", ""))),
    Case("nothing_new_is_not_told", (_fire(0, "a"), _fire(3, "a"), _fire(7, "a")), expected=(("a", ""),)),
    Case("repeated_after_the_repeat_interval", (_fire(0, "a"),), repeat_s=7, expected=(("a", ""), ("a", ""), ("a", ""))),
    Case("over_before_the_wait_is_never_told", (_fire(0, "a"), _resolve(0.5, "a")), expected=()),
    Case("one_of_two_ends", (_fire(0, "a"), _fire(0.2, "b"), _resolve(6, "b")), expected=(("ab", ""), ("a", "b"))),
    Case("all_end_at_once", (_fire(0, "a"), _fire(0.2, "b"), _resolve(6, "a"), _resolve(6.3, "b")), expected=(("ab", ""), ("", "ab"))),
    Case("ends_are_left_out_where_nobody_wants_them", (_fire(0, "a"), _fire(0.2, "b"), _resolve(6, "b"), _resolve(11, "a")), send_resolved=False, expected=(("ab", ""),)),
    Case("began_and_ended_between_two_looks", (_fire(0, "a"), _fire(2, "b"), _resolve(3.5, "b")), expected=(("a", ""), ("a", "b"))),
    Case("fires_again_after_its_end", (_fire(0, "a"), _resolve(2, "a"), _fire(10, "a")), expected=(("a", ""), ("", "a"), ("a", "")), sooner_s=INTERVAL_S),
    Case("two_groups_are_told_apart", (_fire(0, "a"), _fire(0.2, "b", story="s2")), expected=(("a", ""), ("b", ""))),
    Case("silenced_before_it_fires", (Step(0, "silence", "a"), _fire(0.5, "a"), _fire(0.6, "b")), expected=(("b", ""),)),
    Case("told_once_its_silence_ends", (Step(0, "silence", "a", for_s=3.0), _fire(0.5, "a")), expected=(("a", ""),)),
    Case("a_silence_that_somebody_ends", (Step(0, "silence", "a"), _fire(0.5, "a"), Step(4, "unsilence", "a")), expected=(("a", ""),)),
    Case("its_end_is_not_told_while_silenced", (_fire(0, "a"), Step(3, "silence", "a"), _resolve(6, "a")), expected=(("a", ""),)),
    Case("inhibited_by_a_worse_one", (_fire(0, "a", severity="critical"), _fire(0.3, "b", severity="warning")), expected=(("a", ""),)),
    Case("not_inhibited_by_one_of_another_story", (_fire(0, "a", severity="critical"), _fire(0.3, "b", severity="warning", story="s2")), expected=(("a", ""), ("b", ""))),
    Case(
        "told_once_what_inhibited_it_is_over",
        (_fire(0, "a", severity="critical"), _fire(0.3, "b", severity="warning"), _resolve(6, "a", severity="critical")),
        expected=(("a", ""), ("b", "a")),
    ),
)


def subject_of(case: Case, name: str) -> str:
    """The subject of an alert of a case: the market stands for the case."""
    return f"entity:{case.name}:{name}"


def transition(case: Case, step: Step, *, episode: int, sequence: int, started_at: datetime, at: datetime) -> Alert:
    """The transition that a step makes."""
    over = step.verb == "resolve"
    evidence = AlertEvidence(
        doc_id="d", title="t", url=None, publisher="p", published_at=None, lang="en", negative=0.9, story_size=1, story_id=f"{case.name}.{step.story}", kind="news"
    )
    return alert(
        sequence,
        alert_id=f"al_{case.name}_{step.name}_{episode}",
        subject=subject_of(case, step.name),
        subject_name=step.name,
        severity=Severity(step.severity),
        status=AlertStatus.RESOLVED if over else AlertStatus.FIRING,
        reason=TransitionReason.CALM_AGAIN if over else TransitionReason.THRESHOLD_PASSED,
        started_at=started_at,
        updated_at=at,
        ended_at=at if over else None,
        evidence=[evidence],
    )


def lasting_labels(found: Alert) -> Mapping[str, str]:
    """The labels that stay the same from one episode to the next, as Alertmanager wants them."""
    return {name: value for name, value in labels_of(found).items() if name != "alert_id"}


def instants(start: datetime, steps: tuple[Step, ...]) -> list[tuple[datetime, Step]]:
    """When each step happens."""
    return [(start + timedelta(seconds=step.at_s), step) for step in steps]
