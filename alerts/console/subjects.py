"""Subjects: which there are, and one of them over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Query, Response
from markupsafe import Markup
from msgspec import Struct
from pydantic import AwareDatetime

from alerts.api.subjects import list_subjects
from alerts.archive import Query as Wanted
from alerts.console.addresses import place
from alerts.console.charts import Span, Step, Tick, chart
from alerts.console.look import Look
from alerts.console.now import cards_of
from alerts.console.web import ConsoleRoute, Visit, Visited
from alerts.detect.rules import Rules
from alerts.history import history
from alerts.store import Wanted as WantedAlerts
from alerts.usual import usual_ratios
from opinion.records import Alert

router = APIRouter(prefix="/subjects", route_class=ConsoleRoute, include_in_schema=False)

ROWS = 100
FEW_DOCUMENTS = 20
MOST_ALERTS = 50
HOUR_S = 3600
DAY_MIN = 24 * 60
EDGE = 0.02
"""Part of a chart's width that half a label takes."""
OLDEST = timedelta(days=30)
"""Sums by the hour live five weeks; before that there is nothing to go back to."""


class Shape(NamedTuple):
    """How a chart shows a stretch of time."""

    length: timedelta
    steps_s: tuple[int, ...]  # the finest first: a coarser one is taken where few texts were told
    tick_h: float  # a label stands at whole multiples of this, in the reader's time zone
    form: str  # of the labels


SPANS = {
    "1h": Shape(timedelta(hours=1), (60, 300), 0.25, "%H:%M"),
    "24h": Shape(timedelta(days=1), (900, 1800, HOUR_S), 4, "%H:%M"),
    "7d": Shape(timedelta(days=7), (HOUR_S, 3 * HOUR_S, 6 * HOUR_S), 24, "%m-%d"),
    "30d": Shape(timedelta(days=30), (6 * HOUR_S, 24 * HOUR_S), 5 * 24, "%m-%d"),
}
"""At most as many steps as can be told apart, and clicked, on a screen."""
LEAST_TEXTS = 4
"""Of a step on average: the share of fewer texts is noise."""


@router.get("")
async def show_subjects(visit: Visited, q: Annotated[str, Query(max_length=100)] = "", cursor: Annotated[str | None, Query(max_length=300)] = None) -> Response:
    """Subjects, those spoken of last first."""
    found = await list_subjects(visit.request, visit.caller, q=q.strip() or None, limit=ROWS, cursor=cursor)
    rows = [row | {"changed_at": datetime.fromisoformat(row["changed_at"])} for row in found["subjects"]]
    return visit.page("subjects.html", rows=rows, q=q, next=found["next"])


class Stretch(Struct, frozen=True):
    """Some time of a subject, in steps."""

    steps: list[Step]
    begin: datetime
    end: datetime  # of what is known of it

    @property
    def total(self) -> int:
        """Texts."""
        return sum(step.total for step in self.steps)

    @property
    def negative(self) -> int:
        """Negative ones."""
        return sum(step.negative for step in self.steps)


@router.get("/{subject:path}")
async def show_subject(visit: Visited, subject: str, span: Literal["1h", "24h", "7d", "30d"] = "24h", until: AwareDatetime | None = None) -> Response:
    """A subject: ratio, texts, what is usual, its alerts; each point leads to the documents behind it."""
    parts, now, shape = visit.parts, visit.parts.clock.now(), SPANS[span]
    end = min(until or now, now)
    stretch = await stretch_of(visit, subject, shape=shape, end=end, now=now)
    alerts = [alert for _, alert in await parts.alerts.page(WantedAlerts(subject=subject, since=stretch.begin, limit=MOST_ALERTS)) if alert.started_at <= end]
    documents = await parts.archive.find(Wanted(subject=subject, since=stretch.begin, until=end, limit=FEW_DOCUMENTS))
    name = await parts.windows.subject_name(subject)
    return visit.page(
        "subject.html",
        subject=subject,
        name=name,
        span=span,
        spans=list(SPANS),
        stretch=stretch,
        chart=picture_of(visit, stretch, alerts=alerts, shape=shape, title=visit.words("chart_title", name=name, span=visit.words(f"span_{span}"))),
        alerts=alerts,
        open_alerts=await cards_of(visit, [alert for alert in alerts if alert.ended_at is None]),
        documents=[item.scored for item in documents],
        earlier=stretch.begin if stretch.begin > now - OLDEST else None,
        is_now=end == now,
    )


