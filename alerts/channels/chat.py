"""Chat services through the library Apprise: Feishu, DingTalk, WeCom, Slack, Telegram, Discord, ntfy and many more, each by an address of its own.

Apprise is synchronous and opens connections by itself: it works in threads of a bounded number, each call watched (opinion/blocking_calls.py), so that the
deadline ends it and a private address is refused. Only services that it speaks to by HTTP are taken. It is loaded with the first chat subscription.

Of an answer it tells no more than yes or no; the HTTP status is read from what it logs. A wait that a service asks for is not known.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from alerts.channels.channel import Channel, Message, Sender
from alerts.channels.chat_text import Form, said
from alerts.channels.posting import refusal_of
from alerts.notify.groups import Notice
from alerts.subscriptions import Subscription
from opinion.blocking_calls import BlockingCall
from opinion.errors import ConfigError, DeliveryBlocked, DeliveryUnavailable
from opinion.records import AlertStatus, Severity

if TYPE_CHECKING:
    from apprise import AppriseAsset, NotifyBase

NAME = "chat"
MOST_AT_ONCE = 8
"""Threads: a service answers in well under a second, and allows some messages a second at most."""
CONNECT_S = 5.0
READ_S = 10.0

_STATUS = re.compile(r"\berror=([1-5]\d\d)\b")


class Post(Struct, frozen=True, kw_only=True):
    """What is kept until it is sent."""

    title: str
    body: str
    format: Literal["text", "markdown"]
    kind: Literal["info", "success", "warning", "failure"]  # what services colour a message by


class Outcome(Struct, frozen=True):
    """How a call ended."""

    taken: bool
    status: int | None  # of HTTP, where it was told


def render(notice: Notice, subscription: Subscription) -> bytes:
    """The message, within what the target's service takes.

    Errors:
        ConfigError: the target is none.
    """
    plugin = _plugin(subscription)
    form = _form(plugin)
    message = said(notice, subscription, form)
    return msgspec.json.encode(Post(title=message.title, body=message.body, format="markdown" if form.markdown else "text", kind=_kind(notice)))


async def send(sender: Sender, subscription: Subscription, message: Message) -> None:
    """Return when the service has taken the message.

    Errors (messages name the service; nothing of the target):
        DeliveryUnavailable: no connection, timeout, 5xx, or no without a reason (retryable).
        DeliveryRateLimited: 429 (retryable).
        DeliveryRefused: another 3xx or 4xx (retryable: receivers are mended).
        DeliveryGone: 410.
        DeliveryBlocked: the service is at an address that may not be called.
    """
    post = msgspec.json.decode(message.body, type=Post)
    service = subscription.options["target"].partition(":")[0].lower()
    call = BlockingCall(allow_private=sender.allow_private)
    running = asyncio.get_running_loop().run_in_executor(_threads(), call.run, lambda: _notify(subscription, post))
    try:
        async with asyncio.timeout(sender.timeout_s):
            outcome = await running
    except TimeoutError:
        raise DeliveryUnavailable(f"{service} did not answer within {sender.timeout_s:g} s") from None
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - of 170 foreign modules
        raise DeliveryUnavailable(f"{service} could not be told: {type(error).__name__}") from None  # it may hold the target
    finally:
        call.stop()
    if outcome.taken:
        return
    if call.refused:
        raise DeliveryBlocked(f"{service} may not be called: it resolves to a private or reserved address")
    refusal = None if outcome.status is None else refusal_of(outcome.status, {}, host=service, now=message.at)
    raise refusal or DeliveryUnavailable(f"{service} did not take the message")


def check(subscription: Subscription) -> None:
    """Raise ConfigError for a target that is none, or of a service that is not spoken to by HTTP. Nothing is called."""
    _plugin(subscription)


def _notify(subscription: Subscription, post: Post) -> Outcome:
    """Tell the service, in a thread."""
    from apprise import NotifyFormat, NotifyType, OverflowMode  # noqa: PLC0415 - a second of start-up and 20 MB

    plugin = _plugin(subscription)
    plugin.socket_connect_timeout, plugin.socket_read_timeout = min(plugin.socket_connect_timeout, CONNECT_S), min(plugin.socket_read_timeout, READ_S)
    _log.begin()
    taken = plugin.notify(title=post.title, body=post.body, body_format=NotifyFormat(post.format), notify_type=NotifyType(post.kind), overflow=OverflowMode.TRUNCATE)
    statuses = [int(found[1]) for line in _log.end() for found in [_STATUS.search(line)] if found]
    return Outcome(bool(taken), statuses[-1] if statuses else None)


def _plugin(subscription: Subscription) -> NotifyBase:
    """What Apprise makes of the target; for one message, since it remembers when it last spoke.

    Errors:
        ConfigError: the target is none, or its service is not spoken to by HTTP. The target is not shown.
    """
    from apprise import Apprise  # noqa: PLC0415 - as above

    target = subscription.options.get("target", "")
    try:
        found = Apprise.instantiate(target, asset=_asset())
    except Exception as error:  # noqa: BLE001 - of 170 foreign modules
        raise ConfigError(f"channel {NAME}: option 'target' cannot be read: {type(error).__name__}") from None  # it may hold the target
    if found is None or not target.isprintable():
        raise ConfigError(f"channel {NAME}: option 'target' must be an Apprise address, e.g. `ntfy://topic` or `feishu://token`: https://appriseit.com/services/")
    own = [sys.modules[kind.__module__] for kind in type(found).__mro__ if kind.__module__.startswith("apprise.plugins.")]
    if not any(hasattr(module, "requests") for module in own):
        raise ConfigError(f"channel {NAME}: the service of option 'target' is not spoken to by HTTP; only such services are taken")
    return found


@cache
def _asset() -> AppriseAsset:
    """How Apprise works for us: no retries, redirects, files, templates or pictures of its own, and nothing logged but to us."""
    from apprise import Apprise, AppriseAsset, PersistentStoreMode  # noqa: PLC0415 - as above

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of what its modules import
        Apprise.instantiate("json://localhost")  # they are loaded by the first use
    logging.getLogger("apprise").addFilter(_log)  # its lines may hold the target
    return AppriseAsset(
        app_id="Yuqing",
        app_desc="Yuqing",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        default_service_retry=0,
        http_redirects=False,
        interpret_emojis=False,
        interpret_escapes=False,
        allow_templates=False,
        pgp_autogen=False,
        pem_autogen=False,
        storage_mode=PersistentStoreMode.MEMORY.value,
        secure_logging=True,
    )


def _form(plugin: NotifyBase) -> Form:
    from apprise import NotifyFormat  # noqa: PLC0415 - as above
    from apprise.conversion import convert_between  # noqa: PLC0415

    wanted = plugin.resolve_format(NotifyFormat.TEXT)
    markdown = wanted == NotifyFormat.MARKDOWN
    return Form(
        markdown=markdown,
        size=lambda body: len((body if markdown else str(convert_between(NotifyFormat.TEXT, wanted, body))).encode()),  # type: ignore[no-untyped-call]
        most_body=plugin.body_maxlen - plugin.overflow_buffer,
        most_title=max(plugin.title_maxlen, 0),
        shared=plugin.overflow_amalgamate_title,
    )


def _kind(notice: Notice) -> Literal["info", "success", "warning", "failure"]:
    on = [alert.severity for alert in notice.alerts if alert.status != AlertStatus.RESOLVED]
    if not notice.alerts:
        return "info"
    return "success" if not on else "warning" if set(on) == {Severity.WARNING} else "failure"


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MOST_AT_ONCE, thread_name_prefix=NAME)


class _Log(logging.Filter):
    """What Apprise logs, kept for the thread that asks and shown to nobody."""

    def __init__(self) -> None:
        super().__init__()
        self._kept = threading.local()

    def begin(self) -> None:
        self._kept.lines = []

    def end(self) -> list[str]:
        return list(self._kept.lines)

    def filter(self, record: logging.LogRecord) -> bool:
        lines = getattr(self._kept, "lines", None)
        if lines is not None:
            lines.append(record.getMessage())
        return False


_log = _Log()

CHANNEL = Channel(
    NAME,
    render,
    send,
    check,
    options={"target": "an Apprise address: `feishu://token`, `dingtalk://token`, `wecombot://key`, `slack://..`, `tgram://..`, `discord://..`, `ntfy://topic`"},
    needs=("target",),
    secret_options=frozenset({"target"}),
)
