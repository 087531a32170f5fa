"""What every channel keeps, tried on every file of alerts/channels with a receiver that really listens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import traceback
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from alerts.channels.channel import TIMEOUT_S, Channel, Message, Sender, all_channels, checked
from alerts.notify.groups import Notice, NoticeReason
from alerts.subscriptions import Subscription
from opinion.addresses import GuardedTransport
from opinion.clock import monotonic_s
from opinion.errors import ConfigError, DeliveryBlocked, DeliveryError, DeliveryRateLimited, DeliveryRefused, DeliveryUnavailable
from tests.support.channel_stands import RECIPE, STANDS, Stand
from tests.support.notices import NOTICES, TEST
from tests.support.smtp_server import TLS

CHANNELS = list(all_channels().values())
LANGUAGES = ("en", "zh", "both")

each_channel = pytest.mark.parametrize("channel", CHANNELS, ids=lambda channel: channel.name)
each_language = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mail server's certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS / "certificate.pem"))


def stand(channel: Channel, answer: str = "ok") -> Any:
    assert channel.name in STANDS, RECIPE.format(name=channel.name)
    return STANDS[channel.name](answer)


def notices(channel: Channel) -> Iterator[Notice]:
    """Notices as the notifier gives them to this channel: of one alert each where it does not combine."""
    for notice in NOTICES.values():
        if channel.combines or len(notice.alerts) < 2:
            yield notice
        else:
            yield from (msgspec.structs.replace(notice, alerts=[alert]) for alert in notice.alerts[:2])


async def tell(channel: Channel, subscription: Subscription, notice: Notice = NOTICES["first"], *, allow_private: bool = True, timeout_s: float = TIMEOUT_S) -> None:
    """One try, as the deliverer makes it."""
    async with httpx.AsyncClient(transport=GuardedTransport(allow_private=allow_private), trust_env=False) as client:
        sender = Sender(client, allow_private=allow_private, timeout_s=timeout_s)
        message = Message(id="msg_1", body=channel.render(notice, subscription), at=notice.at + timedelta(seconds=1))
        await channel.send(sender, subscription, message)


async def failure(channel: Channel, at: Stand, **changes: Any) -> DeliveryError:
    """The error of a try that must fail; nothing that is said or logged of it holds a secret."""
    with capture_logs() as lines, pytest.raises(DeliveryError) as caught:
        await tell(channel, at.subscription, **changes)
    said = "".join(traceback.format_exception(caught.value, chain=False)) + repr(caught.value) + repr(lines)
    for secret in at.secrets:
        assert secret not in said
    assert "\n" not in str(caught.value)
    return caught.value


@each_channel
async def test_a_message_is_taken(channel: Channel) -> None:
    async with stand(channel) as at:
        await tell(channel, at.subscription)
        assert len(at.received()) == 1


@each_channel
async def test_a_no_is_refused(channel: Channel) -> None:
    async with stand(channel, "refused") as at:
        assert type(await failure(channel, at)) is DeliveryRefused


@each_channel
async def test_a_receiver_that_is_busy_is_waited_for(channel: Channel) -> None:
    async with stand(channel, "busy") as at:
        error = await failure(channel, at)
    assert isinstance(error, DeliveryRateLimited)
    assert error.wait_s == at.wait_s


@each_channel
async def test_a_failing_receiver_is_tried_again(channel: Channel) -> None:
    async with stand(channel, "failing") as at:
        assert type(await failure(channel, at)) is DeliveryUnavailable


@each_channel
async def test_a_silent_receiver_is_left_in_time(channel: Channel) -> None:
    channel.render(NOTICES["first"], (await _subscription(channel)))  # what is loaded late is loaded
    async with stand(channel, "hanging") as at:
        began_s = monotonic_s()
        error = await failure(channel, at, timeout_s=0.3)
    assert type(error) is DeliveryUnavailable
    assert monotonic_s() - began_s < 3


@each_channel
async def test_nobody_there_is_tried_again(channel: Channel) -> None:
    async with stand(channel) as at:
        pass
    await asyncio.sleep(0)  # the server has closed
    assert type(await failure(channel, at)) is DeliveryUnavailable


@each_channel
async def test_a_private_address_is_not_called(channel: Channel) -> None:
    async with stand(channel) as at:
        assert type(await failure(channel, at, allow_private=False)) is DeliveryBlocked
        assert at.received() == []


@each_channel
async def test_nothing_is_logged_of_a_secret(channel: Channel, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    caplog.set_level(logging.WARNING)
    for answer in ("ok", "refused", "busy", "failing"):
        async with stand(channel, answer) as at:
            with contextlib.suppress(DeliveryError):
                await tell(channel, at.subscription)
            shown = caplog.text + "".join(capfd.readouterr())
            assert not [secret for secret in at.secrets if secret in shown]


@each_channel
async def test_every_notice_is_taken(channel: Channel) -> None:
    async with stand(channel) as at:
        told = 0
        for notice in notices(channel):
            await tell(channel, at.subscription, notice)
            told += 1
        assert len(at.received()) == told


@each_channel
@each_language
async def test_a_rendering_is_a_function_of_its_notice(channel: Channel, language: str) -> None:
    subscription = msgspec.structs.replace(await _subscription(channel), language=language)
    for notice in notices(channel):
        before = msgspec.json.encode(notice)
        assert channel.render(notice, subscription) == channel.render(msgspec.json.decode(before, type=Notice), subscription)
        assert msgspec.json.encode(notice) == before


@each_channel
@each_language
async def test_messages_have_a_size(channel: Channel, language: str) -> None:
    async with stand(channel) as at:
        subscription = msgspec.structs.replace(at.subscription, language=language)
        for notice in notices(channel):
            assert len(channel.render(notice, subscription)) <= at.most_bytes


@each_channel
async def test_a_test_says_that_it_is_one(channel: Channel) -> None:
    async with stand(channel) as at:
        subscription = msgspec.structs.replace(at.subscription, language="en")
        await tell(channel, subscription, TEST)
        assert b"test" in at.received()[0].lower()


@each_channel
async def test_a_subscription_is_checked_without_a_call(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    subscription = await _subscription(channel)

    def call(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", call)
    monkeypatch.setattr(socket, "getaddrinfo", call)
    assert checked(subscription) == subscription


@each_channel
async def test_options_that_it_does_not_know_are_refused(channel: Channel) -> None:
    subscription = await _subscription(channel)
    wrong = msgspec.structs.replace(subscription, options=subscription.options | {"no_such_option": "x"})
    with pytest.raises(ConfigError, match="no_such_option"):
        checked(wrong)


@each_channel
async def test_options_that_it_needs_are_asked_for(channel: Channel) -> None:
    subscription = await _subscription(channel)
    for name in channel.needs:
        lacking = msgspec.structs.replace(subscription, options=subscription.options | {name: ""})
        with pytest.raises(ConfigError, match=name):
            checked(lacking)


@each_channel
async def test_an_address_that_is_none_is_refused_and_not_shown(channel: Channel) -> None:
    subscription = await _subscription(channel)
    broken = {name: "hush-hush \n not that" for name in channel.options if name not in {"username", "password"}}
    wrong = msgspec.structs.replace(subscription, url="hush-hush", options=subscription.options | broken)
    with pytest.raises(ConfigError) as caught:
        checked(wrong)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


@each_channel
def test_its_options_are_described_and_its_secrets_among_them(channel: Channel) -> None:
    assert all(channel.options.values())
    assert set(channel.needs) <= set(channel.options)
    assert channel.secret_options <= set(channel.options)


def test_a_channel_that_does_not_combine_gets_one_alert() -> None:
    single = [channel for channel in CHANNELS if not channel.combines]
    assert single
    assert all(len(notice.alerts) <= 1 for channel in single for notice in notices(channel))
    assert any(notice.reason is NoticeReason.DIGEST for notice in notices(single[0]))


async def _subscription(channel: Channel) -> Subscription:
    async with stand(channel) as at:
        found: Subscription = at.subscription
        return found
