"""Webhooks in the form that Alertmanager sends (version 4), for receivers that read that form already."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from alerts.channels.alertmanager_form import AUTH_OPTIONS, AUTH_SECRETS, FormedAlert, auth_headers, check_auth, formed
from alerts.channels.channel import Channel, Message, Sender, check_url
from alerts.channels.posting import post
from alerts.notify.groups import Notice
from alerts.notify.labels import fingerprint_of
from alerts.subscriptions import Subscription
from opinion.errors import ConfigError

NAME = "alertmanager_webhook"
MOST_ALERTS = 100
"""In one message, where the option does not say. Alertmanager's own default is all of them; a message has to end somewhere."""
NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""What Alertmanager sends as the end of an alert that is on: the zero of Go's time."""


class HookAlert(Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert of a message."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime
    generator_url: str = msgspec.field(name="generatorURL")
    fingerprint: str  # of the labels without `severity`, so that it is one and the same over the alert's life


class HookMessage(Struct, frozen=True, kw_only=True, rename="camel"):
    """The body."""

    version: str = "4"
    group_key: str
    truncated_alerts: int
    status: Literal["firing", "resolved"]
    receiver: str
    group_labels: dict[str, str]
    common_labels: dict[str, str]
    common_annotations: dict[str, str]
    external_url: str = msgspec.field(name="externalURL")
    alerts: list[HookAlert]


def render(notice: Notice, subscription: Subscription) -> bytes:
    """The body of a notice."""
    found = [_alert(alert) for alert in formed(notice, subscription)]
    shown = found[: most_alerts(subscription)]
    grouped = {label: value for label, value in notice.labels.items() if label != "alert_id"}
    labels = grouped or {label: value for label, value in _common([alert.labels for alert in found]).items() if label != "severity"}
    message = HookMessage(
        group_key="{}:{" + ", ".join(f"{label}={_quoted(value)}" for label, value in sorted(labels.items())) + "}",
        truncated_alerts=len(found) - len(shown),
        status="firing" if any(alert.status == "firing" for alert in found) else "resolved",
        receiver=subscription.name,
        group_labels=labels,
        common_labels=_common([alert.labels for alert in shown]),
        common_annotations=_common([alert.annotations for alert in shown]),
        external_url=_origin(notice),
        alerts=shown,
    )
    return msgspec.json.encode(message)


async def send(sender: Sender, subscription: Subscription, message: Message) -> None:
    """Return when the receiver has taken the message; errors as of `post`."""
    await post(sender, subscription.url, body=message.body, headers=auth_headers(subscription), at=message.at)


def most_alerts(subscription: Subscription) -> int:
    """How many alerts a message may hold.

    Errors:
        ConfigError: the option is no such number.
    """
    given = subscription.options.get("max_alerts", "") or str(MOST_ALERTS)
    if not given.isascii() or not given.isdecimal() or not 1 <= int(given[:9]) <= 10_000:
        raise ConfigError(f"channel {NAME}: option 'max_alerts' must be a number from 1 to 10000")
    return int(given)


def check(subscription: Subscription) -> None:
    """Raise ConfigError for an address or an option that cannot work."""
    check_url(subscription)
    check_auth(subscription)
    most_alerts(subscription)


def _alert(alert: FormedAlert) -> HookAlert:
    return HookAlert(
        status="resolved" if alert.ended_at else "firing",
        labels=alert.labels | ({"severity": alert.severity} if alert.severity else {}),
        annotations=alert.annotations,
        starts_at=alert.starts_at,
        ends_at=alert.ended_at or NEVER,
        generator_url=alert.generator_url,
        fingerprint=f"{fingerprint_of(alert.labels):016x}",
    )


def _common(found: list[dict[str, str]]) -> dict[str, str]:
    """What all of them share."""
    first, *others = found
    return {name: value for name, value in first.items() if all(other.get(name) == value for other in others)}


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _origin(notice: Notice) -> str:
    """The address of the console, without the path to an alert."""
    console = next((alert.links.console for alert in notice.alerts if alert.links.console), "")
    return console.rpartition("/alerts/")[0] or console


CHANNEL = Channel(
    NAME,
    render,
    send,
    check,
    options=AUTH_OPTIONS | {"max_alerts": f"most alerts in a message, the rest is counted in `truncatedAlerts`; {MOST_ALERTS} unless set"},
    secret_options=AUTH_SECRETS,
)
