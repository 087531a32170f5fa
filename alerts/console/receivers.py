"""Receivers: who is told through which channel, what became of every message, what is silenced."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Response

from alerts.api import subscriptions
from alerts.api.subscriptions import MatchBody, SubscriptionBody, SubscriptionPatch, shown
from alerts.channels.channel import all_channels
from alerts.channels.webhook import NAME as WEBHOOK
from alerts.console.web import Administered, ConsoleRoute, Form, Operated, Visited
from opinion.records import Delivery, DeliveryOutcome, Severity

router = APIRouter(prefix="/receivers", route_class=ConsoleRoute, include_in_schema=False)

ROWS = 50
LOOKED_THROUGH = 500
FAILED = frozenset(DeliveryOutcome) - {DeliveryOutcome.DELIVERED}
Outcome = Literal["delivered", "failed", "waiting", ""]


@router.get("")
async def show_receivers(visit: Visited, receiver: Annotated[str, Query(max_length=100)] = "", outcome: Outcome = "") -> Response:
    """Receivers, their messages, silences."""
    parts = visit.parts
    recent = (await parts.queue.page(limit=LOOKED_THROUGH)).deliveries
    held = await parts.subscriptions.all()
    deliveries = [item for item in recent if receiver in ("", item.subscription_id) and outcome in ("", state_of(item))]
    counts = Counter((item.subscription_id, state_of(item)) for item in recent)
    now = parts.wall.now()
    silences = sorted(((silence.state(now), silence) for silence in await parts.silences.all()), key=lambda pair: (pair[0] == "expired", pair[1].ends_at))
    return visit.page(
        "receivers.html", receivers=[shown(item) for item in held], counts=counts, deliveries=[(state_of(item), item) for item in deliveries[:ROWS]],
        names={item.id: item.name for item in held}, receiver=receiver, outcome=outcome, silences=silences, channels=list(all_channels().values()), severities=list(Severity),
        waiting=await parts.queue.waiting(),
    )  # fmt: skip


@router.post("")
async def add(form: Administered) -> Response:
    """A new receiver. The secret of a signed webhook is shown once, here."""
    named: dict[str, Any] = {"name": form.text("name"), "channel": form.text("channel") or WEBHOOK, "match": _match(form)}
    named |= {name: form.text(name) for name in ("url", "language") if form.text(name)}
    if options := _options(form.text("options")):
        named["options"] = options
    made = await subscriptions.add_subscription(form.visit.request, form.visit.caller, SubscriptionBody(**named))
    return _secret(form, made) if "secret" in made else form.done("receiver_added", otherwise="/receivers")


@router.post("/{wanted}/rotate")
async def rotate(form: Administered, wanted: str) -> Response:
    """A new key, shown once."""
    return _secret(form, await subscriptions.rotate_key(form.visit.request, form.visit.caller, wanted))


@router.post("/{wanted}/test")
async def test(form: Operated, wanted: str) -> Response:
    """A test message."""
    await subscriptions.send_test(form.visit.request, form.visit.caller, wanted)
    return form.done("test_sent", otherwise="/receivers")


@router.post("/{wanted}/enable")
async def enable(form: Administered, wanted: str) -> Response:
    """Tell it again."""
    return await _switched(form, wanted, on=True)


@router.post("/{wanted}/disable")
async def disable(form: Administered, wanted: str) -> Response:
    """Tell it nothing any more."""
    return await _switched(form, wanted, on=False)


@router.post("/{wanted}/remove")
async def remove(form: Administered, wanted: str) -> Response:
    """No such receiver any more."""
    await subscriptions.remove_subscription(form.visit.request, form.visit.caller, wanted)
    return form.done("receiver_removed", otherwise="/receivers")


def state_of(delivery: Delivery) -> Outcome:
    """What became of a message, in a word."""
    if delivery.settled_at is None:
        return "waiting"
    return "failed" if delivery.outcome in FAILED else "delivered"


async def _switched(form: Form, wanted: str, *, on: bool) -> Response:
    await subscriptions.change_subscription(form.visit.request, Response(), form.visit.caller, wanted, SubscriptionPatch(enabled=on))
    return form.done("receiver_enabled" if on else "receiver_disabled", otherwise="/receivers")


def _secret(form: Form, made: dict[str, Any]) -> Response:
    return form.visit.page("secret.html", name=made["name"], secret=made["secret"])


def _match(form: Form) -> MatchBody:
    fields: dict[str, Any] = {"severity_at_least": form.text("severity") or Severity.WARNING}
    for name in ("subjects", "watchlist"):
        if said := [line.strip() for line in form.text(name).splitlines() if line.strip()]:
            fields[name] = said
    return MatchBody(**fields)


def _options(text: str) -> dict[str, str]:
    """Options as lines of `name=value`."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if wrong := next((number for number, line in enumerate(lines, 1) if "=" not in line), None):
        raise HTTPException(422, f"options: line {wrong} is not name=value")  # the line itself may be a secret
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}
