"""An alert in the form that Prometheus' programs give alerts: labels that name it, annotations that tell of it."""

from __future__ import annotations

import base64
from datetime import datetime
from typing import Any

from msgspec import Struct

from alerts.notify.groups import Notice, NoticeReason
from alerts.notify.labels import identity_of
from alerts.subscriptions import Subscription
from alerts.wording import announcement_of, languages_of, link_of, plain, source_of
from opinion.errors import ConfigError
from opinion.records import Alert, AlertStatus, Lane

TEST, DISABLED = "YuqingTest", "YuqingSubscriptionDisabled"
MOST_EVIDENCE = 3

AUTH_OPTIONS = {
    "username": "for basic authentication, with `password`",
    "password": "for basic authentication",
    "bearer": "a token, sent as `Authorization: Bearer`",
}
AUTH_SECRETS = frozenset({"password", "bearer"})


class FormedAlert(Struct, frozen=True, kw_only=True):
    """An alert in Alertmanager's terms."""

    labels: dict[str, str]  # the same from its first transition to its last
    annotations: dict[str, str]
    starts_at: datetime
    ended_at: datetime | None  # None while it is on
    generator_url: str = ""
    severity: str = ""


def formed(notice: Notice, subscription: Subscription) -> list[FormedAlert]:
    """The alerts of a notice; of several on one subject the newest, since receivers take them for one."""
    if not notice.alerts:
        test = notice.reason is NoticeReason.TEST
        name = plain(subscription.name if test else notice.labels.get("subscription", ""), most=80)
        said = {"summary": "\n".join(announcement_of(notice, languages_of(subscription))), "subscription": name}
        return [FormedAlert(labels={"alertname": TEST} if test else {"alertname": DISABLED, "subscription": name}, annotations=said, starts_at=notice.at, ended_at=None)]
    newest: dict[str, Alert] = {}
    for alert in notice.alerts:
        known = newest.get(alert.subject)
        if known is None or (known.started_at, known.sequence) < (alert.started_at, alert.sequence):
            newest[alert.subject] = alert
    return [_formed(alert, subscription, at=notice.at) for alert in newest.values()]


def _formed(alert: Alert, subscription: Subscription, *, at: datetime) -> FormedAlert:
    ended_at = min(alert.ended_at or at, at) if alert.status == AlertStatus.RESOLVED else None
    return FormedAlert(
        labels=identity_of(alert),
        annotations=annotations_of(alert, subscription),
        starts_at=min(alert.started_at, ended_at or at),  # event time may run ahead of the wall clock in a replay, and a beginning after the end is refused
        ended_at=ended_at,
        generator_url=link_of(alert.links.console),
        severity=alert.severity.value,
    )


def annotations_of(alert: Alert, subscription: Subscription) -> dict[str, str]:
    """What is told of an alert, and may change over its life; empty ones are left out."""
    window, languages = alert.window, languages_of(subscription)
    summary = {"summary": alert.summary, "summary_zh": alert.summary_zh}
    if languages == ("zh",):
        summary = {"summary": alert.summary_zh or alert.summary}
    elif languages == ("en",):
        summary = {"summary": alert.summary}
    evidence = [" ".join(filter(None, [plain(item.title, most=160), f"({source_of(item, languages[0])})", link_of(item.url)])) for item in alert.evidence[:MOST_EVIDENCE]]
    numbers = {
        "negative": str(window.negative),
        "total": str(window.total),
        "ratio": f"{window.ratio:.4g}",
        "baseline_ratio": f"{window.baseline_ratio:.4g}",
        "expected_negative": f"{window.expected_negative:.4g}",
        "lift": f"{window.lift:.4g}",
        "score": f"{window.score:.4g}",
        "window_s": str(window.width_s),
        "stories": str(window.stories),
        "publishers": str(window.publishers),
    }
    found = summary | {
        "description": "\n".join(evidence),
        "subject_name": plain(alert.subject_name),
        "severity": alert.severity.value,
        "lane": alert.lane.value,
        "alert_id": alert.alert_id,
        "sequence": str(alert.sequence),
        "story": next((item.story_id for item in alert.evidence if item.story_id), ""),
        "priority": "" if alert.priority is None else f"{alert.priority:.2g}",
        "acknowledged_by": plain(alert.acknowledged_by or "", most=80),
        "assigned_to": plain(alert.assigned_to or "", most=80),
        "console": link_of(alert.links.console),
    }
    return {name: value for name, value in (found if alert.lane is Lane.SOURCE else found | numbers).items() if value}


def check_auth(subscription: Subscription) -> None:
    """Raise ConfigError for credentials that do not go together, or that no header can carry."""
    username, password, bearer = (subscription.options.get(name, "") for name in ("username", "password", "bearer"))
    if bearer and (username or password):
        raise ConfigError(f"channel {subscription.channel}: give either `bearer` or `username` and `password`")
    if bool(username) != bool(password) or ":" in username:
        raise ConfigError(f"channel {subscription.channel}: basic authentication needs a `username` without a colon and a `password`")
    if not bearer.isascii() or not bearer.isprintable() or " " in bearer:
        raise ConfigError(f"channel {subscription.channel}: option 'bearer' must be printable ASCII without spaces")


def auth_headers(subscription: Subscription) -> dict[str, Any]:
    """The headers that the options ask for."""
    options = subscription.options
    if options.get("bearer"):
        return {"authorization": f"Bearer {options['bearer']}"}
    if options.get("username"):
        return {"authorization": "Basic " + base64.b64encode(f"{options['username']}:{options['password']}".encode()).decode()}
    return {}
