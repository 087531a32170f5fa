"""The life of an alert, as a pure function of what the lane says.

idle ──surge──▶ firing ──score grew, severity rose──▶ firing (updated) ──calm for an hour──▶ resolved ──re-arm──▶ idle
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
from msgspec import Struct

from alerts.detect.rules import Rules
from alerts.detect.share import corroborated_score
from opinion.names import alert_id_of
from opinion.records import AlertStatus, Instant, Lane, Severity, Spike, TransitionReason
from opinion.windows import PANE_S

_RANKS = list(Severity)


class Episode(Struct, frozen=True, kw_only=True):
    """The newest alert of a subject: all that has to be remembered of it."""

    subject: str
    lane: Lane
    alert_id: str
    sequence: int
    severity: Severity
    started_at: Instant
    hot_at: Instant  # the last evaluation that was not calm
    told_score: float  # the highest score told so far
    peak: Spike  # the most surprising evaluation
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


def step(episode: Episode | None, spike: Spike | None, *, at: datetime, rules: Rules) -> tuple[Episode | None, Transition | None]:
    """The next state after one evaluation of the subject at `at`, and what to tell, if anything.

    `spike` is None where no window holds enough evidence to be scored; its breadth matters from `theta` on. A finished
    episode is kept until its subject is armed again, then None comes back.
    """
    if episode is None or episode.ended_at is not None:
        return _idle(episode, spike, at=at, rules=rules)
    if spike is not None and max(spike.score, spike.level) >= rules.calm_below:
        return _hot(episode, spike, rules=rules)
    if at < episode.hot_at + rules.resolve_after:
        return episode, None
    ended = msgspec.structs.replace(episode, sequence=episode.sequence + 1, ended_at=at)
    return ended, _told(ended, episode.peak, at=at, status=AlertStatus.RESOLVED, reason=TransitionReason.CALM_AGAIN)


def most_telling(spikes: Sequence[Spike], rules: Rules) -> Spike:
    """Of the windows that speak at one instant the one that counts: the most surprising once each story and author is bounded."""
    return max(spikes, key=lambda spike: (corroborated_score(spike, rules), spike.score))


def severity_of(spike: Spike, rules: Rules, *, score: float, lasted: timedelta) -> Severity:
    """How bad: score and breadth together, or a surge that lasts. Where stories were not counted, texts stand in for them."""
    breadth = spike.stories or spike.negative
    if score >= rules.critical_score and breadth >= rules.critical_stories:
        return Severity.CRITICAL
    if (score >= rules.high_score and breadth >= rules.high_stories) or lasted >= timedelta(hours=rules.persist_h):
        return Severity.HIGH
    return Severity.WARNING


def bucket_of(started_at: datetime, rules: Rules) -> int:
    """The re-arm period that an alert's id is derived from.

    That of the end of the minute in which the alert began: a look at the open minute and one at the closed minute agree. Beginnings lie a
    whole period apart, so two alerts of a subject never share one.
    """
    minute_end_s = -int(-started_at.timestamp() // PANE_S) * PANE_S
    return int(minute_end_s // rules.rearm.total_seconds())


def _idle(last: Episode | None, spike: Spike | None, *, at: datetime, rules: Rules) -> tuple[Episode | None, Transition | None]:
    if last is not None and at < last.started_at + rules.rearm:
        return last, None
    score = 0.0 if spike is None else corroborated_score(spike, rules)
    if spike is None or score < rules.theta:
        return None, None
    episode = Episode(
        subject=spike.subject,
        lane=spike.lane,
        alert_id=alert_id_of(spike.subject, spike.lane.value, bucket_of(at, rules)),
        sequence=1,
        severity=severity_of(spike, rules, score=score, lasted=timedelta()),
        started_at=at,
        hot_at=at,
        told_score=score,
        peak=spike,
    )
    return episode, _told(episode, spike, at=at, status=AlertStatus.FIRING, reason=TransitionReason.THRESHOLD_PASSED)


def _hot(episode: Episode, spike: Spike, *, rules: Rules) -> tuple[Episode, Transition | None]:
    episode = msgspec.structs.replace(episode, hot_at=spike.at)
    score = corroborated_score(spike, rules) if spike.score >= rules.theta else 0.0
    if score < rules.theta:
        return episode, None
    if spike.score > episode.peak.score:
        episode = msgspec.structs.replace(episode, peak=spike)
    severity = severity_of(spike, rules, score=score, lasted=spike.at - episode.started_at)
    rose = _RANKS.index(severity) > _RANKS.index(episode.severity)
    if not rose and score < episode.told_score + rules.update_step:
        return episode, None
    changes = {"sequence": episode.sequence + 1, "severity": severity if rose else episode.severity, "told_score": max(score, episode.told_score)}
    episode = msgspec.structs.replace(episode, **changes)
    reason = TransitionReason.SEVERITY_ROSE if rose else TransitionReason.SCORE_GREW
    return episode, _told(episode, spike, at=spike.at, status=AlertStatus.UPDATED, reason=reason)


def _told(episode: Episode, spike: Spike, *, at: datetime, status: AlertStatus, reason: TransitionReason) -> Transition:
    return Transition(
        subject=episode.subject,
        alert_id=episode.alert_id,
        sequence=episode.sequence,
        status=status,
        reason=reason,
        severity=episode.severity,
        lane=episode.lane,
        started_at=episode.started_at,
        at=at,
        spike=spike,
    )
