"""Signed webhooks after the Standard Webhooks specification."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from alerts.channels.channel import Channel, Message, Sender, check_url
from alerts.channels.posting import post
from alerts.notify.groups import Notice, NoticeReason
from alerts.subscriptions import Subscription, key_bytes
from opinion.errors import ConfigError

NAME = "webhook"


def render(notice: Notice, subscription: Subscription) -> bytes:
    """The body of a notice of one alert, of a test, or of another receiver's end: `{"type", "timestamp", "data"}`, under 20 kB."""
    if notice.reason is NoticeReason.TEST:
        said = {"subscription": subscription.name, "summary": "This is a test. Nothing has happened."}
        return msgspec.json.encode({"type": "alert.test", "timestamp": notice.at, "data": said})
    if notice.reason is NoticeReason.DISABLED:
        return msgspec.json.encode({"type": "subscription.disabled", "timestamp": notice.at, "data": {**notice.labels, "summary": notice.summary}})
    (alert,) = notice.alerts
    return msgspec.json.encode({"type": f"alert.{alert.status.value}", "timestamp": alert.updated_at, "data": alert})


def sign(message_id: str, *, timestamp_s: int, body: bytes, keys: Sequence[str]) -> str:
    """The `webhook-signature` header: `v1,<base64 HMAC-SHA256 of id.timestamp.body>` for every active key.

    >>> sign("msg_1", timestamp_s=0, body=b"{}", keys=["whsec_" + base64.b64encode(bytes(24)).decode()])[:3]
    'v1,'
    """
    content = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.new(key_bytes(key), content, hashlib.sha256).digest()).decode() for key in keys)


async def send(sender: Sender, subscription: Subscription, message: Message) -> None:
    """Return when the receiver has taken the message; errors as of `post`."""
    timestamp_s = int(message.at.timestamp())
    headers = {
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(message.id, timestamp_s=timestamp_s, body=message.body, keys=subscription.keys),
    }
    await post(sender, subscription.url, body=message.body, headers=headers, at=message.at)


def check(subscription: Subscription) -> None:
    """Raise ConfigError for an address or a key that cannot work."""
    check_url(subscription)
    if not subscription.keys:
        raise ConfigError(f"channel {NAME} needs a key to sign with")
    for key in subscription.keys:
        key_bytes(key)


CHANNEL = Channel(NAME, render, send, check, combines=False)
