"""Whether all is alive: for people, load balancers and Prometheus."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from alerts.api.access import Reader
from alerts.api.parts import Parts
from opinion.metrics import exposition

router = APIRouter(tags=["health"])


@router.get("/api/v1/sources")
async def list_sources(request: Request, _: Reader) -> Any:
    """The health of every source."""
    return {"sources": await _parts(request).sources()}


@router.get("/api/v1/status")
async def show_status(request: Request, _: Reader) -> Any:
    """How far the pipeline is."""
    return await _parts(request).status()


@router.get("/healthz", response_class=Response)
async def healthy() -> Response:
    """200 while the process answers."""
    return Response("ok\n", media_type="text/plain")


@router.get("/readyz", response_class=Response, responses={503: {"description": "not looked at the windows yet"}})
async def ready(request: Request) -> Response:
    """200 once it has looked at the windows, or stands by."""
    is_ready = _parts(request).ready()
    return Response("ready\n" if is_ready else "not ready\n", status_code=200 if is_ready else 503, media_type="text/plain")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Prometheus metrics."""
    return Response(exposition(_parts(request).registry), media_type=CONTENT_TYPE_LATEST)


def _parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found
