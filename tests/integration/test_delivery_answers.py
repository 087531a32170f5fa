"""Receivers that answer oddly, with ill intent, or not at all: a named outcome, nothing lost, nothing leaked."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace

from alerts.channels.channel import all_channels
from alerts.deliver import SCHEDULE_S
from opinion.addresses import GuardedTransport
from opinion.names import Names
from opinion.records import DeliveryOutcome
from opinion.redis_client import connect
from tests.support.delivery_desk import Desk
from tests.support.receiver import Answer, Receiver
from tests.support.records import alert

pytestmark = pytest.mark.integration


@pytest.fixture
async def desk(redis_url: str, names: Names) -> AsyncIterator[Desk]:
    redis = connect(redis_url)
    async with httpx.AsyncClient(trust_env=False) as client:
        yield Desk(redis, names, client)
    await redis.aclose()


@pytest.mark.parametrize("said", ["soon", "-5", "1e9", "Sun, 32 Foo 2026", "9" * 400, ""])
async def test_retry_after_that_cannot_be_read_leaves_the_schedule(desk: Desk, said: str) -> None:
    async with Receiver(Answer(429, {"retry-after": said})) as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        await desk.work()
        assert (await desk.outcome(delivery_id))[0] == DeliveryOutcome.RATE_LIMITED
        await desk.work(seconds=SCHEDULE_S[1] if len(said) < 400 else 86_400)
        assert len(receiver.received) == 2


async def test_receiver_can_stop_one_message_and_goes_on_to_be_told(desk: Desk) -> None:
    async with Receiver(Answer(404, {"webhook-delivery": "abort-message"})) as receiver:
        held = await desk.subscribe(receiver.url.replace("127.0.0.1", "localhost").replace("/hook", "/answers/410"))
        (delivery_id,) = await desk.tell(alert())
        await desk.work()
        assert (await desk.outcome(delivery_id))[0] == DeliveryOutcome.GONE
        await desk.tell(alert(2))
        await desk.work()
        assert [item.sequence for item in receiver.received] == [1, 2]
        assert await desk.subscriptions.get(held.id) == held


async def test_redirect_is_not_followed(desk: Desk) -> None:
    async with Receiver() as target, Receiver(Answer(307, {"location": "http://169.254.169.254/latest"}), Answer(302, {"location": target.url})) as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        await desk.work()
        assert await desk.outcome(delivery_id) == (DeliveryOutcome.REFUSED, 1, "127.0.0.1 answered 307")
        await desk.work(seconds=SCHEDULE_S[1])
        assert await desk.outcome(delivery_id) == (DeliveryOutcome.REFUSED, 2, "127.0.0.1 answered 302")
        assert target.received == []


async def test_private_address_is_refused_by_the_guard_and_named(redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    async with httpx.AsyncClient(transport=GuardedTransport(allow_private=False), trust_env=False) as client, Receiver() as receiver:
        desk = Desk(redis, names, client)
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        await desk.work()
        assert (await desk.outcome(delivery_id))[0] == DeliveryOutcome.ADDRESS_REFUSED
        assert (desk.counted(DeliveryOutcome.ADDRESS_REFUSED), receiver.received) == (1, [])
    await redis.aclose()


async def test_long_answer_is_not_read(desk: Desk) -> None:
    async with Receiver(Answer(200, body=b"x" * 10_000_000)) as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        await desk.work()
        assert (await desk.outcome(delivery_id))[0] == DeliveryOutcome.DELIVERED
        assert receiver.taken_bytes < 8_000_000  # what the buffers of two sockets hold, not all of it


async def test_answer_that_comes_byte_by_byte_is_cut_off(desk: Desk) -> None:
    desk.deliverer._sender = replace(desk.deliverer._sender, timeout_s=0.3)
    async with Receiver(Answer(200, drip_s=0.05)) as receiver:
        await desk.subscribe(receiver.url)
        (delivery_id,) = await desk.tell(alert())
        await desk.work()
        assert await desk.outcome(delivery_id) == (DeliveryOutcome.UNAVAILABLE, 1, "the receiver did not answer within 0.3 s")
        assert desk.counted(DeliveryOutcome.UNAVAILABLE) == 1


async def test_untrusted_certificate_and_no_tls_at_all_are_told_apart_and_retried(desk: Desk) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(Path(__file__).parents[1] / "data" / "tls" / "self-signed.pem")
    async with Receiver(tls=tls) as untrusted, Receiver() as plain:
        await desk.subscribe(untrusted.url, "untrusted")
        await desk.subscribe(plain.url.replace("http:", "https:"), "plain")
        await desk.tell(alert())
        await desk.work()
        said = {item.subscription_id: (item.outcome, item.attempts, item.detail) for item in (await desk.queue.page()).deliveries}
    assert said["sub_untrusted"] == (DeliveryOutcome.UNAVAILABLE, 1, "127.0.0.1 did not answer: its certificate is not accepted, self-signed certificate")
    assert said["sub_plain"][:2] == (DeliveryOutcome.UNAVAILABLE, 1)
    assert said["sub_plain"][2].startswith("127.0.0.1 did not answer: no TLS connection, ")
    assert (untrusted.received, plain.received) == ([], [])


async def test_fault_of_a_channel_loses_no_message_and_stops_nothing(desk: Desk) -> None:
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url, "odd", options={"x": "y"})
        held = await desk.subscribe(receiver.url)
        ids = await desk.tell(alert())
        await desk.subscriptions.change("sub_odd", lambda found: replace(found, channel="carrier-pigeon"))
        await desk.work()
        outcomes = {await desk.outcome(item) for item in ids}
        assert (DeliveryOutcome.UNEXPECTED, 1, "unknown channel 'carrier-pigeon'; known: " + ", ".join(all_channels())) in outcomes
        assert len(receiver.received) == 1
        await desk.subscriptions.change("sub_odd", lambda found: replace(found, channel=held.channel))
        await desk.work(seconds=SCHEDULE_S[1])
        assert len(receiver.received) == 2


async def test_unreachable_receiver_names_only_its_host(desk: Desk) -> None:
    await desk.subscribe("http://127.0.0.1:9/hook/secret-path?token=hush")
    (delivery_id,) = await desk.tell(alert())
    await desk.work()
    found = await desk.queue.get(delivery_id)
    assert found is not None
    assert found.outcome == DeliveryOutcome.UNAVAILABLE
    assert "hush" not in found.detail
    assert "secret-path" not in found.detail
