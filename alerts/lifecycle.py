"""The life of an alert, as a pure function of what the lane says.

idle ──surge──▶ firing ──score grew, severity rose──▶ firing (updated) ──calm for an hour──▶ resolved ──re-arm, or a worse surge──▶ idle
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from alerts.detect.evidence import corroborated_score
from alerts.detect.rules import Rules
from opinion.names import alert_id_of
from opinion.records import AlertStatus, Instant, Lane, Scan, Severity, Spike, TransitionReason
from opinion.windows import PANE_S

_RANKS = list(Severity)
DAY = timedelta(days=1)


class Episode(Struct, frozen=True, kw_only=True):
    """The newest alert of a subject: all that has to be remembered of it."""

    subject: str
    scan: Scan  # that began it
    alert_id: str
    sequence: int
    severity: Severity
    started_at: Instant
    hot_at: Instant  # the last evaluation that was not calm
    told_over: float  # the most that a score told so far was above its threshold
    peak: Spike  # the most surprising evaluation, by the same measure
    ended_at: Instant | None = None  # None while it is on


class Transition(Struct, frozen=True, kw_only=True):
    """A step in an alert's life."""

    subject: str
    alert_id: str
    sequence: int
    status: AlertStatus
    reason: TransitionReason
    severity: Severity
    lane: Lane
    started_at: Instant
    at: Instant
    spike: Spike  # the numbers to show: of `at`; of the peak for a resolution


def step(episode: Episode | None, spike: Spike | None, *, at: datetime, rules: Rules, alert_id: str | None = None) -> tuple[Episode | None, Transition | None]:
    """The next state after one evaluation of the subject at `at`, and what to tell, if anything.

    `spike` is None where no window holds enough evidence to be scored; its breadth matters once it surges. An alert
    that begins has `alert_id` where its subject was pending. A finished episode is kept until nothing depends on it any more, then None comes back.
    """
    if episode is None or episode.ended_at is not None:
        return _idle(episode, spike, at=at, rules=rules, alert_id=alert_id)
    if spike is not None and _is_hot(spike, episode, rules):
        return _hot(episode, spike, rules=rules)
    if at < episode.hot_at + rules.resolve_after:
        return episode, None
    ended = msgspec.structs.replace(episode, sequence=episode.sequence + 1, ended_at=at)
    return ended, _told(ended, episode.peak, at=at, status=AlertStatus.RESOLVED, reason=TransitionReason.CALM_AGAIN)


def most_telling(spikes: Sequence[Spike], rules: Rules, *, episode: Episode | None = None) -> Spike:
    """Of the windows that speak at one instant the one that counts: the most surprising once each story and author is bounded.

    Where none surges, what the scan of the subject's alert says comes first: that keeps the alert on.
    """
    own = episode.scan if episode is not None and episode.ended_at is None else None

    def telling(spike: Spike) -> tuple[bool, bool, float, float]:
        over = over_of(spike, rules)
        return over >= 0, spike.scan == own, over, spike.over

    return max(spikes, key=telling)


def severity_of(spike: Spike, rules: Rules, *, over: float, lasted: timedelta) -> Severity:
    """How bad: score above the threshold and breadth together, or a surge that lasts. Where stories were not counted, texts stand in for them."""
    breadth = spike.stories or spike.negative
    if over >= rules.critical_over and breadth >= rules.critical_stories:
        return Severity.CRITICAL
    lasts = lasted >= timedelta(hours=rules.persist_h) and spike.scan != Scan.DAY  # a day's window lasts by itself
    if (over >= rules.high_over and breadth >= rules.high_stories) or lasts:
        return Severity.HIGH
    return Severity.WARNING


