"""Who wants to be told of what: pure matching, and the store."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Literal, cast

import msgspec
import structlog
from msgspec import Struct, field
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.notify.groups import Timing
from alerts.notify.labels import fits, labels_of, matcher_of
from alerts.notify.quiet import QuietHours
from alerts.notify.quiet import check as check_quiet
from opinion.errors import ConfigError, StoreUnavailable
from opinion.names import Names, digest
from opinion.records import Alert, Instant, Severity
from opinion.telling_settings import SubscriptionSetting

log = structlog.get_logger()

SECRET_PREFIX = "whsec_"  # noqa: S105 - the form, not a secret
LEAST_SECRET_BYTES = 24
MOST_SECRET_BYTES = 64
"""Standard Webhooks: a key has 24 to 64 bytes."""
MOST_KEYS = 2
"""While a key is rotated, the old and the new one both sign."""
SOURCE = "source:"
"""What subjects that are sources begin with."""
MOST_S = 366 * 86_400
GROUP_LABELS = ("subject", "subject_kind", "market", "severity", "lane", "story")
"""Labels that alerts can be grouped by."""
_RANK = {Severity.WARNING: 0, Severity.HIGH: 1, Severity.CRITICAL: 2}


class Match(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alerts. An empty list asks for nothing."""

    subjects: list[str] = field(default_factory=lambda: ["*"])  # globs of subjects; any is enough
    watchlist: list[str] = field(default_factory=list)  # tickers or codes, `AAPL`, `600519` or `XSHG:600519`: companies beside those of the globs
    severity_at_least: Severity = Severity.WARNING
    languages: list[str] = field(default_factory=list)  # some evidence must be in one of these: en, zh
    kinds: list[str] = field(default_factory=list)  # some evidence must be of one of these kinds: news, flash, filing, social, qa
    matchers: list[str] = field(default_factory=list)  # conditions on labels, as of silences; all must hold


class Subscription(Struct, frozen=True, kw_only=True):
    """A receiver of alerts."""

    id: str
    name: str
    url: str = ""  # where the channel goes to, of channels that have an address
    keys: list[str] = field(default_factory=list)  # of signed webhooks, newest first; never printed
    match: Match = field(default_factory=Match)
    send_resolved: bool = True
    enabled: bool = True
    disabled_reason: str = ""  # why its receiver was given up; empty where a person disabled it
    channel: str = "webhook"
    options: dict[str, str] = field(default_factory=dict)  # what the channel asks for; may hold secrets, never printed
    language: Literal["en", "zh", "both"] = "both"  # what people are told in
    group_by: list[str] = field(default_factory=list)  # labels; alerts that share their values are told together; empty: each by itself
    group_wait_s: float = 30.0  # this and the next matter where `group_by` says something
    group_interval_s: float = 300.0
    repeat_interval_s: float | None = None  # None: nothing is repeated
    quiet_hours: QuietHours | None = None
    rate_per_min: float | None = None  # most messages a minute; None: no limit
    failing_since: Instant | None = None  # every try since has failed; None: the last one succeeded

    @property
    def told(self) -> bool:
        """Whether deliveries are made for it: also while its receiver is given up, so that they can be sent once it is back."""
        return self.enabled or bool(self.disabled_reason)

    @property
    def timing(self) -> Timing:
        """How long its groups wait."""
        repeat = None if self.repeat_interval_s is None else timedelta(seconds=self.repeat_interval_s)
        if not self.group_by:
            return Timing(repeat=repeat)
        return Timing(wait=timedelta(seconds=self.group_wait_s), interval=timedelta(seconds=self.group_interval_s), repeat=repeat)

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
    """Whether the subscription wants this alert, be it on or over."""
    match = subscription.match
    if not subscription.told or _RANK[alert.severity] < _RANK[match.severity_at_least]:
        return False
    if not _named(alert.subject, match.subjects) and not _watched(alert.subject, match.watchlist):
        return False
    if match.languages and not any(item.lang.partition("-")[0] in match.languages for item in alert.evidence):
        return False
    if match.kinds and not any(item.kind in match.kinds for item in alert.evidence):
        return False
    return not match.matchers or fits(map(matcher_of, match.matchers), labels_of(alert))


def check(subscription: Subscription) -> None:
    """Raise ConfigError for a subscription that could not work: what it matches, when it is told, how often."""
    for text in subscription.match.matchers:
        matcher_of(text)
    if subscription.quiet_hours is not None:
        check_quiet(subscription.quiet_hours)
    positive = {"repeat_interval_s": subscription.repeat_interval_s, "rate_per_min": subscription.rate_per_min, "group_interval_s": subscription.group_interval_s}
    for name, value in positive.items():
        if value is not None and not 0 < value < MOST_S:
            raise ConfigError(f"subscription {subscription.name!r}: {name} must be above 0 and below a year")
    if not 0 <= subscription.group_wait_s < MOST_S:
        raise ConfigError(f"subscription {subscription.name!r}: group_wait_s must not be negative")
    if unknown := [label for label in subscription.group_by if label not in GROUP_LABELS]:
        raise ConfigError(f"subscription {subscription.name!r}: cannot group by {unknown[0]!r}; known: {', '.join(GROUP_LABELS)}")


