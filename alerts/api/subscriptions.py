"""Subscriptions: who is told of what, through which channel."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Header, HTTPException, Request, Response
from msgspec.structs import replace
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from alerts.api.access import Admin, Operator, Reader
from alerts.api.idempotency import IdempotentRoute
from alerts.api.parts import Parts
from alerts.channels.channel import all_channels, checked
from alerts.channels.webhook import NAME as WEBHOOK
from alerts.notify.quiet import ALL_DAYS, QuietHours
from alerts.subscriptions import GROUP_LABELS, Match, Subscription, new_key, rotated, subscription_id
from opinion.errors import ConfigError
from opinion.names import digest
from opinion.records import DocumentKind, Severity
from opinion.telling_settings import SubscriptionSetting
from opinion.webhook_address import WebhookAddress

router = APIRouter(prefix="/api/v1/subscriptions", tags=["subscriptions"], route_class=IdempotentRoute)

Text = Annotated[str, Field(max_length=400)]
IfMatch = Annotated[str | None, Header(description="The ETag as last seen: refused with 412 where somebody else changed it meanwhile.")]


def _said(name: str) -> str | None:
    """What the setting of that name says of itself."""
    return SubscriptionSetting.model_fields[name].description


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class MatchBody(_Body):
    """Which alerts; an empty list asks for nothing."""

    subjects: list[Text] = Field(default_factory=lambda: ["*"], max_length=200, description="Globs; any is enough.")
    watchlist: list[Text] = Field(default_factory=list, max_length=1000, description="Tickers or codes of companies beside those of the globs.")
    severity_at_least: Severity = Field(Severity.WARNING, description=_said("severity_at_least"))
    languages: list[Literal["en", "zh"]] = Field(default_factory=list, max_length=2, description=_said("languages"))
    kinds: list[DocumentKind] = Field(default_factory=list, max_length=10, description=_said("kinds"))
    matchers: list[Text] = Field(default_factory=list, max_length=20, description=_said("matchers"))


class QuietBody(_Body):
    """Hours in which a receiver is left alone."""

    start: str = Field(max_length=5, description="HH:MM, local time.")
    end: str = Field(max_length=5, description="The same; before `start`: the next morning's.")
    timezone: str = Field("UTC", max_length=60, description="IANA name, e.g. Asia/Shanghai.")
    days: list[int] = Field(default_factory=lambda: list(ALL_DAYS), max_length=7, description="ISO weekdays on which quiet begins, Monday 1.")
    wake_for: Severity | None = Field(Severity.CRITICAL, description="Told all the same from this severity on.")


class SubscriptionPatch(_Body):
    """Changes; what is not named stays."""

    url: WebhookAddress | None = Field(None, description=_said("url"))
    options: dict[str, Annotated[str, Field(max_length=2000)]] | None = Field(None, max_length=30, description=_said("options"))
    match: MatchBody | None = Field(None, description="Which alerts; all where it is not named.")
    send_resolved: bool | None = Field(None, description=_said("send_resolved"))
    enabled: bool | None = Field(None, description="Whether it is told at all.")
    language: Literal["en", "zh", "both"] | None = Field(None, description=_said("language"))
    group_by: list[Literal[GROUP_LABELS]] | None = Field(None, max_length=len(GROUP_LABELS), description=_said("group_by"))  # type: ignore[valid-type]
    group_wait_s: float | None = Field(None, ge=0, description=_said("group_wait_s"))
    group_interval_s: float | None = Field(None, gt=0, description=_said("group_interval_s"))
    repeat_interval_s: float | None = Field(None, gt=0, description=_said("repeat_interval_s"))
    quiet_hours: QuietBody | None = None
    rate_per_min: float | None = Field(None, gt=0, description=_said("rate_per_min"))


class SubscriptionBody(SubscriptionPatch):
    """A new subscription: a `url` for webhooks, a `channel` and its options for others."""

    name: str = Field(min_length=1, max_length=100, description=_said("name"))
    channel: str = Field(WEBHOOK, max_length=50, description=_said("channel"))
    secret: str | None = Field(None, max_length=200, description="Of signed webhooks; made where none is named.")


@router.get("")
async def list_subscriptions(request: Request, _: Reader) -> Any:
    """All subscriptions, by name, without secrets."""
    return {"subscriptions": [shown(item) for item in await _parts(request).subscriptions.all()]}


@router.get("/channels")
async def list_channels(_: Reader) -> Any:
    """The channels there are, and what they ask for."""
    return {"channels": [{"name": channel.name, "options": dict(channel.options), "needs": list(channel.needs)} for channel in all_channels().values()]}


@router.post("", status_code=201)
async def add_subscription(request: Request, _: Admin, body: SubscriptionBody) -> Any:
    """Add a receiver. The secret is shown once, here."""
    parts = _parts(request)
    wanted = subscription_id(body.name)
    if await parts.subscriptions.get(wanted) is not None:
        raise HTTPException(409, f"there is a subscription of the name {body.name!r}")
    signed = body.channel == WEBHOOK
    keys = [body.secret or new_key()] if signed else []
    held = _fitting(replace(Subscription(id=wanted, name=body.name, channel=body.channel, keys=keys), **_changes(body)))
    await parts.subscriptions.put(held)
    return shown(held) | ({"secret": keys[0]} if signed else {})


@router.get("/{wanted}")
async def show_subscription(request: Request, response: Response, _: Reader, wanted: str) -> Any:
    """One subscription; its ETag changes with it."""
    held = await _held(request, wanted)
    response.headers["etag"] = etag_of(held)
    return shown(held)


@router.patch("/{wanted}")
async def change_subscription(request: Request, response: Response, _: Admin, wanted: str, body: SubscriptionPatch, if_match: IfMatch = None) -> Any:
    """Change a subscription. Enabling it again forgets why it was disabled."""
    held = await _held(request, wanted, if_match=if_match)
    changes = _changes(body)
    if body.options is not None:
        changes["options"] = held.options | body.options
    if body.enabled:
        changes |= {"disabled_reason": "", "failing_since": None}
    changed = _fitting(replace(held, **changes))
    await _parts(request).subscriptions.put(changed)
    response.headers["etag"] = etag_of(changed)
    return shown(changed)


@router.delete("/{wanted}", status_code=204)
async def remove_subscription(request: Request, _: Admin, wanted: str, if_match: IfMatch = None) -> None:
    """Remove a subscription; what waits for it is not sent any more."""
    await _held(request, wanted, if_match=if_match)
    await _parts(request).subscriptions.remove(wanted)


@router.post("/{wanted}/rotate")
async def rotate_key(request: Request, _: Admin, wanted: str) -> Any:
    """A new key of a signed webhook; the one before signs too until the next rotation."""
    held = await _held(request, wanted)
    if held.channel != WEBHOOK:
        raise HTTPException(409, f"channel {held.channel} signs nothing")
    key = new_key()
    changed = rotated(held, key)
    await _parts(request).subscriptions.put(changed)
    return shown(changed) | {"secret": key}


@router.post("/{wanted}/test", status_code=202)
async def send_test(request: Request, _: Operator, wanted: str) -> Any:
    """Send a test message."""
    held = await _held(request, wanted)
    if not held.enabled:
        raise HTTPException(409, f"the subscription is disabled{': ' * bool(held.disabled_reason)}{held.disabled_reason}")
    return {"delivery_id": await _parts(request).notifier.test(held, nonce=uuid.uuid4().hex)}


class RetryBody(_Body):
    """What to send again."""

    since: AwareDatetime | None = Field(None, description="All that was made since then, delivered or not; what never arrived where it is not named.")


@router.post("/{wanted}/retry", status_code=202)
async def retry_deliveries(request: Request, _: Operator, wanted: str, body: RetryBody | None = None) -> Any:
    """Send again what never arrived, or all since an instant: the same bytes under the same ids."""
    held = await _held(request, wanted)
    queue, since = _parts(request).queue, body.since if body is not None else None
    return {"queued": await (queue.retry_missing(held.id) if since is None else queue.retry_since(held.id, since))}


def shown(subscription: Subscription) -> dict[str, Any]:
    """A subscription without its secrets."""
    fields: dict[str, Any] = msgspec.to_builtins(subscription)
    fields["keys"] = len(fields.pop("keys"))
    secret = all_channels()[subscription.channel].secret_options if subscription.channel in all_channels() else frozenset(subscription.options)
    fields["options"] = {name: "***" if name in secret else value for name, value in subscription.options.items()}
    return fields


def etag_of(subscription: Subscription) -> str:
    """What changes whenever somebody changes it."""
    settled = replace(subscription, failing_since=None)
    return f'"{digest(msgspec.json.encode(settled).decode(), chars=16)}"'


def _changes(body: SubscriptionPatch) -> dict[str, Any]:
    """What a body says, as fields of a subscription. A field that is null, and one that is not there, are told apart."""
    named = body.model_fields_set - {"name", "channel", "secret"}
    changes: dict[str, Any] = {name: getattr(body, name) for name in named}
    if body.match is not None:
        changes["match"] = Match(**{name: getattr(body.match, name) for name in MatchBody.model_fields})
    if body.quiet_hours is not None:
        changes["quiet_hours"] = QuietHours(**{name: getattr(body.quiet_hours, name) for name in QuietBody.model_fields})
    empty = {name for name, value in changes.items() if value is None and name not in ("repeat_interval_s", "quiet_hours", "rate_per_min")}
    return {name: value for name, value in changes.items() if name not in empty}


def _fitting(subscription: Subscription) -> Subscription:
    """The subscription; 409 where its parts are of the right form but cannot work together."""
    try:
        return checked(subscription)
    except ConfigError as error:
        raise HTTPException(409, str(error)) from error


async def _held(request: Request, wanted: str, *, if_match: str | None = None) -> Subscription:
    found = await _parts(request).subscriptions.get(wanted)
    if found is None:
        raise HTTPException(404, f"no subscription {wanted[:100]}")
    if if_match is not None and if_match not in ("*", etag_of(found)):
        raise HTTPException(412, "somebody changed the subscription meanwhile: look at it again")
    return found


def _parts(request: Request) -> Parts:
    found: Parts = request.app.state.parts
    return found
