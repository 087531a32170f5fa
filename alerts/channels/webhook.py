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

from alerts.subscriptions import Subscription, key_bytes
from opinion.errors import AddressRefused, DeliveryBlocked, DeliveryError, DeliveryGone, DeliveryRateLimited, DeliveryRefused, DeliveryUnavailable
from opinion.records import Alert
from opinion.retry_after import retry_after_s

TIMEOUT_S = 15.0
"""Longest try (the specification asks for 15 to 30 s)."""
ABORT = "abort-message"


def render(alert: Alert) -> bytes:
    """The body of a transition: `{"type", "timestamp", "data"}`, under 20 kB."""
    return msgspec.json.encode({"type": f"alert.{alert.status.value}", "timestamp": alert.updated_at, "data": alert})


def sign(message_id: str, *, timestamp_s: int, body: bytes, keys: Sequence[str]) -> str:
    """The `webhook-signature` header: `v1,<base64 HMAC-SHA256 of id.timestamp.body>` for every active key.

    >>> sign("msg_1", timestamp_s=0, body=b"{}", keys=["whsec_" + base64.b64encode(bytes(24)).decode()])[:3]
    'v1,'
    """
    content = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.new(key_bytes(key), content, hashlib.sha256).digest()).decode() for key in keys)


async def send(client: httpx.AsyncClient, subscription: Subscription, *, message_id: str, body: bytes, at: datetime) -> None:
    """Return when the receiver has taken the message (2xx).

    Errors (messages name the host only; no path, query or key):
        DeliveryUnavailable: no connection, timeout, 5xx (retryable).
        DeliveryRateLimited: 429, or 503 with Retry-After (retryable; `wait_s` where given).
        DeliveryRefused: another 3xx or 4xx (retryable: receivers are mended).
        DeliveryGone: 410, or the receiver asked to stop this message.
        DeliveryBlocked: the address may not be called.
    """
    timestamp_s = int(at.timestamp())
    headers = {
        "content-type": "application/json",
        "user-agent": "yuqing-webhook/1",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(message_id, timestamp_s=timestamp_s, body=body, keys=subscription.keys),
    }
    host = urlsplit(subscription.url).hostname or "?"
    try:
        async with client.stream("POST", subscription.url, content=body, headers=headers, timeout=TIMEOUT_S, follow_redirects=False) as response:
            status, answer = response.status_code, response.headers
    except AddressRefused as error:
        raise DeliveryBlocked(f"{host} may not be called: it resolves to a private or reserved address") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise DeliveryUnavailable(f"{host} did not answer: {type(error).__name__}") from error
    refusal = refusal_of(status, answer, host=host, now=at)
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
