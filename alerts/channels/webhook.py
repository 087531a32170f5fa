"""Signed webhooks after the Standard Webhooks specification."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlsplit

import httpx
import msgspec

from alerts.channels.channel import TIMEOUT_S, Channel, Message, Sender, check_url
from alerts.notify.groups import Notice, NoticeReason
from alerts.subscriptions import Subscription, key_bytes
from opinion.errors import AddressRefused, ConfigError, DeliveryBlocked, DeliveryError, DeliveryGone, DeliveryRateLimited, DeliveryRefused, DeliveryUnavailable
from opinion.retry_after import retry_after_s

NAME = "webhook"
ABORT = "abort-message"


def render(notice: Notice, subscription: Subscription) -> bytes:
    """The body of a notice of one alert, or of a test: `{"type", "timestamp", "data"}`, under 20 kB."""
    if notice.reason is NoticeReason.TEST:
        said = {"subscription": subscription.name, "summary": "This is a test. Nothing has happened."}
        return msgspec.json.encode({"type": "alert.test", "timestamp": notice.at, "data": said})
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
    """Return when the receiver has taken the message (2xx).

    Errors (messages name the host only; no path, query or key):
        DeliveryUnavailable: no connection, timeout, 5xx (retryable).
        DeliveryRateLimited: 429, or 503 with Retry-After (retryable; `wait_s` where given).
        DeliveryRefused: another 3xx or 4xx (retryable: receivers are mended).
        DeliveryGone: 410, or the receiver asked to stop this message.
        DeliveryBlocked: the address may not be called.
    """
    timestamp_s = int(message.at.timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": "yuqing-webhook/1",
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(message.id, timestamp_s=timestamp_s, body=message.body, keys=subscription.keys),
    }
    host = urlsplit(subscription.url).hostname or "?"
    try:
        async with sender.client.stream("POST", subscription.url, content=message.body, headers=headers, timeout=TIMEOUT_S, follow_redirects=False) as response:
            status, answer = response.status_code, response.headers
    except AddressRefused as error:
        raise DeliveryBlocked(f"{host} may not be called: it resolves to a private or reserved address") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise DeliveryUnavailable(f"{host} did not answer: {type(error).__name__}") from error
    refusal = refusal_of(status, answer, host=host, now=message.at)
    if refusal is not None:
        raise refusal


def refusal_of(status: int, headers: Mapping[str, str], *, host: str, now: datetime) -> DeliveryError | None:
    """What an answer means: None for success, else the error to raise."""
    if 200 <= status < 300:
        return None
    if status == httpx.codes.GONE:
        return DeliveryGone(f"{host} answered 410: the receiver is gone")
    if headers.get("webhook-delivery", "").strip().lower() == ABORT:
        return DeliveryGone(f"{host} answered {status} and asked for no more tries")
    wait_s = retry_after_s(headers.get("retry-after"), now=now)
    if status == httpx.codes.TOO_MANY_REQUESTS or (status == httpx.codes.SERVICE_UNAVAILABLE and wait_s is not None):
        return DeliveryRateLimited(f"{host} answered {status}", wait_s=wait_s)
    if status >= 500:
        return DeliveryUnavailable(f"{host} answered {status}")
    return DeliveryRefused(f"{host} answered {status}")


def check(subscription: Subscription) -> None:
    """Raise ConfigError for an address or a key that cannot work."""
    check_url(subscription)
    if not subscription.keys:
        raise ConfigError(f"channel {NAME} needs a key to sign with")
    for key in subscription.keys:
        key_bytes(key)


CHANNEL = Channel(NAME, render, send, check, combines=False)
