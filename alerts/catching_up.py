"""A state that is older than the log of alerts (a backup was restored) is brought up to it: what was told since then stays told.

log ──▶ alerts as they stand, marks of people ──▶ episodes, so that what is on stays on under its id and sequence ──▶ messages, as made, not to be sent
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
from msgspec.structs import replace
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.acts import ActStore
from alerts.detector import DetectorState
from alerts.lifecycle import Episode
from alerts.notifier import Notifier
from alerts.source_watch import SourceAlert, Watching
from alerts.store import AlertStore
from opinion.errors import StoreUnavailable
from opinion.names import Names
from opinion.records import Alert, AlertStatus, Lane, Marks, Scan, Spike, TransitionReason
from opinion.windows import PANE_S

LOOKED = frozenset({TransitionReason.THRESHOLD_PASSED, TransitionReason.SCORE_GREW, TransitionReason.SEVERITY_ROSE, TransitionReason.CALM_AGAIN})
"""Reasons of transitions that a look at the windows made: all before them was looked at."""
DAY_S = 86_400


async def catch_up(told: Sequence[Alert], *, redis: Redis, names: Names, alerts: AlertStore, notifier: Notifier) -> None:
    """Bring the state in Redis up to these transitions; nobody may lead meanwhile. Doing it again changes nothing.

    Errors:
        StoreUnavailable: Redis does not answer (retryable).
    """
    news = sorted((alert for alert in told if alert.sequence), key=lambda alert: (alert.started_at, alert.alert_id, alert.sequence))  # what was pending was told to nobody
    for alert in news:
        await alerts.save(alert)
        await notifier.note_past(alert)
    acts = ActStore(redis, names, alerts=alerts)
    done = {(alert.alert_id, alert.reason, alert.updated_at) for alert in news}
    left = [act for act in await acts.waiting() if act is not None and (act.alert_id, act.reason, act.at) not in done]
    try:
        saved, watching = await redis.mget([names.episodes, names.source_alerts])
        async with redis.pipeline(transaction=True) as pipe:
            with suppress(msgspec.MsgspecError):  # of another version: the detection goes on from now
                if saved or news:  # a state that was never saved is as old as can be
                    state = msgspec.json.decode(saved, type=DetectorState) if saved else DetectorState()
                    pipe.set(names.episodes, msgspec.json.encode(caught_up(state, news)))
                pipe.set(names.source_alerts, msgspec.json.encode(watched(msgspec.json.decode(watching, type=Watching) if watching else Watching(), news)))
            for alert in news:
                pipe.hset(names.alert(alert.alert_id), "marks", msgspec.json.encode(marks_of(alert)))
            pipe.delete(names.acts)
            if left:
                pipe.rpush(names.acts, *[msgspec.json.encode(act) for act in left])
            await pipe.execute()
    except RedisError as error:
        raise StoreUnavailable(f"Redis did not take what {len(news)} transitions tell: {error}") from error


def caught_up(state: DetectorState, news: Sequence[Alert]) -> DetectorState:
    """What the detection has to remember, after these transitions."""
    episodes, pending = dict(state.episodes), dict(state.pending)
    looked_s = state.evaluated_s
    for alert in news:
        if alert.lane == Lane.SOURCE:
            continue
        episodes[alert.subject] = _episode(alert, episodes.get(alert.subject))
        pending.pop(alert.subject, None)
        if alert.reason in LOOKED:
            looked_s = max(looked_s or 0, int(alert.updated_at.timestamp()) // PANE_S * PANE_S)
    return replace(state, evaluated_s=looked_s, episodes=episodes, pending=pending)


def watched(watching: Watching, news: Sequence[Alert]) -> Watching:
    """What is known of alerts on sources, after these transitions."""
    on: dict[str, SourceAlert] = dict(watching.on)
    for alert in news:
        if alert.lane != Lane.SOURCE:
            continue
        if alert.status == AlertStatus.RESOLVED:
            on.pop(alert.subject, None)
        else:
            on[alert.subject] = SourceAlert(alert_id=alert.alert_id, sequence=alert.sequence, started_at=alert.started_at)
    return Watching(on=on, since={subject: at for subject, at in watching.since.items() if subject not in on})


def marks_of(alert: Alert) -> Marks:
    """What people left on an alert, as its transition tells."""
    return Marks(**{name: getattr(alert, name) for name in Marks.__struct_fields__})


def _episode(alert: Alert, before: Episode | None) -> Episode:
    """The episode that a transition tells of. How high its scores reached is known as far as it was told."""
    if before is not None and before.started_at > alert.started_at:
        return before
    known = before if before is not None and before.alert_id == alert.alert_id else None
    spike = _spike(alert, Scan.SHARE if known is None else known.scan)
    if known is None:
        scan = Scan.COUNT if alert.lane == Lane.COUNT else Scan.DAY if spike.width_s >= DAY_S else Scan.SHARE
        spike = replace(spike, scan=scan)
        known = Episode(
            subject=alert.subject, scan=scan, alert_id=alert.alert_id, sequence=alert.sequence, severity=alert.severity, started_at=alert.started_at, hot_at=alert.started_at,
            told_over=spike.over, peak=spike,
        )  # fmt: skip
    if alert.sequence < known.sequence:
        return known
    return replace(
        known,
        sequence=alert.sequence,
        severity=alert.severity,
        hot_at=max(known.hot_at, alert.updated_at) if alert.status != AlertStatus.RESOLVED and alert.reason in LOOKED else known.hot_at,
        told_over=max(known.told_over, spike.over),
        peak=spike if spike.over > known.peak.over else known.peak,
        ended_at=alert.ended_at,
    )


def _spike(alert: Alert, scan: Scan) -> Spike:
    """The numbers of a transition, as the detection has them."""
    window = alert.window
    shared: dict[str, Any] = {name: getattr(window, name) for name in window.__struct_fields__ if name != "start_at"}
    shared["theta"] = window.theta or window.score or 1.0  # of a record that does not say it: just reached
    return Spike(subject=alert.subject, scan=scan, at=window.start_at + timedelta(seconds=window.width_s), **shared)
