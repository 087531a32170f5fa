"""Deliveries: what became of every message."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request

from alerts.api.access import Operator, Reader
from alerts.api.idempotency import IdempotentRoute
from alerts.api.paging import Cursor, Limit, cursor_of, place_of
from alerts.api.parts import Parts
from opinion.records import DeliveryOutcome

router = APIRouter(prefix="/api/v1/deliveries", tags=["deliveries"], route_class=IdempotentRoute)

Text = Annotated[str | None, Query(max_length=100)]


@router.get("")
async def list_deliveries(
    request: Request, _: Reader, alert: Text = None, subscription: Text = None, outcome: DeliveryOutcome | None = None, cursor: Cursor = None, limit: Limit = 50
) -> Any:
    """Deliveries, newest first."""
    parts: Parts = request.app.state.parts
    found = await parts.queue.page(alert=alert, subscription=subscription, outcome=outcome, before=place_of(cursor, tuple[int, str]), limit=limit)
    return {"deliveries": msgspec.to_builtins(found.deliveries), "next": None if found.before is None else cursor_of(found.before)}


@router.get("/{delivery_id}")
async def show_delivery(request: Request, _: Reader, delivery_id: str) -> Any:
    """One delivery."""
    parts: Parts = request.app.state.parts
    found = await parts.queue.get(delivery_id)
    if found is None:
        raise HTTPException(404, f"no delivery {delivery_id[:100]}")
    return msgspec.to_builtins(found)


@router.post("/{delivery_id}/retry", status_code=202)
async def retry_delivery(request: Request, _: Operator, delivery_id: str) -> Any:
    """Send it again now, whatever became of it: the same bytes under the same id."""
    parts: Parts = request.app.state.parts
    if not await parts.queue.retry(delivery_id):
        raise HTTPException(404, f"no delivery {delivery_id[:100]}")
    return {"delivery_id": delivery_id}
