"""Groups of a receiver that forgets what it does not hear of: Alertmanager."""

from __future__ import annotations

from datetime import datetime, timedelta

from alerts.notify.groups import END_TOLD_FOR, Group, Notice, NoticeReason, Timing, added, is_due, looked_at
from opinion.records import Alert
from tests.support.notices import ended_alert, many_alerts, whole_alert
from tests.support.records import NOON

MINUTE = timedelta(minutes=1)
FORGETS = Timing(repeat=MINUTE, forgets=True)


class Receiver:
    """One group, looked at when it is due."""

    def __init__(self, *, timing: Timing = FORGETS, send_resolved: bool = True) -> None:
        self.group: Group | None = Group(subscription_id="sub_desk", labels={})
        self.silenced: set[str] = set()
        self._timing = timing
        self._send_resolved = send_resolved

    def hears(self, alert: Alert, at: datetime) -> Notice | None:
        assert self.group is not None
        self.group = added(self.group, alert, at=at, timing=self._timing)
        return self.look(at)

    def look(self, at: datetime) -> Notice | None:
        if self.group is None or not is_due(self.group, at=at):
            return None
        self.group, notice = looked_at(self.group, at=at, timing=self._timing, send_resolved=self._send_resolved, kept_back=lambda one: one.alert_id in self.silenced)
        return notice

    def told(self, since: datetime, *, minutes: int) -> list[tuple[int, NoticeReason, list[str]]]:
        """What is told in the minutes after `since`: which minute, why, and of which alerts."""
        found = [(minute, self.look(since + minute * MINUTE)) for minute in range(1, minutes + 1)]
        return [(minute, notice.reason, [alert.alert_id for alert in notice.alerts]) for minute, notice in found if notice is not None]


def test_what_is_on_is_told_every_minute() -> None:
    receiver = Receiver()
    assert receiver.hears(whole_alert(), NOON) is not None
    assert receiver.told(NOON, minutes=4) == [(minute, NoticeReason.REPEAT, ["al_1"]) for minute in (1, 2, 3, 4)]


def test_what_is_acknowledged_is_still_told() -> None:
    receiver = Receiver()
    receiver.hears(whole_alert(acknowledged_by="Li Na"), NOON)
    assert [minute for minute, _, _ in receiver.told(NOON, minutes=2)] == [1, 2]
    others = Receiver(timing=Timing(repeat=MINUTE))
    others.hears(whole_alert(acknowledged_by="Li Na"), NOON)
    assert others.told(NOON, minutes=2) == []


def test_an_end_is_told_again_for_some_minutes_and_then_forgotten() -> None:
    receiver = Receiver()
    receiver.hears(whole_alert(), NOON)
    over = receiver.hears(ended_alert(), NOON + MINUTE)
    assert over is not None
    assert over.reason is NoticeReason.ALL_RESOLVED
    minutes = [minute for minute, _, _ in receiver.told(NOON + MINUTE, minutes=20)]
    assert minutes == list(range(1, 1 + END_TOLD_FOR // MINUTE))
    assert receiver.group is None


def test_an_end_among_others_leaves_after_its_minutes() -> None:
    receiver = Receiver()
    first, second = many_alerts(2)
    receiver.hears(first, NOON)
    receiver.hears(second, NOON)
    over = receiver.hears(ended_alert(alert_id=second.alert_id), NOON + MINUTE)
    assert over is not None
    assert over.reason is NoticeReason.RESOLVED
    told = receiver.told(NOON + MINUTE, minutes=8)
    assert [len(ids) for _, _, ids in told] == [2, 2, 2, 2, 2, 1, 1, 1]
    assert {reason for _, reason, _ in told} == {NoticeReason.REPEAT}


def test_an_end_is_not_told_where_ends_are_not_wanted() -> None:
    receiver = Receiver(send_resolved=False)
    receiver.hears(whole_alert(), NOON)
    assert receiver.hears(ended_alert(), NOON + MINUTE) is None
    assert receiver.group is None


def test_what_began_and_ended_silenced_is_never_told() -> None:
    receiver = Receiver()
    receiver.silenced.add("al_1")
    assert receiver.hears(whole_alert(), NOON) is None
    receiver.silenced.clear()
    assert receiver.hears(ended_alert(), NOON + MINUTE) is None
    assert receiver.group is None


def test_a_silenced_one_that_ends_is_no_news_to_an_ordinary_receiver() -> None:
    receiver = Receiver(timing=Timing())
    first, second = many_alerts(2)
    receiver.silenced.add(second.alert_id)
    receiver.hears(first, NOON)
    receiver.hears(second, NOON)
    receiver.hears(ended_alert(alert_id=first.alert_id), NOON + MINUTE)
    receiver.silenced.clear()
    assert receiver.hears(ended_alert(alert_id=second.alert_id), NOON + 2 * MINUTE) is None
