"""The HTTP API of the alerter: alerts, subscriptions, deliveries, sources, health, metrics."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import Depends, FastAPI, HTTPException, Query, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from pydantic import BaseModel, ConfigDict, Field

from alerts.api.problem import install
from alerts.delivery_queue import DeliveryQueue
from alerts.notifier import Notifier
from alerts.silence_store import SilenceStore
from alerts.store import AlertStore
from alerts.subscriptions import Match, Subscription, SubscriptionStore, key_bytes, new_key, rotated, subscription_id
from opinion.metrics import exposition
from opinion.records import AlertStatus, DeliveryOutcome, Severity
from opinion.webhook_address import WebhookAddress

MOST_ROWS = 500

Read = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Parts:
    """What the API speaks for."""

    alerts: AlertStore
    subscriptions: SubscriptionStore
    queue: DeliveryQueue
    notifier: Notifier
    silences: SilenceStore
    registry: CollectorRegistry
    token: str
    status: Read  # JSON-able state of the pipeline
    sources: Read  # JSON-able health of the sources
    ready: Callable[[], bool]


class MatchBody(BaseModel):
    """Which alerts a subscription wants."""

    model_config = ConfigDict(extra="forbid")
    subjects: list[str] = Field(default_factory=lambda: ["*"], min_length=1, max_length=200)
    severity_at_least: Severity = Severity.WARNING


class SubscriptionBody(BaseModel):
    """A new subscription."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=100)
    url: WebhookAddress
    match: MatchBody = Field(default_factory=MatchBody)
    send_resolved: bool = True
    enabled: bool = True
    secret: str | None = None


class SubscriptionPatch(BaseModel):
    """Changes to a subscription."""

    model_config = ConfigDict(extra="forbid")
    url: WebhookAddress | None = None
    match: MatchBody | None = None
    send_resolved: bool | None = None
    enabled: bool | None = None


def shown(subscription: Subscription) -> dict[str, Any]:
    """A subscription without its keys."""
    fields = msgspec.to_builtins(subscription)
    fields["keys"] = len(fields.pop("keys"))
    return dict(fields)


def build_api(parts: Parts) -> FastAPI:
    """The application; every path under /api needs the bearer token."""
    app = FastAPI(title="Yuqing", version="1", docs_url=None, redoc_url=None)
    install(app)
    needed = Depends(HTTPBearer(auto_error=False))

    def authorised(credentials: HTTPAuthorizationCredentials | None = needed) -> None:
        given = credentials.credentials if credentials else ""
        if not hmac.compare_digest(given.encode(), parts.token.encode()):
            raise HTTPException(401, "a bearer token is needed; `yuqing up` says where it is", headers={"WWW-Authenticate": "Bearer"})

    guard = [Depends(authorised)]
    _add_alerts(app, parts, guard)
    _add_subscriptions(app, parts, guard)
    _add_deliveries(app, parts, guard)
    _add_health(app, parts, guard)
    return app


def _add_alerts(app: FastAPI, parts: Parts, guard: list[Any]) -> None:
    @app.get("/api/v1/alerts", dependencies=guard)
    async def list_alerts(status: AlertStatus | None = None, subject: str | None = None, limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50) -> Any:
        found = await parts.alerts.newest(limit=limit, status=status.value if status else None, subject=subject)
        return {"alerts": msgspec.to_builtins(found)}

    @app.get("/api/v1/alerts/{alert_id}", dependencies=guard)
    async def show_alert(alert_id: str) -> Any:
        found = await parts.alerts.get(alert_id)
        if found is None:
            raise HTTPException(404, f"no alert {alert_id}")
        return msgspec.to_builtins(found)


