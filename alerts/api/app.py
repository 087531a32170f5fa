"""The HTTP API of the alerter: alerts, silences, subscriptions, deliveries, subjects, documents, events, health, metrics; and the console."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from alerts.api import alerts, deliveries, documents, feedback, health, silences, stream, subjects, subscriptions
from alerts.api.parts import Parts
from alerts.api.problem import PROBLEM, install
from alerts.console.install import install as install_console

REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
    for status, meaning in {
        401: "no token, or a wrong one",
        403: "the token may not do this",
        404: "there is none",
        409: "it does not fit how things are",
        412: "somebody changed it meanwhile",
        422: "the request is wrong; `detail` names where",
        429: "too many requests; `Retry-After` says when",
        503: "Kafka, Redis or the disk does not answer; try again",
    }.items()
}


def build_api(parts: Parts) -> FastAPI:
    """The application; every path under /api needs a bearer token."""
    app = FastAPI(title="Yuqing", version="1", summary="Financial public opinion: alerts, and what stands behind them.", docs_url=None, redoc_url=None)
    app.state.parts = parts
    install(app)
    for module in (alerts, feedback, silences, subscriptions, deliveries, subjects, documents, stream):
        app.include_router(module.router, responses=REFUSALS)
    app.include_router(health.router)
    install_console(app)

    @app.get("/", tags=["health"])
    async def root() -> Any:
        """Where to look, for programs; browsers get the console."""
        return {"name": "Yuqing", "api": "/openapi.json", "metrics": "/metrics", "health": "/healthz", "console": "/"}

    return app
