"""Alerts pushed into an Alertmanager by its API v2, as Prometheus pushes its own: told again and again while they are on.

on ──every RESEND, valid for VALID──▶ on ──resolved──▶ told with its end for some minutes ──▶ forgotten

An alert that is no longer told ends by itself at the `endsAt` of the last push, so a lost end does no harm. A push that comes late could: it would put
a finished alert on again, or end one that goes on. So a push says of each alert only what nothing newer was tried to be told of, and of what is on
nothing after it would have ended.

Source: Alertmanager 0.25, `api/v2`, and its guide for clients; Prometheus 2.x `rules/manager.go` (an alert is valid for four re-sends).
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from alerts.channels.alertmanager_form import AUTH_OPTIONS, AUTH_SECRETS, auth_headers, check_auth, formed
from alerts.channels.channel import Channel, Message, Sender, check_url
from alerts.channels.posting import post
from alerts.notify.groups import Notice
from alerts.notify.labels import IDENTITY, fingerprint_of
from alerts.subscriptions import Subscription
from opinion.errors import ConfigError, DeliveryGone

NAME = "alertmanager"
PATH = "/api/v2/alerts"
RESEND = timedelta(minutes=1)
VALID = 4 * RESEND
MOST_TOLD = 100_000
"""Alerts of which the newest push is remembered, oldest forgotten first: some megabytes."""

_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Pushed(Struct, frozen=True, kw_only=True, rename="camel"):
    """One alert of the body of a push."""

    labels: dict[str, str]
    annotations: dict[str, str]
    starts_at: datetime
    ends_at: datetime
    generator_url: str = msgspec.field(default="", name="generatorURL")


class Push(Struct, frozen=True, kw_only=True):
    """What is kept until it is sent."""

    at: datetime  # as of when it is true
    on: list[Pushed]
    over: list[Pushed]


def render(notice: Notice, subscription: Subscription) -> bytes:
    """What to push of a notice: what is on until VALID from now, what is over with its end."""
    extra = labels_of_option(subscription)
    on: list[Pushed] = []
    over: list[Pushed] = []
    for alert in formed(notice, subscription):
        pushed = Pushed(
            labels=extra | alert.labels,
            annotations=alert.annotations,
            starts_at=alert.starts_at,
            ends_at=alert.ended_at or notice.at + VALID,
            generator_url=alert.generator_url,
        )
        (over if alert.ended_at else on).append(pushed)
    return msgspec.json.encode(Push(at=notice.at, on=on, over=over))


async def send(sender: Sender, subscription: Subscription, message: Message) -> None:
    """Return when Alertmanager has taken what is not outdated.

    Errors:
        DeliveryGone: all of it is outdated; what was told since says more.
        and those of `post`.
    """
    push = msgspec.json.decode(message.body, type=Push)
    still = [alert for alert in push.on if alert.ends_at > message.at] + push.over
    newest = [alert for alert in still if _is_newest(sender, subscription, alert, at=push.at)]
    if not newest:
        raise DeliveryGone("outdated before it could be told: the alerts were told anew since, or will be", message_only=True)
    await post(sender, address_of(subscription.url), body=msgspec.json.encode(newest), headers=auth_headers(subscription), at=message.at)


def address_of(url: str) -> str:
    """Where alerts are pushed to, of the address of an Alertmanager.

    >>> address_of("https://am.example:9093/")
    'https://am.example:9093/api/v2/alerts'
    """
    return url.rstrip("/").removesuffix(PATH) + PATH


def labels_of_option(subscription: Subscription) -> dict[str, str]:
    """The labels that the option `labels` adds.

    Errors:
        ConfigError: a label has no value, is no label, or is one of ours.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in subscription.options.get("labels", "").split(","))):
        label, sign, value = part.partition("=")
        if not sign or not value or _LABEL.fullmatch(label) is None or label in IDENTITY or not value.isprintable():
            raise ConfigError(f"channel {NAME}: option 'labels' must be like `team=risk,site=hk`, and none of {', '.join(IDENTITY)}")
        found[label] = value
    return found


def check(subscription: Subscription) -> None:
    """Raise ConfigError for what cannot work: an address that is none, or waits in which Alertmanager would take alerts for ended."""
    check_url(subscription)
    if urlsplit(subscription.url).query:
        raise ConfigError(f"channel {NAME}: its `url` is the address of an Alertmanager, without a query")
    check_auth(subscription)
    labels_of_option(subscription)
    if subscription.group_by or subscription.quiet_hours is not None or subscription.repeat_interval_s is not None:
        raise ConfigError(f"channel {NAME}: grouping, quiet hours and repeats are Alertmanager's own; leave `group_by`, `quiet_hours` and `repeat_interval_s` empty")


def _is_newest(sender: Sender, subscription: Subscription, alert: Pushed, *, at: datetime) -> bool:
    """Whether nothing newer was tried to be told of an alert; from now on this is the newest."""
    key = f"{NAME} {subscription.id} {fingerprint_of(alert.labels):016x}"
    known = sender.told.pop(key, None)
    sender.told[key] = at if known is None else max(at, known)
    while len(sender.told) > MOST_TOLD:
        del sender.told[next(iter(sender.told))]
    return known is None or known <= at


CHANNEL = Channel(
    NAME,
    render,
    send,
    check,
    options=AUTH_OPTIONS | {"labels": "labels added to every alert, for Alertmanager's routes: `team=risk,site=hk`"},
    secret_options=AUTH_SECRETS,
    resend=RESEND,
)
