"""Deliveries: what became of every message."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, HTTPException, Query, Request

from alerts.api.access import Operator, Reader
from alerts.api.idempotency import IdempotentRoute
from alerts.api.paging import MOST_ROWS, Limit
from alerts.api.parts import Parts
from opinion.records import DeliveryOutcome

router = APIRouter(prefix="/api/v1/deliveries", tags=["deliveries"], route_class=IdempotentRoute)

Text = Annotated[str | None, Query(max_length=100)]


@router.get("")
async def list_deliveries(request: Request, _: Reader, alert: Text = None, subscription: Text = None, outcome: DeliveryOutcome | None = None, limit: Limit = 50) -> Any:
    """Deliveries, newest first."""
    parts: Parts = request.app.state.parts
    found = [
        item
        for item in await parts.queue.newest(limit=MOST_ROWS)
        if alert in {None, item.alert_id, *item.alert_ids} and subscription in {None, item.subscription_id} and outcome in {None, item.outcome}
    ]
    return {"deliveries": msgspec.to_builtins(found[:limit])}


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
