"""Silences."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from alerts.acts import MOST_NAME_CHARS
from alerts.api.access import Operator, Reader
from alerts.api.idempotency import IdempotentRoute
from alerts.api.parts import Parts
from alerts.notify.silences import MOST_COMMENT_CHARS, MOST_MATCHERS, Silence, silence_of
from opinion.errors import ConfigError

router = APIRouter(prefix="/api/v1/silences", tags=["silences"], route_class=IdempotentRoute)

LONGEST_S = 366 * 86_400
MATCHER = r'^[A-Za-z_][A-Za-z0-9_]* ?(=~|!~|!=|=) ?("([^"\\]|\\.)*"|[^"\s=~][^"\s]*)$'
"""The form of alerts/notify/labels.py as a schema can say it."""


Matcher = Annotated[str, Field(max_length=400, pattern=MATCHER)]


class SilenceBody(BaseModel):
    """A new silence."""

    model_config = ConfigDict(extra="forbid")
    matchers: list[Matcher] = Field(min_length=1, max_length=MOST_MATCHERS, description='Conditions, all must hold, e.g. `subject="topic:Macro"`.')
    starts_at: AwareDatetime | None = Field(None, description="Now where it is not named.")
    ends_at: AwareDatetime | None = Field(None, description="`duration_s` after its start where it is not named.")
    duration_s: float = Field(3600, gt=0, le=LONGEST_S)
    author: str | None = Field(None, max_length=MOST_NAME_CHARS, description="The name of the token where nobody is named.")
    comment: str = Field("", max_length=MOST_COMMENT_CHARS)


@router.get("")
async def list_silences(request: Request, _: Reader, state: Annotated[Literal["pending", "active", "expired"] | None, Query()] = None) -> Any:
    """Silences that are on, to come, or ended lately."""
    parts: Parts = request.app.state.parts
    found = [_shown(silence, parts) for silence in await parts.silences.all()]
    return {"silences": [silence for silence in found if state in {None, silence["state"]}]}


@router.post("", status_code=201)
async def add_silence(request: Request, caller: Operator, body: SilenceBody) -> Any:
    """Keep matching alerts from being told for a while."""
    parts: Parts = request.app.state.parts
    now = parts.wall.now()
    starts_at = body.starts_at or now
    try:
        ends_at = body.ends_at or starts_at + timedelta(seconds=body.duration_s)
    except OverflowError as error:
        raise HTTPException(409, "ends_at: beyond the calendar") from error
    if ends_at <= max(starts_at, now):
        raise HTTPException(409, "ends_at: before it begins, or past")
    author = (body.author or "").strip() or caller.name
    try:
        silence = silence_of(matchers=body.matchers, starts_at=starts_at, ends_at=ends_at, author=author, comment=body.comment, now=now)
    except ConfigError as error:  # of the right form, but a pattern that is none, or matchers that match everything
        raise HTTPException(409, str(error)) from error
    await parts.silences.put(silence)
    return _shown(silence, parts)


@router.get("/{silence_id}")
async def show_silence(request: Request, _: Reader, silence_id: str) -> Any:
    """One silence."""
    parts: Parts = request.app.state.parts
    found = await parts.silences.get(silence_id)
    if found is None:
        raise HTTPException(404, f"no silence {silence_id[:100]}")
    return _shown(found, parts)


@router.delete("/{silence_id}")
async def expire_silence(request: Request, _: Operator, silence_id: str) -> Any:
    """End a silence now."""
    parts: Parts = request.app.state.parts
    found = await parts.silences.expire(silence_id)
    if found is None:
        raise HTTPException(404, f"no silence {silence_id[:100]}")
    return _shown(found, parts)


def _shown(silence: Silence, parts: Parts) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(silence)
    return shown | {"state": silence.state(parts.wall.now())}
