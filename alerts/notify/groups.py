"""Which alerts a receiver is told of together, and when: Alertmanager's rules for groups, as pure functions.

new ──group_wait──▶ told ──something changed, at the next interval──▶ told again ──all resolved──▶ forgotten
                      └──nothing changed for repeat_interval──▶ told again

Source: Alertmanager 0.25, `dispatch/dispatch.go` (when a group is flushed) and `notify/notify.go` (`needsUpdate`: whether it is told); one rule is
ours: an alert that was updated is told like a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from opinion.names import digest
from opinion.records import Alert, AlertStatus, Instant

RECHECK = timedelta(seconds=30)
"""A group of which something is kept back is looked at again after this long, where no interval says when: a silence may have ended."""

END_TOLD_FOR = timedelta(minutes=5)
"""A receiver that forgets is told of an end for so long, should it have lost it (Alertmanager's guide for clients of its API)."""


class NoticeReason(StrEnum):
    """Why a receiver is told."""

    FIRST = "first"  # nothing of this group was told before
    NEW_ALERTS = "new_alerts"  # an alert began or grew
    RESOLVED = "resolved"  # some have ended
    ALL_RESOLVED = "all_resolved"
    REPEAT = "repeat"  # the repeat interval has passed
    DIGEST = "digest"  # quiet hours are over
    TEST = "test"
    DISABLED = "disabled"  # another receiver is told no more


class Timing(Struct, frozen=True, kw_only=True):
    """How long groups wait."""

    wait: timedelta = timedelta(0)  # from a group's first alert to its first notice
    interval: timedelta = timedelta(0)  # between two looks at a group; zero: whenever something changes
    repeat: timedelta | None = None  # between two notices of the same; None: never again
    forgets: bool = False  # whether the receiver forgets what it does not hear of: what is acknowledged is repeated too, and for a while what is over


class Told(Struct, frozen=True, kw_only=True):
    """What a receiver knows of a group."""

    firing: dict[str, int] = field(default_factory=dict)  # alert id -> sequence
    resolved: list[str] = field(default_factory=list)
    at: Instant
    repeats: int = 0  # notices that brought nothing new, since something did


class Group(Struct, frozen=True, kw_only=True):
    """The alerts that one receiver is told of together."""

    subscription_id: str
    labels: dict[str, str]  # that they share
    alerts: dict[str, Alert] = field(default_factory=dict)
    look_at: Instant | None = None  # when it is looked at next; None: once something changes
    looked: bool = False  # whether it ever was
    told: Told | None = None
    woke: bool = False  # whether the next look is the one after quiet hours
    ended: dict[str, Instant] = field(default_factory=dict)  # alert id -> when its end was heard of

    @property
    def key(self) -> str:
        """What tells it from all others."""
        return group_key(self.subscription_id, self.labels)


class Notice(Struct, frozen=True, kw_only=True):
    """What one receiver is to be told at one time."""

    subscription_id: str
    labels: dict[str, str]  # of the group
    reason: NoticeReason
    alerts: list[Alert]  # those on first, then those that ended; the newest transition of each; none of a test, or of another receiver's end
    at: Instant
    repeats: int = 0
    summary: str = ""  # what there is to say where there are no alerts; empty of a test


def group_key(subscription_id: str, labels: Mapping[str, str]) -> str:
    """The key of the group of these labels."""
    return digest("\n".join([subscription_id, *(f"{label}={value}" for label, value in sorted(labels.items()))]), chars=24)


def added(group: Group, alert: Alert, *, at: datetime, timing: Timing) -> Group:
    """The group with a transition of an alert in it; an older one than it knows changes nothing."""
    known = group.alerts.get(alert.alert_id)
    if known is not None and known.sequence >= alert.sequence:
        return group
    alerts = group.alerts | {alert.alert_id: alert}
    ended = group.ended | ({alert.alert_id: at} if alert.status == AlertStatus.RESOLVED else {})
    if not group.looked:
        look_at = group.look_at or at + timing.wait
    elif timing.interval:
        look_at = group.look_at or at + timing.interval
    else:
        look_at = at
    return replace(group, alerts=alerts, ended=ended, look_at=look_at)


def is_due(group: Group, *, at: datetime) -> bool:
    """Whether it is time to look at it."""
    return group.look_at is not None and at >= group.look_at


def postponed(group: Group, *, until: datetime) -> Group:
    """The group, left alone for quiet hours."""
    return replace(group, look_at=until, woke=True)


def looked_at(group: Group, *, at: datetime, timing: Timing, send_resolved: bool, kept_back: Callable[[Alert], bool]) -> tuple[Group | None, Notice | None]:
    """The group after a look, None where nothing is left of it, and what to tell, if anything. Alerts that are kept back do not exist for this look."""
    shown = [alert for alert in group.alerts.values() if not kept_back(alert)]
    firing = {alert.alert_id: alert.sequence for alert in shown if alert.status != AlertStatus.RESOLVED}
    resolved = sorted(alert.alert_id for alert in shown if alert.status == AlertStatus.RESOLVED)
    awake = timing.forgets or any(alert.acknowledged_by is None for alert in shown if alert.alert_id in firing)
    reason = _reason(group.told, firing, resolved, at=at, repeat=timing.repeat if awake else None, send_resolved=send_resolved) if shown else None
    told, notice = group.told, None
    if reason is not None:
        repeats = 0 if reason is not NoticeReason.REPEAT or told is None else told.repeats + 1
        told = Told(firing=firing, resolved=resolved, at=at, repeats=repeats)
        listed = [alert for alert in shown if alert.alert_id in firing or send_resolved]
        if listed:
            ordered = sorted(listed, key=lambda alert: (alert.status == AlertStatus.RESOLVED, alert.started_at, alert.alert_id))
            reason = NoticeReason.DIGEST if group.woke and len(ordered) > 1 else reason
            notice = Notice(subscription_id=group.subscription_id, labels=group.labels, reason=reason, alerts=ordered, at=at, repeats=repeats)
    end_told_for = END_TOLD_FOR if timing.forgets and send_resolved and told is not None else timedelta(0)
    left = {alert_id: alert for alert_id, alert in group.alerts.items() if alert.status != AlertStatus.RESOLVED or at < group.ended.get(alert_id, at) + end_told_for}
    ended = {alert_id: since for alert_id, since in group.ended.items() if alert_id in left}
    if not left:
        return None, notice
    look_at = _next_look(told, at=at, timing=timing, hidden=len(left) > len(firing) + len(ended))
    return replace(group, alerts=left, told=told, looked=True, look_at=look_at, woke=False, ended=ended), notice


def _reason(told: Told | None, firing: Mapping[str, int], resolved: list[str], *, at: datetime, repeat: timedelta | None, send_resolved: bool) -> NoticeReason | None:
    if told is None:
        return NoticeReason.FIRST if firing else None
    if any(told.firing.get(alert_id, 0) < sequence for alert_id, sequence in firing.items()):
        return NoticeReason.NEW_ALERTS
    if not firing and told.firing:
        return NoticeReason.ALL_RESOLVED
    news = not set(resolved) <= set(told.resolved)
    if not firing and news:
        return None  # what began and ended meanwhile is news to nobody
    if send_resolved and news:
        return NoticeReason.RESOLVED
    return NoticeReason.REPEAT if repeat is not None and at >= told.at + repeat else None


def _next_look(told: Told | None, *, at: datetime, timing: Timing, hidden: bool) -> datetime | None:
    if timing.interval:
        return at + timing.interval
    looks = [at + RECHECK] if hidden else []
    if told is not None and timing.repeat is not None:
        looks.append(max(told.at + timing.repeat, at + timedelta(seconds=1)))
    return min(looks, default=None)
