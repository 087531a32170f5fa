"""What the demo shows and what it demands: alerts as a person reads them, delays, and the checks behind the exit code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import click
import numpy as np
from msgspec import Struct

from opinion.clock import ScaledClock
from opinion.records import Alert, ScoredDocument
from yuqing.demo.day import CRISIS, DAY_AT, SURGE, Item
from yuqing.demo.server import Told

CRISIS_AT = DAY_AT + timedelta(hours=8, minutes=5)
"""When the first text of the crisis is published."""
SURGE_AT = (DAY_AT + timedelta(hours=3), DAY_AT + timedelta(hours=5))
_COLOURS = {"firing": "red", "updated": "yellow", "resolved": "green"}


class Check(Struct, frozen=True):
    """One thing that must be so."""

    holds: bool
    words: str


def render_alert(alert: Alert, *, delay_s: float | None, verified: bool) -> str:
    """A transition for a terminal: what, how bad, the numbers in both languages, the documents behind it."""
    head = click.style(f"● {alert.status.value.upper()}", fg=_COLOURS[alert.status.value], bold=True)
    lines = [f"\n{head}  {alert.severity.value}  {click.style(alert.subject_name, bold=True)}  ({alert.subject})  {alert.updated_at:%H:%M} of the day"]
    lines += [f"  {alert.summary}", f"  {alert.summary_zh}"]
    if alert.status.value != "resolved":
        for item in alert.evidence:
            told = f"  x{item.story_size}" if item.story_size > 1 else ""
            at = item.published_at or item.fetched_at
            lines.append(f"    {at:%H:%M}  {item.negative:4.0%} negative  {_short(item.title)}  [{item.publisher}]{told}")
    signature = "signature verified" if verified else click.style("SIGNATURE WRONG", fg="red")
    delay = "" if delay_s is None else f", {delay_s:.1f} s after the fetch of its newest document"
    lines.append(click.style(f"  webhook received: {signature}{delay}", dim=True))
    return "\n".join(lines)


def delay_s(told: Told, scored: Iterable[ScoredDocument], clock: ScaledClock) -> float | None:
    """Wall seconds from the fetch of the newest document in the alert's window to the webhook's arrival; None for a resolution, which no document causes."""
    alert = told.message.data
    if alert.status.value == "resolved":
        return None
    end_at = alert.window.start_at + timedelta(seconds=alert.window.width_s)
    fetched = [item.document.fetched_at for item in scored if alert.subject in item.subjects and alert.window.start_at <= item.event_at < end_at]
    if not fetched:
        return None
    return (told.arrived_at - wall_of(max(fetched), clock)).total_seconds()


def wall_of(at: datetime, clock: ScaledClock) -> datetime:
    """The wall time of an instant of the day."""
    return clock.wall_at + (at - clock.starts_at) / clock.speed


def checks(told: Sequence[Told], scored: Sequence[ScoredDocument], *, items: Sequence[Item], dead: int) -> list[Check]:
    """Everything that must be so at the end of the day."""
    alerts = [item.message.data for item in told]
    crisis = [alert for alert in alerts if alert.subject == CRISIS]
    others = sorted({alert.subject for alert in alerts} - {CRISIS})
    published, judged = len({item.guid for item in items}), len({item.document.doc_id for item in scored})
    verified, episodes = sum(item.verified for item in told), len({alert.alert_id for alert in crisis})
    first = crisis[0] if crisis else None
    resolved = bool(crisis) and crisis[-1].status.value == "resolved"
    return [
        Check(judged == published and dead == 0, f"{published} documents published, {judged} judged, {dead} dead letters"),
        Check(bool(told) and verified == len(told), f"{len(told)} webhooks received, {verified} verified by the package standardwebhooks"),
        Check(first is not None and first.status.value == "firing" and first.started_at >= CRISIS_AT, _when(first)),
        Check(episodes == 1, f"{episodes} alert for the crisis"),
        Check(resolved, "resolved when it was over" if resolved else "not resolved"),
        Check(not others, "no other alert" if not others else f"also alerted: {', '.join(others)}"),
    ]


def surge_line(scored: Iterable[ScoredDocument]) -> str:
    """What the harmless surge was."""
    texts = [item for item in scored if SURGE in item.subjects and SURGE_AT[0] <= item.event_at < SURGE_AT[1]]
    negative = sum(item.sentiment.label == "negative" for item in texts)
    return (
        f"Yunlan Auto 云岚汽车: {len(texts)} texts between {SURGE_AT[0]:%H:%M} and {SURGE_AT[1]:%H:%M}, {negative / max(1, len(texts)):.0%} negative: a surge of interest, no alert"
    )


def latency_lines(told: Sequence[Told], scored: Sequence[ScoredDocument], clock: ScaledClock) -> list[str]:
    """Wall delays: fetch to judgement over all documents, fetch to webhook over all webhooks but resolutions."""
    judged = [(item.scored_at - item.document.fetched_at).total_seconds() / clock.speed for item in scored]
    webhooks = [found for item in told if (found := delay_s(item, scored, clock)) is not None]
    return [f"{name}: {_quantiles(values)}" for name, values in (("fetch to judgement", judged), ("fetch to webhook", webhooks)) if values]


def _quantiles(values: Sequence[float]) -> str:
    p50, p95 = np.percentile(values, [50, 95])
    return f"p50 {p50:.1f} s, p95 {p95:.1f} s (n = {len(values)}, wall time)"


def _when(first: Alert | None) -> str:
    if first is None:
        return "the crisis was not told"
    return f"crisis from {CRISIS_AT:%H:%M} on, first told at {first.started_at:%H:%M} of the day"


def _short(title: str, chars: int = 70) -> str:
    line = " ".join(title.split())
    return line if len(line) <= chars else line[: chars - 1] + "…"
