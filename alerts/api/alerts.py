"""Alerts, and what people do to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from alerts.acts import MOST_NAME_CHARS, MOST_TEXT_CHARS, ActKind, AlertOver, act_of
from alerts.api.access import Caller, Operator, Reader
from alerts.api.feedback import receivers_of
from alerts.api.idempotency import IdempotentRoute
from alerts.api.paging import Cursor, Limit, cursor_of, place_of
from alerts.api.parts import Parts
from alerts.store import Wanted
from opinion.records import Alert, AlertStatus, Severity

router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"], route_class=IdempotentRoute)


class ActBody(BaseModel):
    """What somebody did."""

    model_config = ConfigDict(extra="forbid")
    by: str | None = Field(None, max_length=MOST_NAME_CHARS, description="Who; the name of the token where nobody is named.")
    note: str = Field("", max_length=MOST_TEXT_CHARS)


class AssignBody(ActBody):
    """To whom an alert is given."""

    to: str = Field(min_length=1, max_length=MOST_NAME_CHARS)


class NoteBody(BaseModel):
    """What somebody wrote."""

    model_config = ConfigDict(extra="forbid")
    by: str | None = Field(None, max_length=MOST_NAME_CHARS)
    text: str = Field(min_length=1, max_length=MOST_TEXT_CHARS)


@router.get("")
async def list_alerts(
    request: Request,
    _: Reader,
    status: Annotated[list[AlertStatus | Literal["open"]] | None, Query(description="`open`: firing or updated; several may be named.")] = None,
    subject: Annotated[str | None, Query(max_length=200)] = None,
    severity: Severity | None = None,
    since: Annotated[AwareDatetime | None, Query(description="Changed since.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Any:
    """Alerts, those changed last first."""
    statuses = frozenset(one for each in status for one in (["firing", "updated"] if each == "open" else [str(each)])) if status else None
    wanted = Wanted(
        statuses=statuses, subject=subject, severity=severity.value if severity else None, since=since, before=place_of(cursor, tuple[int, str]), limit=limit
    )  # fmt: skip
    found = await _parts(request).alerts.page(wanted)
    return {"alerts": [msgspec.to_builtins(alert) for _, alert in found], "next": cursor_of(found[-1][0]) if len(found) == limit else None}


@router.get("/{alert_id}")
async def show_alert(request: Request, _: Reader, alert_id: str) -> Any:
    """One alert as it stands."""
    return msgspec.to_builtins(await _held(request, alert_id))


@router.post("/{alert_id}/ack")
async def acknowledge(request: Request, caller: Operator, alert_id: str, body: ActBody | None = None) -> Any:
    """Take an alert on: it is not repeated any more."""
    said = body or ActBody(by=None)
    return await _done(request, caller, alert_id, ActKind.ACKNOWLEDGE, by=said.by, text=said.note)


@router.post("/{alert_id}/assign")
async def assign(request: Request, caller: Operator, alert_id: str, body: AssignBody) -> Any:
    """Give an alert to somebody."""
    return await _done(request, caller, alert_id, ActKind.ASSIGN, by=body.by, text=body.note, to=body.to)


@router.post("/{alert_id}/note")
async def note(request: Request, caller: Operator, alert_id: str, body: NoteBody) -> Any:
    """Write on an alert, be it over or not."""
    return await _done(request, caller, alert_id, ActKind.NOTE, by=body.by, text=body.text)


@router.post("/{alert_id}/mute")
async def mute(request: Request, caller: Operator, alert_id: str, body: ActBody | None = None) -> Any:
    """Tell nobody of an alert any more until it is over."""
    said = body or ActBody(by=None)
    return await _done(request, caller, alert_id, ActKind.MUTE, by=said.by, text=said.note)


@router.post("/{alert_id}/unmute")
async def unmute(request: Request, caller: Operator, alert_id: str, body: ActBody | None = None) -> Any:
    """Tell of it again."""
    said = body or ActBody(by=None)
    return await _done(request, caller, alert_id, ActKind.UNMUTE, by=said.by, text=said.note)


async def _done(request: Request, caller: Caller, alert_id: str, kind: ActKind, *, by: str | None, text: str, to: str = "") -> Any:
    parts = _parts(request)
    act = act_of(alert_id, kind, by=by or caller.name, at=parts.clock.now(), text=text, to=to)
    try:
        found = await parts.acts.do(act)
    except AlertOver as error:
        raise HTTPException(409, str(error)) from error
    if found is None:
        raise _unknown(alert_id)
    if kind in (ActKind.ACKNOWLEDGE, ActKind.MUTE):
        await parts.ranks.learn(await receivers_of(parts, alert_id, None), found, mattered=kind is ActKind.ACKNOWLEDGE)
    return msgspec.to_builtins(found)


async def _held(request: Request, alert_id: str) -> Alert:
    found = await _parts(request).alerts.get(alert_id)
    if found is None:
        raise _unknown(alert_id)
    return found


def _unknown(alert_id: str) -> HTTPException:
    return HTTPException(404, f"no alert {alert_id[:100]}")


def _parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found
