"""What is on now: open alerts, worst and newest first, and whether the eyes are open."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import cast

import msgspec
from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import StreamingResponse
from markupsafe import Markup
from msgspec import Struct
from redis.exceptions import RedisError
from starlette.routing import Match
from starlette.types import Scope

from alerts.api.parts import Parts
from alerts.api.stream import lines_of
from alerts.console.charts import count_band, share_band, sparkline
from alerts.console.health import Eyes, eyes_of
from alerts.console.web import ConsoleRoute, Visit, Visited
from alerts.console.words import Words
from alerts.detect.rules import Rules
from alerts.notify.silences import Silence, silencing
from alerts.store import Wanted
from alerts.usual import last_hours
from opinion.clock import monotonic_s
from opinion.errors import StoreUnavailable
from opinion.records import Alert, Feedback, FeedbackVerdict, Lane, Severity


class FrontRoute(ConsoleRoute):
    """The page for browsers, at an address where programs find something else."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether a browser asks."""
        accepted = dict(scope.get("headers", ())).get(b"accept", b"")
        return super().matches(scope) if b"text/html" in accepted else (Match.NONE, {})


front = APIRouter(route_class=FrontRoute, include_in_schema=False)
router = APIRouter(route_class=ConsoleRoute, include_in_schema=False)

OPEN, PENDING = frozenset({"firing", "updated"}), frozenset({"pending"})
PENDING_FOR = timedelta(days=1)
"""What has waited longer is no news."""
MOST_PENDING = 20
MOST_ALERTS = 200
"""More than anybody reads; the worst of them are shown."""
SPARK_HOURS = 24
LISTEN_S = 600.0
"""A browser comes back after this long, and is asked again who it is: a session that is over hears no more."""
FEW_EVIDENCE = 3
SAID_LATELY = 500
"""Verdicts that are looked through for those on the alerts of a page."""
_WORST_FIRST = {Severity.CRITICAL: 0, Severity.HIGH: 1, Severity.WARNING: 2}


class Card(Struct, frozen=True, kw_only=True):
    """An alert as a page shows it."""

    alert: Alert
    summary: str  # in the reader's language
    spark: Markup  # empty where there is nothing to draw
    silence: Silence | None  # that keeps it from being told
    doubted: int  # how many say that it is false


@front.get("/")
async def show_now(visit: Visited) -> Response:
    """The page of open alerts."""
    parts = visit.parts
    found = [alert for _, alert in await parts.alerts.page(Wanted(statuses=OPEN, limit=MOST_ALERTS))]
    found.sort(key=lambda alert: (_WORST_FIRST[alert.severity], -alert.updated_at.timestamp()))
    opinions, sources = [alert for alert in found if alert.lane is not Lane.SOURCE], [alert for alert in found if alert.lane is Lane.SOURCE]
    waiting = [alert for _, alert in await parts.alerts.page(Wanted(statuses=PENDING, since=parts.clock.now() - PENDING_FOR, limit=MOST_PENDING))]
    eyes = await eyes_of(parts, words=visit.words)
    return visit.page(
        "now.html",
        waiting=await cards_of(visit, waiting),
        cards=await cards_of(visit, opinions),
        lost=await cards_of(visit, sources),
        eyes=eyes,
        most=MOST_ALERTS,
        few=FEW_EVIDENCE,
    )


@router.get("/alerts/{alert_id}")
async def show_alert(visit: Visited, alert_id: str) -> Response:
    """One alert: where the links in messages lead."""
    alert = await visit.parts.alerts.get(alert_id)
    if alert is None:
        raise HTTPException(404, f"{visit.words('no_alert')} {alert_id[:100]}")
    (card,) = await cards_of(visit, [alert])
    deliveries = (await visit.parts.queue.page(alert=alert_id, limit=MOST_ALERTS)).deliveries
    receivers = {item.id: item.name for item in await visit.parts.subscriptions.all()}
    return visit.page("alert.html", card=card, deliveries=deliveries, receivers=receivers, eyes=Eyes())


@router.get("/live")
async def live(visit: Visited) -> Response:
    """Events: alerts that this page has not seen, then what happens."""
    last_id = visit.request.headers.get("last-event-id", "")
    lines = lines_of(visit.parts, last_id, {"alert", "reset"})
    return StreamingResponse(_for_a_while(lines), media_type="text/event-stream", headers={"x-accel-buffering": "no"})


async def _for_a_while(lines: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    until_s = monotonic_s() + LISTEN_S
    async with aclosing(lines):
        async for line in lines:
            yield line
            if monotonic_s() > until_s:
                return


async def cards_of(visit: Visit, alerts: Sequence[Alert]) -> list[Card]:
    """Alerts with what stands beside them."""
    parts = visit.parts
    silences, doubted = await parts.silences.all(), await _doubted(parts)
    now = parts.clock.now()
    subjects = sorted({alert.subject for alert in alerts if alert.lane is not Lane.SOURCE})
    hours = await last_hours(parts.windows, subjects, hours=SPARK_HOURS, now=now)
    return [
        Card(
            alert=alert,
            summary=alert.summary_zh if visit.look.lang == "zh" and alert.summary_zh else alert.summary,
            spark=_spark(alert, hours.get(alert.subject, []), words=visit.words),
            silence=silencing(alert, silences, at=parts.wall.now()),
            doubted=doubted[alert.alert_id],
        )
        for alert in alerts
    ]


def _spark(alert: Alert, hours: Sequence[tuple[int, int]], *, words: Words) -> Markup:
    if not any(total for total, _ in hours):
        return Markup()
    window = alert.window
    if alert.lane is Lane.COUNT:
        usual = window.expected_negative * 3600 / max(1, window.width_s)
        label = words("spark_count", now=hours[-1][1], usual=f"{usual:.1f}")
        return sparkline([float(negative) for _, negative in hours], band=count_band(usual), label=label)
    texts = sum(total for total, _ in hours) / max(1, sum(1 for total, _ in hours if total))
    values = [negative / total if total else None for total, negative in hours]
    label = words("spark_share", usual=f"{window.baseline_ratio:.0%}", most=f"{max(value for value in values if value is not None):.0%}")
    return sparkline(values, band=share_band(window.baseline_ratio, texts=texts, rho=Rules().rho_of(3600)), label=label)


async def _doubted(parts: Parts) -> Counter[str]:
    """Alert -> how many said lately that it is false."""
    try:
        rows = cast("list[bytes]", await parts.redis.lrange(parts.names.feedback, -SAID_LATELY, -1))
    except RedisError as error:
        raise StoreUnavailable(f"Redis did not say what was said: {error}") from error
    said = (msgspec.json.decode(row, type=Feedback) for row in rows)
    return Counter(item.alert_id for item in said if item.alert_id is not None and item.doc_id is None and item.verdict is FeedbackVerdict.FALSE)
