"""Subjects and their windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime
from redis.exceptions import RedisError

from alerts.api.access import Reader
from alerts.api.paging import Cursor, Limit, cursor_of, place_of
from alerts.api.parts import Parts
from alerts.history import FEW_POINTS, MOST_POINTS, history, step_of
from alerts.store import Wanted
from opinion.errors import StoreUnavailable

router = APIRouter(prefix="/api/v1/subjects", tags=["subjects"])

DAY = timedelta(days=1)
OPEN = frozenset({"firing", "updated"})


@router.get("")
async def list_subjects(
    request: Request,
    _: Reader,
    q: Annotated[str | None, Query(max_length=100, description="Part of the id or of the name, in any case.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Subjects, those spoken of last first, with their names and the alert that is on, if any."""
    parts: Parts = request.app.state.parts
    try:
        changed = cast("list[tuple[bytes, float]]", await parts.redis.zrevrange(parts.names.changed, 0, -1, withscores=True))
        called = cast("dict[bytes, bytes]", await parts.redis.hgetall(parts.names.subject_names))
    except RedisError as error:
        raise StoreUnavailable(f"Redis did not list the subjects: {error}") from error
    names = {subject.decode(): name.decode() for subject, name in called.items()}
    rows = [(int(stamp), subject.decode()) for subject, stamp in changed]
    if q:
        rows = [row for row in rows if q.casefold() in row[1].casefold() or q.casefold() in names.get(row[1], "").casefold()]
    before = place_of(cursor, tuple[int, str])
    chosen = [row for row in rows if before is None or row < before][:limit]
    on = {alert.subject: alert for _, alert in await parts.alerts.page(Wanted(statuses=OPEN, limit=500))}
    found = [
        {
            "subject": subject, "name": names.get(subject, subject.partition(":")[2]), "changed_at": _instant(stamp),
            "alert_id": on[subject].alert_id if subject in on else None, "severity": on[subject].severity.value if subject in on else None,
        }
        for stamp, subject in chosen
    ]  # fmt: skip
    return {"subjects": found, "next": cursor_of(chosen[-1]) if len(chosen) == limit else None}


@router.get("/{subject:path}/windows")
async def show_windows(
    request: Request,
    _: Reader,
    subject: str,
    since: Annotated[AwareDatetime | None, Query(alias="from", description="A day before `to` where it is not named.")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="Not included; now where it is not named.")] = None,
    step: Annotated[int | None, Query(ge=60, le=86_400, description="Seconds; the finest that gives at most 500 points where it is not named.")] = None,
) -> Any:
    """Totals and negatives of a subject over time; steps that hold nothing are there with zeros.

    A step that would give more than 5,000 points is made longer: `step_s` says what it became.
    """
    parts: Parts = request.app.state.parts
    to = until or parts.clock.now()
    start = since or to - DAY
    step_s = max(step or 0, step_of(to - start, points=MOST_POINTS if step else FEW_POINTS))
    points = await history(parts.windows, subject, since=start, until=to, step_s=step_s, now=parts.clock.now())
    name = await parts.windows.subject_name(subject)
    return {"subject": subject, "name": name, "step_s": step_s, "windows": points}


def _instant(stamp_us: int) -> str:
    return datetime.fromtimestamp(stamp_us / 1e6, tz=UTC).isoformat()
