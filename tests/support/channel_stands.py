"""For each channel a receiver that really listens, and what the channel's contract means there. A new channel needs one of these."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from alerts.subscriptions import Subscription, new_key
from tests.support.receiver import Answer, Receiver
from tests.support.smtp_server import MailServer

RECIPE = """channel {name!r} has no stand. Add one to tests/support/channel_stands.py, a function that
 - starts a server on 127.0.0.1 that answers as told (ok, refused, busy, failing, hanging),
 - gives a subscription that leads there, with a secret in every option that holds one,
and name it in STANDS."""

HUSH = "hush-hush"
"""Part of every secret."""
BUSY_S = 600


@dataclass
class Stand:
    """A receiver, and the subscription that leads to it."""

    subscription: Subscription
    received: Callable[[], list[bytes]]  # messages taken so far
    secrets: list[str] = field(default_factory=lambda: [HUSH])
    wait_s: float | None = None  # the wait that the channel learns of a busy receiver; None: it cannot
    most_bytes: int = 1_000_000  # of a message


OpenStand = Callable[[str], AbstractAsyncContextManager[Stand]]
"""Opens a stand whose receiver gives one kind of answer for ever."""

STATUS = {"ok": 200, "refused": 404, "busy": 429, "failing": 500}


def subscription(channel: str, **changes: Any) -> Subscription:
    """A subscription of this channel."""
    return Subscription(**({"id": "sub_desk", "name": "desk", "channel": channel} | changes))


@asynccontextmanager
async def http_receiver(answer: str) -> AsyncIterator[Receiver]:
    """A receiver that gives this answer, whatever the message."""
    told = Answer(hang=True) if answer == "hanging" else Answer(STATUS[answer], {"retry-after": str(BUSY_S)} if answer == "busy" else {})
    async with Receiver(*[told] * 100) as receiver:
        yield receiver


def _bodies(receiver: Receiver) -> Callable[[], list[bytes]]:
    return lambda: [found.body for found in receiver.received]


@asynccontextmanager
async def webhook(answer: str) -> AsyncIterator[Stand]:
    """A webhook's receiver."""
    async with http_receiver(answer) as receiver:
        url = receiver.url.replace("hush", HUSH)
        key = new_key()
        yield Stand(subscription("webhook", url=url, keys=[key]), _bodies(receiver), secrets=[HUSH, "secret-path", key], wait_s=BUSY_S, most_bytes=20_000)


@asynccontextmanager
async def alertmanager(answer: str) -> AsyncIterator[Stand]:
    """What an Alertmanager answers a push with."""
    async with http_receiver(answer) as receiver:
        url = receiver.url.partition("/hook")[0] + "/secret-path"
        yield Stand(
            subscription("alertmanager", url=url, options={"username": "yuqing", "password": HUSH, "labels": "team=risk"}),
            _bodies(receiver),
            secrets=[HUSH, "secret-path"],
            wait_s=BUSY_S,
        )


@asynccontextmanager
async def alertmanager_webhook(answer: str) -> AsyncIterator[Stand]:
    """A receiver of Alertmanager's webhooks."""
    async with http_receiver(answer) as receiver:
        found = subscription("alertmanager_webhook", url=receiver.url, options={"bearer": HUSH, "max_alerts": "200"})
        yield Stand(found, _bodies(receiver), secrets=[HUSH, "secret-path"], wait_s=BUSY_S)


@asynccontextmanager
async def email(answer: str) -> AsyncIterator[Stand]:
    """A mail server."""
    said = {"refused": {"CONTENT": f"550 5.7.1 no {HUSH}"}, "busy": {"MAIL": "450 4.7.1 greylisted"}, "failing": {"MAIL": "451 4.3.0 later"}}
    async with MailServer(answers=said.get(answer, {}), password=HUSH, hang=answer == "hanging") as server:
        options = {
            "host": "127.0.0.1",
            "port": str(server.port),
            "security": "starttls",
            "username": "yuqing",
            "password": HUSH,
            "from": "Yuqing 舆情 <alerts@yuqing.example>",
            "to": "one@desk.example, Two <two@desk.example>",
        }
        yield Stand(subscription("email", options=options), lambda: [letter.content for letter in server.letters])


@asynccontextmanager
async def chat(answer: str) -> AsyncIterator[Stand]:
    """A chat service of one's own: ntfy's form."""
    async with http_receiver(answer) as receiver:
        yield Stand(subscription("chat", options={"target": chat_target(receiver, "ntfy")}), _bodies(receiver), most_bytes=8_000)


def chat_target(receiver: Receiver, service: str) -> str:
    """The Apprise address of a service that stands where the receiver does."""
    host = receiver.url.removeprefix("http://").partition("/")[0]
    return f"{service}://yuqing:{HUSH}@{host}/{HUSH}-topic"


STANDS: dict[str, OpenStand] = {
    "alertmanager": alertmanager,
    "alertmanager_webhook": alertmanager_webhook,
    "chat": chat,
    "email": email,
    "webhook": webhook,
}
