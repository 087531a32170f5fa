"""Before an alert: a window passes its threshold, but so far by one voice, or by what may be chance. Nobody is told; who looks can see it.

idle ──passes, held back──▶ pending ──no longer held back──▶ fires under the same id        pending ──calm for as long as ends an alert──▶ lapsed
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from alerts.detect.rules import Rules
from alerts.lifecycle import DAY, Episode, Transition, bucket_of, is_armed, over_of
from opinion.names import alert_id_of
from opinion.records import AlertStatus, Instant, Scan, Severity, Spike, TransitionReason
from opinion.windows import PANE_S

SEQUENCE = 0
"""Of what comes before the first transition of an alert. Receivers hear from 1 on."""
WAITING = (TransitionReason.FEW_VOICES, TransitionReason.MAY_BE_CHANCE)
"""Why nobody is told yet."""


class Pending(Struct, frozen=True, kw_only=True):
    """A subject that waits: all that has to be remembered of it."""

    subject: str
    alert_id: str  # that the alert will have
    began_at: Instant
    hot_at: Instant  # when a window last passed
    spike: Spike  # the first that did
    lapsed_at: Instant | None = None  # None while it waits

    def lapsed(self, at: datetime) -> tuple[Pending, Transition]:
        """Nothing came of it."""
        return msgspec.structs.replace(self, lapsed_at=at), _told(self, self.spike, at=at, status=AlertStatus.RESOLVED, reason=TransitionReason.LAPSED)

    def forgotten(self, at: datetime) -> bool:
        """Whether no window holds it any more."""
        return self.lapsed_at is not None and at >= self.lapsed_at + DAY

    def due(self, patience: timedelta) -> datetime:
        """When it lapses, unless a window passes before."""
        due_s = -(-(self.hot_at + patience).timestamp() // PANE_S) * PANE_S
        return datetime.fromtimestamp(due_s, self.hot_at.tzinfo)


def wait(pending: Pending | None, spike: Spike, *, last: Episode | None, rules: Rules) -> tuple[Pending | None, Transition | None]:
    """What waits after one evaluation of a subject whose alert is off, and what to tell.

    Only whole minutes count: an open one is looked at as often as anybody likes, and the id must not depend on that.
    """
    reason = waits_for(spike, last=last, rules=rules)
    if reason is None or spike.at.timestamp() % PANE_S:
        return pending, None
    if pending is not None and spike.scan == Scan.DAY != pending.spike.scan:
        return pending, None  # its window holds what the other saw: it tells the same once more
    if pending is not None and pending.lapsed_at is None:
        return msgspec.structs.replace(pending, hot_at=spike.at), None
    alert_id = alert_id_of(spike.subject, spike.lane.value, bucket_of(spike.at, rules, last=last))
    began = Pending(subject=spike.subject, alert_id=alert_id, began_at=spike.at, hot_at=spike.at, spike=spike)
    return began, _told(began, spike, at=spike.at, status=AlertStatus.PENDING, reason=reason)


def waits_for(spike: Spike, *, last: Episode | None, rules: Rules) -> TransitionReason | None:
    """Why a window that passes begins no alert; None where it begins one, passes nothing, or its companies' alerts tell it already."""
    over = over_of(spike, rules)
    if not spike.surging or not is_armed(last, spike, rules, over=over):
        return None
    if over >= 0:
        return TransitionReason.MAY_BE_CHANCE if spike.held else None
    unexplained = msgspec.structs.replace(spike, explained=0)
    return TransitionReason.FEW_VOICES if over_of(unexplained, rules) < 0 else None


def _told(pending: Pending, spike: Spike, *, at: datetime, status: AlertStatus, reason: TransitionReason) -> Transition:
    return Transition(
        subject=pending.subject,
        alert_id=pending.alert_id,
        sequence=SEQUENCE,
        status=status,
        reason=reason,
        severity=Severity.WARNING,
        lane=spike.lane,
        started_at=pending.began_at,
        at=at,
        spike=spike,
    )