def bucket_of(started_at: datetime, rules: Rules, *, last: Episode | None) -> int:
    """The number that an alert's id is derived from: the re-arm period that it begins in; where the subject's `last` alert began less than one before, the minute.

    That of the end of the minute in which the alert began: a look at the open minute and one at the closed minute agree. Other beginnings lie a
    whole period apart, and minutes are numbered far beyond periods, so two alerts of a subject never share one.
    """
    minute_end_s = -int(-started_at.timestamp() // PANE_S) * PANE_S
    if last is not None and started_at < last.started_at + rules.rearm:
        return minute_end_s
    return int(minute_end_s // rules.rearm.total_seconds())


def _idle(last: Episode | None, spike: Spike | None, *, at: datetime, rules: Rules, alert_id: str | None) -> tuple[Episode | None, Transition | None]:
    last = None if last is None or _forgotten(last, at, rules) else last
    if spike is None or spike.held or (over := over_of(spike, rules)) < 0 or not is_armed(last, spike, rules, over=over):
        return last, None
    episode = Episode(
        subject=spike.subject,
        scan=spike.scan,
        alert_id=alert_id or alert_id_of(spike.subject, spike.lane.value, bucket_of(at, rules, last=last)),
        sequence=1,
        severity=severity_of(spike, rules, over=over, lasted=timedelta()),
        started_at=at,
        hot_at=at,
        told_over=over,
        peak=spike,
    )
    return episode, _told(episode, spike, at=at, status=AlertStatus.FIRING, reason=TransitionReason.THRESHOLD_PASSED)


def _hot(episode: Episode, spike: Spike, *, rules: Rules) -> tuple[Episode, Transition | None]:
    episode = msgspec.structs.replace(episode, hot_at=spike.at)
    over = over_of(spike, rules)
    if over < 0:
        return episode, None
    if spike.over > episode.peak.over:
        episode = msgspec.structs.replace(episode, peak=spike)
    severity = severity_of(spike, rules, over=over, lasted=spike.at - episode.started_at)
    rose = _RANKS.index(severity) > _RANKS.index(episode.severity)
    if not rose and over < episode.told_over + rules.update_step:
        return episode, None
    changes = {"sequence": episode.sequence + 1, "severity": severity if rose else episode.severity, "told_over": max(over, episode.told_over)}
    episode = msgspec.structs.replace(episode, **changes)
    reason = TransitionReason.SEVERITY_ROSE if rose else TransitionReason.SCORE_GREW
    return episode, _told(episode, spike, at=spike.at, status=AlertStatus.UPDATED, reason=reason)


def over_of(spike: Spike, rules: Rules) -> float:
    """By how much the evidence passes the threshold, once each story and author is bounded; below 0 where it does not."""
    return spike.above(corroborated_score(spike, rules)) if spike.surging else spike.over


def _is_hot(spike: Spike, episode: Episode, rules: Rules) -> bool:
    """Whether an alert is kept on: by whatever its own scan says that is not calm, and by a surge that another one sees within hours."""
    if spike.scan == episode.scan:
        return max(spike.score, spike.level) >= spike.theta - rules.resolve_margin
    return spike.surging and spike.scan != Scan.DAY


def is_armed(last: Episode | None, spike: Spike, rules: Rules, *, over: float) -> bool:
    """Whether the subject may start an alert. A day that held another alert is no news.

    Before the re-arm period is over, only what passes its threshold by so much more than the last alert did that this would have been told
    again, had it still been on: a false alarm must not hide the crisis that comes two hours later.
    """
    if last is None or last.ended_at is None:
        return True
    if spike.scan == Scan.DAY and spike.at < last.ended_at + DAY:
        return False
    return spike.at >= last.started_at + rules.rearm or over >= last.told_over + rules.update_step


def _forgotten(last: Episode, at: datetime, rules: Rules) -> bool:
    return last.ended_at is not None and at >= max(last.started_at + rules.rearm, last.ended_at + DAY)


def _told(episode: Episode, spike: Spike, *, at: datetime, status: AlertStatus, reason: TransitionReason) -> Transition:
    return Transition(
        subject=episode.subject,
        alert_id=episode.alert_id,
        sequence=episode.sequence,
        status=status,
        reason=reason,
        severity=episode.severity,
        lane=spike.lane,
        started_at=episode.started_at,
        at=at,
        spike=spike,
    )
