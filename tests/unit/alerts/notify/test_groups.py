from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from alerts.notify.groups import RECHECK, Group, Notice, NoticeReason, Timing, added, is_due, looked_at, postponed
from opinion.records import Alert, AlertStatus
from tests.support.records import NOON, alert

AT_ONCE = Timing()
SECOND = timedelta(seconds=1)


def empty() -> Group:
    return Group(subscription_id="sub_1", labels={"alert_id": "al_1"})


def look(group: Group, *, at: datetime = NOON, timing: Timing = AT_ONCE, hidden: Sequence[str] = (), send_resolved: bool = True) -> tuple[Group | None, Notice | None]:
    return looked_at(group, at=at, timing=timing, send_resolved=send_resolved, kept_back=lambda found: found.alert_id in hidden)


def told(group: Group, found: Alert, *, at: datetime = NOON, timing: Timing = AT_ONCE) -> Group:
    left, notice = look(added(group, found, at=at, timing=timing), at=at, timing=timing)
    assert left is not None
    assert notice is not None
    return left


def test_an_alert_by_itself_is_told_at_once_and_then_rests() -> None:
    group = added(empty(), alert(), at=NOON, timing=AT_ONCE)
    assert is_due(group, at=NOON)
    left, notice = look(group)
    assert notice is not None
    assert (notice.reason, notice.alerts) == (NoticeReason.FIRST, [alert()])
    assert left is not None
    assert not is_due(left, at=NOON + timedelta(days=30))


def test_an_update_is_told_like_something_new() -> None:
    group = told(empty(), alert())
    _, notice = look(added(group, alert(2, status=AlertStatus.UPDATED), at=NOON + SECOND, timing=AT_ONCE), at=NOON + SECOND)
    assert notice is not None
    assert (notice.reason, [found.sequence for found in notice.alerts]) == (NoticeReason.NEW_ALERTS, [2])


def test_what_is_known_already_changes_nothing() -> None:
    group = told(empty(), alert(2))
    assert added(group, alert(2), at=NOON + SECOND, timing=AT_ONCE) is group
    assert added(group, alert(1), at=NOON + SECOND, timing=AT_ONCE) is group


def test_a_group_is_forgotten_once_all_is_over() -> None:
    group = added(told(empty(), alert()), alert(2, status=AlertStatus.RESOLVED), at=NOON + SECOND, timing=AT_ONCE)
    left, notice = look(group, at=NOON + SECOND)
    assert left is None
    assert notice is not None
    assert notice.reason is NoticeReason.ALL_RESOLVED
    _, quiet = look(group, at=NOON + SECOND, send_resolved=False)
    assert quiet is None


def test_what_is_kept_back_is_told_once_it_is_not() -> None:
    group = added(empty(), alert(), at=NOON, timing=AT_ONCE)
    left, notice = look(group, hidden=["al_1"])
    assert notice is None
    assert left is not None
    assert left.look_at == NOON + RECHECK
    _, notice = look(left, at=NOON + RECHECK)
    assert notice is not None


def test_nobody_is_reminded_of_what_somebody_took_on() -> None:
    timing = Timing(repeat=timedelta(hours=1))
    later = NOON + timedelta(hours=1)
    _, notice = look(told(empty(), alert(), timing=timing), at=later, timing=timing)
    assert notice is not None
    assert (notice.reason, notice.repeats) == (NoticeReason.REPEAT, 1)
    _, notice = look(told(empty(), alert(acknowledged_by="ann"), timing=timing), at=later, timing=timing)
    assert notice is None


def test_what_came_in_quiet_hours_is_told_together_at_their_end() -> None:
    timing = Timing(wait=SECOND, interval=timedelta(minutes=5))
    group = added(added(empty(), alert(), at=NOON, timing=timing), alert(alert_id="al_2"), at=NOON, timing=timing)
    group = postponed(group, until=NOON + timedelta(hours=8))
    assert not is_due(group, at=NOON + timedelta(hours=7))
    left, notice = look(group, at=NOON + timedelta(hours=8), timing=timing)
    assert notice is not None
    assert (notice.reason, len(notice.alerts)) == (NoticeReason.DIGEST, 2)
    assert left is not None
    assert not left.woke


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["al_1", "al_2", "al_3"]), st.integers(1, 6), st.booleans(), st.integers(0, 400)),
        max_size=20,
    ),
    interval_s=st.sampled_from([0, 60]),
)
def test_every_transition_that_lasts_is_told_and_none_twice(steps: list[tuple[str, int, bool, int]], interval_s: int) -> None:
    """Whatever comes in whatever order: the newest state of every alert is told by the last look, and no (alert, sequence) is news twice."""
    timing = Timing(wait=timedelta(seconds=interval_s / 2), interval=timedelta(seconds=interval_s))
    at, group, news = NOON, empty(), list[tuple[str, int]]()
    newest: dict[str, Alert] = {}
    for alert_id, sequence, over, later_s in steps:
        at += timedelta(seconds=later_s)
        if newest.get(alert_id) is not None and newest[alert_id].status == AlertStatus.RESOLVED:
            continue
        found = alert(sequence, alert_id=alert_id, status=AlertStatus.RESOLVED if over else AlertStatus.FIRING)
        if alert_id not in newest or newest[alert_id].sequence < sequence:
            newest[alert_id] = found
        group, news = _step(added(group, found, at=at, timing=timing), news, at=at, timing=timing)
    group, news = _step(group, news, at=at + timedelta(hours=1), timing=timing)
    assert len(news) == len(set(news))
    assert {(found.alert_id, found.sequence) for found in newest.values() if found.status != AlertStatus.RESOLVED} <= set(news)


def _step(group: Group, news: list[tuple[str, int]], *, at: datetime, timing: Timing) -> tuple[Group, list[tuple[str, int]]]:
    if not is_due(group, at=at):
        return group, news
    known = {} if group.told is None else group.told.firing
    left, notice = look(group, at=at, timing=timing)
    if notice is not None and notice.reason is not NoticeReason.REPEAT:
        firing = [found for found in notice.alerts if found.status != AlertStatus.RESOLVED]
        news = news + [(found.alert_id, found.sequence) for found in firing if known.get(found.alert_id, 0) < found.sequence]
    return left or empty(), news
