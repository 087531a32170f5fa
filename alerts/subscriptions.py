"""Who wants to be told of what: pure matching, and the store."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import cast

import msgspec
from msgspec import Struct, field
from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.errors import ConfigError, StoreUnavailable
from opinion.names import Names, digest
from opinion.records import Alert, AlertStatus, Severity
from opinion.settings import SubscriptionSetting

SECRET_PREFIX = "whsec_"  # noqa: S105 - the form, not a secret
LEAST_SECRET_BYTES = 24
MOST_SECRET_BYTES = 64
"""Standard Webhooks: a key has 24 to 64 bytes."""
MOST_KEYS = 2
"""While a key is rotated, the old and the new one both sign."""
_RANK = {Severity.WARNING: 0, Severity.HIGH: 1, Severity.CRITICAL: 2}


class Match(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts."""

    subjects: list[str] = field(default_factory=lambda: ["*"])  # globs; any is enough
    severity_at_least: Severity = Severity.WARNING


class Subscription(Struct, frozen=True, kw_only=True):
    """A receiver of alerts."""

    id: str
    name: str
    url: str
    keys: list[str]  # newest first; never printed
    match: Match = field(default_factory=Match)
    send_resolved: bool = True
    enabled: bool = True
    disabled_reason: str = ""
    channel: str = "webhook"

    def __repr__(self) -> str:
        return f"Subscription(id={self.id!r}, name={self.name!r})"


def subscription_id(name: str) -> str:
    """The id that a name gives.

    >>> subscription_id("desk")[:4]
    'sub_'
    """
    return "sub_" + digest(name, chars=16)


def new_key() -> str:
    """A fresh signing key of 32 random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_bytes(key: str) -> bytes:
    """The bytes of a `whsec_` key.

    Errors:
        ConfigError: not of that form, or of a length the standard does not allow. The key is not shown.
    """
    try:
        raw = base64.b64decode(key.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ConfigError("a webhook secret must be `whsec_` and base64") from error
    if not key.startswith(SECRET_PREFIX) or not LEAST_SECRET_BYTES <= len(raw) <= MOST_SECRET_BYTES:
        raise ConfigError(f"a webhook secret must be `whsec_` and base64 of {LEAST_SECRET_BYTES} to {MOST_SECRET_BYTES} bytes")
    return raw


def matches(subscription: Subscription, alert: Alert) -> bool:
    """Whether the subscription wants this transition."""
    if not subscription.enabled or _RANK[alert.severity] < _RANK[subscription.match.severity_at_least]:
        return False
    if alert.status == AlertStatus.RESOLVED and not subscription.send_resolved:
        return False
    return any(fnmatchcase(alert.subject, glob) for glob in subscription.match.subjects)


def rotated(subscription: Subscription, key: str) -> Subscription:
    """The subscription signing with the new key and, for receivers not yet told, the one before."""
    key_bytes(key)
    return msgspec.structs.replace(subscription, keys=[key, *subscription.keys][:MOST_KEYS])


def from_setting(setting: SubscriptionSetting) -> Subscription:
    """The subscription that a setting describes.

    Errors:
        ConfigError: its secret is of the wrong form.
    """
    key = setting.secret.get_secret_value()
    key_bytes(key)
    return Subscription(
        id=subscription_id(setting.name),
        name=setting.name,
        url=setting.url,
        keys=[key],
        match=Match(subjects=list(setting.subjects), severity_at_least=Severity(setting.severity_at_least)),
        send_resolved=setting.send_resolved,
    )


_decoder = msgspec.json.Decoder(Subscription)


class SubscriptionStore:
    """Subscriptions in Redis.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names

    async def all(self) -> list[Subscription]:
        """Every subscription, by name."""
        try:
            values = cast("list[bytes]", await self._redis.hvals(self._names.subscriptions))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the subscriptions: {error}") from error
        return sorted((_decoder.decode(value) for value in values), key=lambda item: item.name)

    async def get(self, wanted: str) -> Subscription | None:
        """The subscription of this id."""
        try:
            value = await self._redis.hget(self._names.subscriptions, wanted)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give a subscription: {error}") from error
        return _decoder.decode(cast("bytes", value)) if value else None

    async def put(self, subscription: Subscription) -> None:
        """Add or replace."""
        try:
            await self._redis.hset(self._names.subscriptions, subscription.id, msgspec.json.encode(subscription))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take a subscription: {error}") from error

    async def remove(self, wanted: str) -> bool:
        """Remove; False where there was none."""
        try:
            return bool(await self._redis.hdel(self._names.subscriptions, wanted))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not remove a subscription: {error}") from error

    async def disable(self, wanted: str, *, reason: str) -> None:
        """Stop telling a receiver, and remember why."""
        found = await self.get(wanted)
        if found is not None:
            await self.put(msgspec.structs.replace(found, enabled=False, disabled_reason=reason))

    async def put_settings(self, settings: Sequence[SubscriptionSetting]) -> None:
        """Add or replace those of the configuration."""
        for setting in settings:
            await self.put(from_setting(setting))