def _add_subscriptions(app: FastAPI, parts: Parts, guard: list[Any]) -> None:  # noqa: C901 - one small function per path
    async def _held(wanted: str) -> Subscription:
        found = await parts.subscriptions.get(wanted)
        if found is None:
            raise HTTPException(404, f"no subscription {wanted}")
        return found

    @app.get("/api/v1/subscriptions", dependencies=guard)
    async def list_subscriptions() -> Any:
        return {"subscriptions": [shown(item) for item in await parts.subscriptions.all()]}

    @app.post("/api/v1/subscriptions", dependencies=guard, status_code=201)
    async def add_subscription(body: SubscriptionBody) -> Any:
        wanted = subscription_id(body.name)
        if await parts.subscriptions.get(wanted) is not None:
            raise HTTPException(409, f"there is a subscription of the name {body.name!r}")
        key = body.secret or new_key()
        key_bytes(key)
        match = Match(subjects=body.match.subjects, severity_at_least=body.match.severity_at_least)
        held = Subscription(id=wanted, name=body.name, url=body.url, keys=[key], match=match, send_resolved=body.send_resolved, enabled=body.enabled)
        await parts.subscriptions.put(held)
        return shown(held) | {"secret": key}

    @app.get("/api/v1/subscriptions/{wanted}", dependencies=guard)
    async def show_subscription(wanted: str) -> Any:
        return shown(await _held(wanted))

    @app.patch("/api/v1/subscriptions/{wanted}", dependencies=guard)
    async def change_subscription(wanted: str, body: SubscriptionPatch) -> Any:
        held = await _held(wanted)
        changes: dict[str, Any] = body.model_dump(exclude_none=True, exclude={"match"})
        if body.match is not None:
            changes["match"] = Match(subjects=body.match.subjects, severity_at_least=body.match.severity_at_least)
        if body.enabled:
            changes["disabled_reason"] = ""
        changed = msgspec.structs.replace(held, **changes)
        await parts.subscriptions.put(changed)
        return shown(changed)

    @app.delete("/api/v1/subscriptions/{wanted}", dependencies=guard, status_code=204)
    async def remove_subscription(wanted: str) -> None:
        await _held(wanted)
        await parts.subscriptions.remove(wanted)

    @app.post("/api/v1/subscriptions/{wanted}/rotate", dependencies=guard)
    async def rotate_key(wanted: str) -> Any:
        key = new_key()
        changed = rotated(await _held(wanted), key)
        await parts.subscriptions.put(changed)
        return shown(changed) | {"secret": key}

    @app.post("/api/v1/subscriptions/{wanted}/test", dependencies=guard, status_code=202)
    async def send_test(wanted: str) -> Any:
        held = await _held(wanted)
        return {"delivery_id": await parts.notifier.test(held, nonce=uuid.uuid4().hex)}


def _add_deliveries(app: FastAPI, parts: Parts, guard: list[Any]) -> None:
    @app.get("/api/v1/deliveries", dependencies=guard)
    async def list_deliveries(
        alert: str | None = None, subscription: str | None = None, outcome: DeliveryOutcome | None = None, limit: Annotated[int, Query(ge=1, le=MOST_ROWS)] = 50
    ) -> Any:
        found = [
            item
            for item in await parts.queue.newest(limit=MOST_ROWS)
            if alert in {None, item.alert_id} and subscription in {None, item.subscription_id} and outcome in {None, item.outcome}
        ]
        return {"deliveries": msgspec.to_builtins(found[:limit])}

    @app.post("/api/v1/deliveries/{delivery_id}/retry", dependencies=guard, status_code=202)
    async def retry_delivery(delivery_id: str) -> Any:
        if not await parts.queue.retry(delivery_id):
            raise HTTPException(404, f"no delivery {delivery_id}")
        return {"delivery_id": delivery_id}


def _add_health(app: FastAPI, parts: Parts, guard: list[Any]) -> None:
    @app.get("/api/v1/sources", dependencies=guard)
    async def list_sources() -> Any:
        return {"sources": await parts.sources()}

    @app.get("/api/v1/status", dependencies=guard)
    async def show_status() -> Any:
        return await parts.status()

    @app.get("/healthz")
    async def healthy() -> Response:
        return Response("ok\n", media_type="text/plain")

    @app.get("/readyz")
    async def ready() -> Response:
        return Response("ready\n" if parts.ready() else "not ready\n", status_code=200 if parts.ready() else 503, media_type="text/plain")

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(exposition(parts.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/")
    async def root() -> Any:
        return {"name": "Yuqing", "api": "/openapi.json", "metrics": "/metrics", "health": "/healthz"}