async def stretch_of(visit: Visit, subject: str, *, shape: Shape, end: datetime, now: datetime) -> Stretch:
    """The steps of a subject that end with the one that holds `end`; the finest that hold enough texts."""
    for step_s in shape.steps_s:
        width = timedelta(seconds=step_s)
        last = datetime.fromtimestamp(int(end.timestamp()) // step_s * step_s, UTC)
        begin = last + width - shape.length
        points = await history(visit.parts.windows, subject, since=begin, until=last + width, step_s=step_s, now=now)
        if sum(point["total"] for point in points) >= LEAST_TEXTS * len(points):
            break
    begins = [datetime.fromisoformat(point["at"]) for point in points]
    usual = await usual_ratios(visit.parts.windows, subject, begins=begins, now=now, rules=Rules())
    steps = [
        _step(visit, subject, at=at, step_s=step_s, total=point["total"], negative=point["negative"], usual=ratio) for at, point, ratio in zip(begins, points, usual, strict=True)
    ]
    return Stretch(steps, begin, end)


def picture_of(visit: Visit, stretch: Stretch, *, alerts: Sequence[Alert], shape: Shape, title: str) -> Markup:
    """The chart of it."""
    steps = stretch.steps
    return chart(
        steps,
        spans=[_span(visit, alert, end=stretch.end) for alert in alerts],
        ticks=ticks_of(stretch, look=visit.look, shape=shape),
        rho=Rules().rho_of(round((steps[1].at - steps[0].at).total_seconds())),
        title=title,
        desc=visit.words("chart_desc", total=stretch.total, negative=stretch.negative, alerts=len(alerts)),
    )


def ticks_of(stretch: Stretch, *, look: Look, shape: Shape) -> list[Tick]:
    """Labels at whole hours or days of the reader's time zone, so far from the edges that they are not cut off."""
    minutes = round(shape.tick_h * 60)
    edge = shape.length * EDGE
    begin, end = stretch.begin + edge, stretch.steps[-1].at - edge
    at = look.local(begin).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    while at < end:
        if at >= begin:
            found.append(Tick(at, f"{at:{shape.form}}"))
        at = look.local((at + timedelta(minutes=minutes)).astimezone(UTC)) if minutes < DAY_MIN else at + timedelta(minutes=minutes)
    return found


def _step(visit: Visit, subject: str, *, at: datetime, step_s: int, total: int, negative: int, usual: float) -> Step:
    to = at + timedelta(seconds=step_s)
    href = place("documents", subject=subject, since=_address(at), until=_address(to))
    local = visit.look.local(at)
    label = visit.words("point", at=f"{local:%m-%d %H:%M}", negative=negative, total=total, ratio=f"{negative / total:.0%}" if total else "–", usual=f"{usual:.0%}")
    return Step(at=at, total=total, negative=negative, usual=usual, label=label, href=href)


def _span(visit: Visit, alert: Alert, *, end: datetime) -> Span:
    local = visit.look.local(alert.started_at)
    label = visit.words("alert_span", severity=visit.words(f"severity_{alert.severity.value}"), at=f"{local:%m-%d %H:%M}")
    return Span(begin=alert.started_at, end=alert.ended_at or end, severity=alert.severity.value, label=label, href=place("alerts", alert.alert_id))


def _address(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
