"""What people say of alerts and judgements: kept for those who improve the rules and the model."""

from __future__ import annotations

from typing import Any, Literal, cast

import msgspec
from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from redis.exceptions import RedisError

from alerts.acts import MOST_NAME_CHARS, MOST_TEXT_CHARS
from alerts.api.access import Operator, Reader
from alerts.api.idempotency import IdempotentRoute
from alerts.api.paging import MOST_ROWS, Limit
from alerts.api.parts import Parts
from opinion.errors import StoreUnavailable
from opinion.records import Feedback, FeedbackVerdict

router = APIRouter(prefix="/api/v1/feedback", tags=["feedback"], route_class=IdempotentRoute)

MOST_KEPT = 100_000


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")
    subscription: str | None = Field(None, max_length=100, description="Through which receiver it came: its ranking learns from it.")
    verdict: FeedbackVerdict
    correct: str | None = Field(None, max_length=200, description="What it should have been: a sentiment, a topic, an entity.")
    by: str | None = Field(None, max_length=MOST_NAME_CHARS, description="Who; the name of the token where nobody is named.")
    note: str = Field("", max_length=MOST_TEXT_CHARS)


class AlertFeedback(_Body):
    """What somebody says of an alert."""

    alert_id: str = Field(max_length=100)
    doc_id: None = None


class DocumentFeedback(_Body):
    """What somebody says of the judgement of a document, be it seen in an alert or not."""

    doc_id: str = Field(max_length=200)
    alert_id: str | None = Field(None, max_length=100)


@router.post("", status_code=201)
async def give(request: Request, caller: Operator, body: AlertFeedback | DocumentFeedback) -> Any:
    """Say whether an alert (`alert_id`) was right, or what the judgement of a document (`doc_id`) should have been."""
    parts: Parts = request.app.state.parts
    alert = None if body.alert_id is None else await parts.alerts.get(body.alert_id)
    if body.alert_id is not None and alert is None:
        raise HTTPException(404, f"no alert {body.alert_id}")
    if body.doc_id is not None and await parts.archive.get(body.doc_id) is None:
        raise HTTPException(404, f"no document {body.doc_id}")
    said = Feedback(
        alert_id=body.alert_id, doc_id=body.doc_id, subscription_id=body.subscription, verdict=body.verdict, correct=body.correct,
        by=(body.by or "").strip() or caller.name, note=body.note, at=parts.wall.now(),
    )  # fmt: skip
    try:
        async with parts.redis.pipeline(transaction=True) as pipe:
            pipe.rpush(parts.names.feedback, msgspec.json.encode(said))
            pipe.ltrim(parts.names.feedback, -MOST_KEPT, -1)
            await pipe.execute()
    except RedisError as error:
        raise StoreUnavailable(f"Redis did not take what was said: {error}") from error
    if alert is not None and body.doc_id is None:
        await parts.ranks.learn(await receivers_of(parts, alert.alert_id, body.subscription), alert, mattered=body.verdict is FeedbackVerdict.TRUE)
    return msgspec.to_builtins(said)


async def receivers_of(parts: Parts, alert_id: str, named: str | None) -> list[str]:
    """The receiver that is named, else all that were told of the alert: its people speak for each."""
    if named is not None:
        return [named]
    return sorted({item.subscription_id for item in (await parts.queue.page(alert=alert_id, limit=MOST_ROWS)).deliveries})


@router.get("")
async def list_feedback(request: Request, _: Reader, limit: Limit = 50, verdict: FeedbackVerdict | None = None, order: Literal["newest", "oldest"] = "newest") -> Any:
    """What was said."""
    parts: Parts = request.app.state.parts
    try:
        rows = cast("list[bytes]", await parts.redis.lrange(parts.names.feedback, 0, -1))
    except RedisError as error:
        raise StoreUnavailable(f"Redis did not say what was said: {error}") from error
    found = [item for row in rows if verdict in {None, (item := msgspec.json.decode(row, type=Feedback)).verdict}]
    chosen = found[::-1][:limit] if order == "newest" else found[:limit]
    return {"feedback": msgspec.to_builtins(chosen)}
