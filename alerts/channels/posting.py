"""A message posted to a receiver's address, and what the receiver's answer means; for channels that speak HTTP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from urllib.parse import urlsplit

import httpx

from alerts.channels.channel import Sender
from opinion.errors import AddressRefused, DeliveryBlocked, DeliveryError, DeliveryGone, DeliveryRateLimited, DeliveryRefused, DeliveryUnavailable
from opinion.retry_after import retry_after_s

ABORT = "abort-message"
MOST_ANSWER_BYTES = 4096
ANSWER_WITHIN_S = 0.5
"""How much of an answer's body is read, and for how long: nothing in it matters, but what is read whole leaves the connection open."""


async def post(sender: Sender, url: str, *, body: bytes, headers: Mapping[str, str], at: datetime) -> None:
    """Return when the receiver has taken the body (2xx). `at` is now, for a Retry-After that names a date.

    Errors (messages name the host only; no path, query or key):
        DeliveryUnavailable: no connection, timeout, 5xx (retryable).
        DeliveryRateLimited: 429, or 503 with Retry-After (retryable; `wait_s` where given).
        DeliveryRefused: another 3xx or 4xx (retryable: receivers are mended).
        DeliveryGone: 410, or the receiver asked to stop this message.
        DeliveryBlocked: the address may not be called.
    """
    host = urlsplit(url).hostname or "?"
    known = {"content-type": "application/json", "user-agent": "yuqing-webhook/1"}
    try:
        async with (
            asyncio.timeout(sender.timeout_s),
            sender.client.stream("POST", url, content=body, headers=known | dict(headers), timeout=sender.timeout_s, follow_redirects=False) as response,
        ):
            status, answer = response.status_code, response.headers
            await _passed_over(response)
    except AddressRefused as error:
        raise DeliveryBlocked(f"{host} may not be called: it resolves to a private or reserved address") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise DeliveryUnavailable(f"{host} did not answer: {_cause(error)}") from error
    refusal = refusal_of(status, answer, host=host, now=at)
    if refusal is not None:
        raise refusal


async def _passed_over(response: httpx.Response) -> None:
    """Return when a short answer is read to its end, so that the connection can serve again; one that is long or comes slowly is left, and the connection closed."""
    length = 0
    with suppress(TimeoutError, httpx.HTTPError):  # the status has said all
        async with asyncio.timeout(ANSWER_WITHIN_S):
            async for part in response.aiter_raw():
                length += len(part)
                if length > MOST_ANSWER_BYTES:
                    return


def _cause(error: Exception) -> str:
    """What went wrong with a connection, without its address."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted, {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"no TLS connection, {(cause.reason or 'unknown').lower().replace('_', ' ')}"
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def refusal_of(status: int, headers: Mapping[str, str], *, host: str, now: datetime) -> DeliveryError | None:
    """What an answer means: None for success, else the error to raise."""
    if 200 <= status < 300:
        return None
    if status == httpx.codes.GONE:
        return DeliveryGone(f"{host} answered 410: the receiver is gone")
    if headers.get("webhook-delivery", "").strip().lower() == ABORT:
        return DeliveryGone(f"{host} answered {status} and asked for no more tries", message_only=True)
    wait_s = retry_after_s(headers.get("retry-after"), now=now)
    if status == httpx.codes.TOO_MANY_REQUESTS or (status == httpx.codes.SERVICE_UNAVAILABLE and wait_s is not None):
        return DeliveryRateLimited(f"{host} answered {status}", wait_s=wait_s)
    if status >= 500:
        return DeliveryUnavailable(f"{host} answered {status}")
    return DeliveryRefused(f"{host} answered {status}")
