"""Server-sent events: alerts and judged documents as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from msgspec.structs import replace

from alerts.api.access import Reader
from alerts.api.parts import Parts
from alerts.live import Event, places_of
from alerts.store import AlertStore
from opinion.errors import RecordError, StoreUnavailable

router = APIRouter(prefix="/api/v1/stream", tags=["stream"])

BEAT_S = 15.0
"""A comment is sent so often where nothing happens: proxies cut silent connections after 30 to 60 s."""
RETRY_MS = 3_000


@router.get("", response_class=StreamingResponse)
async def stream(
    request: Request,
    _: Reader,
    kinds: Annotated[list[Literal["alert", "document"]] | None, Query(description="Both where none is named.")] = None,
    last_event_id: Annotated[str | None, Header(max_length=10_000, description="Of the last event seen: alerts since are told first.")] = None,
) -> Any:
    """Events `alert` and `document`, with the record as JSON; `reset` where alerts were missed that are remembered no more: read everything anew."""
    parts: Parts = request.app.state.parts
    if last_event_id:
        places_of(last_event_id)
    wanted = {"reset", *(kinds or ("alert", "document"))}
    return StreamingResponse(lines_of(parts, last_event_id or "", wanted), media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"})


async def lines_of(parts: Parts, last_id: str, wanted: Collection[str]) -> AsyncGenerator[bytes, None]:
    """Events of some kinds as they go over the wire, with a sign of life where nothing happens."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    async with aclosing(parts.live.listen(last_id)) as events:
        coming: asyncio.Future[Event] | None = None
        try:
            while True:
                coming = coming or asyncio.ensure_future(anext(events))
                done, _ = await asyncio.wait({coming}, timeout=BEAT_S)
                if not done:
                    yield b": still here\n\n"
                    continue
                event, coming = coming.result(), None
                if event.kind in wanted:
                    yield line_of(await _shown(event, parts.alerts))
        except (StopAsyncIteration, StoreUnavailable):  # without Redis nobody knows what is erased; the listener comes back, and is told then
            return
        finally:
            if coming is not None:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)


async def _shown(event: Event, alerts: AlertStore) -> Event:
    """The event without what is erased by now: what is remembered of alerts is as old as the log."""
    if event.kind != "alert":
        return event
    try:
        return replace(event, data=await alerts.shown(event.data))
    except RecordError:  # of a newer version
        return replace(event, kind="reset", data=b"")


def line_of(event: Event) -> bytes:
    r"""An event as it goes over the wire. JSON holds no line breaks.

    >>> line_of(Event("alert", b"{}", "0-1"))
    b'id: 0-1\nevent: alert\ndata: {}\n\n'
    """
    place = f"id: {event.id}\n".encode() if event.id else b""
    return place + f"event: {event.kind}\n".encode() + b"data: " + event.data + b"\n\n"
