"""What a channel is: a name, a pure rendering of a notice, and a way to send the bytes. One file each beside this one, found by scanning."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import NamedTuple

import httpx
from msgspec import Struct, field

import alerts.channels
from alerts.notify.groups import Notice
from alerts.subscriptions import Subscription, check
from opinion.errors import ConfigError
from opinion.webhook_address import address_or_none

TIMEOUT_S = 15.0
"""Longest try (Standard Webhooks asks for 15 to 30 s)."""


class Message(Struct, frozen=True, kw_only=True):
    """One try of one delivery."""

    id: str  # the same on every try
    body: bytes  # as rendered once; the same on every try
    at: datetime  # of the try


class Sender(Struct, frozen=True):
    """What channels reach the world through."""

    client: httpx.AsyncClient  # connects to public addresses only, unless the operator allows private ones
    allow_private: bool  # for channels that bring a client of their own: they check the address themselves
    timeout_s: float = TIMEOUT_S  # longest try
    told: dict[str, datetime] = field(default_factory=dict)  # what a channel must not go back behind: its own key -> the newest it tried to tell


Render = Callable[[Notice, Subscription], bytes]
Send = Callable[[Sender, Subscription, Message], Awaitable[None]]


class Channel(NamedTuple):
    """One way to tell people or programs.

    `render` is pure and says all that is sent. `send` returns when the receiver has taken it, within the sender's `timeout_s`; its errors are the classes of
    DeliveryError, whose messages hold no address beyond the host and no secret. `check` raises ConfigError for a subscription that cannot work.
    """

    name: str
    render: Render
    send: Send
    check: Callable[[Subscription], object]
    combines: bool = True  # several alerts in one message; else a message each
    options: Mapping[str, str] = {}  # option of the subscription -> what it is
    needs: tuple[str, ...] = ()  # options without which it cannot work
    secret_options: frozenset[str] = frozenset()  # never printed, not even to their owner
    resend: timedelta | None = None  # what is on is told again and again: the receiver forgets what it does not hear of

    def checked(self, subscription: Subscription) -> None:
        """Raise ConfigError for options that the channel does not know or lacks, and for what `check` finds."""
        unknown = [name for name in subscription.options if name not in self.options]
        lacking = [name for name in self.needs if not subscription.options.get(name)]
        if unknown:
            raise ConfigError(f"channel {self.name}: unknown option {unknown[0]!r}; known: {', '.join(sorted(self.options)) or 'none'}")
        if lacking:
            raise ConfigError(f"channel {self.name} needs its option {lacking[0]!r}: {self.options[lacking[0]]}")
        self.check(subscription)


def check_url(subscription: Subscription) -> None:
    """Raise ConfigError where the subscription has no `url`, or one that is no web address; for channels that have one."""
    try:
        known = bool(address_or_none(subscription.url))
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f"channel {subscription.channel} needs a `url`: http or https, with a host and a port from 1 to 65535, if any")


@cache
def all_channels() -> dict[str, Channel]:
    """The `CHANNEL` of every other module of this package, by name."""
    modules = [importlib.import_module(f"alerts.channels.{info.name}") for info in pkgutil.iter_modules(alerts.channels.__path__)]
    found = [module.CHANNEL for module in modules if hasattr(module, "CHANNEL")]
    return {channel.name: channel for channel in sorted(found, key=lambda channel: channel.name)}


def find_channel(name: str) -> Channel:
    """The channel of that name.

    Errors:
        ConfigError: there is none; the message names the nearest.
    """
    known = all_channels()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    raise ConfigError(f"unknown channel {name!r}" + (f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"))


def checked(subscription: Subscription) -> Subscription:
    """The subscription, if it can work.

    Errors:
        ConfigError: what it matches, when it is told, or what its channel asks for is wrong.
    """
    check(subscription)
    find_channel(subscription.channel).checked(subscription)
    return subscription