def _named(subject: str, globs: Sequence[str]) -> bool:
    """Whether a glob names the subject. Single sources are the operators' business: only globs that begin with `source:` name them."""
    wanted = [glob for glob in globs if glob.startswith(SOURCE)] if subject.startswith(SOURCE) else globs
    return any(fnmatchcase(subject, glob) for glob in wanted)


def _watched(subject: str, watchlist: Sequence[str]) -> bool:
    kind, _, listing = subject.partition(":")
    wanted = {item.strip().upper() for item in watchlist}
    return kind == "entity" and bool({listing.upper(), listing.rpartition(":")[2].upper()} & wanted)


def rotated(subscription: Subscription, key: str) -> Subscription:
    """The subscription signing with the new key and, for receivers not yet told, the one before."""
    key_bytes(key)
    return msgspec.structs.replace(subscription, keys=[key, *subscription.keys][:MOST_KEYS])


def from_setting(setting: SubscriptionSetting) -> Subscription:
    """The subscription that a setting describes."""
    quiet = setting.quiet_hours
    return Subscription(
        id=subscription_id(setting.name),
        name=setting.name,
        channel=setting.channel,
        url=setting.url,
        keys=[] if setting.secret is None else [setting.secret.get_secret_value()],
        options={name: value.get_secret_value() for name, value in setting.options.items()},
        match=Match(
            subjects=list(setting.subjects),
            watchlist=list(setting.watchlist),
            severity_at_least=Severity(setting.severity_at_least),
            languages=list(setting.languages),
            kinds=list(setting.kinds),
            matchers=list(setting.matchers),
        ),
        send_resolved=setting.send_resolved,
        language=setting.language,
        group_by=list(setting.group_by),
        group_wait_s=setting.group_wait_s,
        group_interval_s=setting.group_interval_s,
        repeat_interval_s=setting.repeat_interval_s,
        quiet_hours=None
        if quiet is None
        else QuietHours(start=quiet.start, end=quiet.end, timezone=quiet.timezone, days=list(quiet.days), wake_for=None if quiet.wake_for == "none" else Severity(quiet.wake_for)),
        rate_per_min=setting.rate_per_min,
    )


_decoder = msgspec.json.Decoder(Subscription)

_CHANGE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""


class SubscriptionStore:
    """Subscriptions in Redis.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._decoded: dict[str, tuple[bytes, Subscription | None]] = {}  # id -> as last read: most reads find the same

    async def all(self) -> list[Subscription]:
        """Every subscription, by name."""
        try:
            values = cast("dict[bytes, bytes]", await self._redis.hgetall(self._names.subscriptions))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the subscriptions: {error}") from error
        found = {wanted.decode(): value for wanted, value in values.items()}
        self._decoded = {wanted: held for wanted, held in self._decoded.items() if wanted in found}
        return sorted(self._readable(found).values(), key=lambda item: item.name)

    async def some(self, wanted: Sequence[str]) -> dict[str, Subscription]:
        """Those of these ids that there are."""
        if not wanted:
            return {}
        try:
            values = cast("list[bytes | None]", await self._redis.hmget(self._names.subscriptions, list(wanted)))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give {len(wanted)} subscriptions: {error}") from error
        return self._readable({item: value for item, value in zip(wanted, values, strict=True) if value})

    async def get(self, wanted: str) -> Subscription | None:
        """The subscription of this id."""
        return (await self.some([wanted])).get(wanted)

    def _readable(self, values: Mapping[str, bytes]) -> dict[str, Subscription]:
        """Those that can be read: the others are told nothing, and keep nobody from being told."""
        for wanted, value in values.items():
            if wanted not in self._decoded or self._decoded[wanted][0] != value:
                self._decoded[wanted] = (value, _read(wanted, value))
        read = {wanted: self._decoded[wanted][1] for wanted in values}
        return {wanted: subscription for wanted, subscription in read.items() if subscription is not None}

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

    async def change(self, wanted: str, changed: Callable[[Subscription], Subscription]) -> Subscription | None:
        """The subscription after a change that loses nobody else's; None where there is none."""
        while True:
            found = await self.get(wanted)
            if found is None:
                return None
            value, new = self._decoded[wanted][0], changed(found)
            if new == found:
                return found
            try:
                kept = await self._redis.eval(_CHANGE, 1, self._names.subscriptions, wanted, value, msgspec.json.encode(new))
            except RedisError as error:
                raise StoreUnavailable(f"Redis did not take a change of a subscription: {error}") from error
            if kept:
                return new

    async def disable(self, wanted: str, *, reason: str) -> None:
        """Stop telling a receiver, and remember why."""
        await self.change(wanted, lambda found: msgspec.structs.replace(found, enabled=False, disabled_reason=reason))

    async def put_configured(self, subscriptions: Sequence[Subscription]) -> None:
        """Add or replace those of the configuration; one that its receiver's answers disabled stays so while nothing of it changes."""
        for wanted in subscriptions:
            held = await self.get(wanted.id)
            state = wanted if held is None else msgspec.structs.replace(wanted, enabled=held.enabled, disabled_reason=held.disabled_reason, failing_since=held.failing_since)
            await self.put(state if state == held else wanted)


def _read(wanted: str, value: bytes) -> Subscription | None:
    """A stored subscription; None where a newer version asks in it for what this one does not know."""
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError as error:
        log.error("a subscription cannot be read: nothing is told by it", subscription=wanted, error=str(error))  # noqa: TRY400 - its message is whole
        return None
