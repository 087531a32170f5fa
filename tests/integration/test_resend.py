"""An Alertmanager is told again and again, through the notifier, the queue and the deliverer on real Redis."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from prometheus_client import CollectorRegistry

from alerts.channels.alertmanager import RESEND, VALID
from alerts.channels.channel import Sender, checked
from alerts.deliver import SCHEDULE_S, Deliverer
from alerts.delivery_queue import DeliveryQueue
from alerts.notifier import RESENT_KEPT, Notifier
from alerts.notify.groups import END_TOLD_FOR
from alerts.silence_store import SilenceStore
from alerts.subscriptions import SubscriptionStore
from opinion.clock import ManualClock
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.records import AlertStatus, DeliveryOutcome
from opinion.redis_client import connect
from tests.support.channel_stands import subscription
from tests.support.notices import ended_alert, many_alerts, whole_alert
from tests.support.receiver import Answer, Receiver
from tests.support.records import NOON

pytestmark = pytest.mark.integration


class Desk:
    """A notifier and a deliverer with a clock of their own, and an Alertmanager that answers as told."""

    def __init__(self, redis_url: str, names: Names, *, receiver: Receiver, client: httpx.AsyncClient) -> None:
        self.redis = connect(redis_url)
        self.names = names
        self.clock = ManualClock(NOON)
        self.receiver = receiver
        self.queue = DeliveryQueue(self.redis, names, clock=self.clock)
        self.subscriptions = SubscriptionStore(self.redis, names)
        metrics = AlerterMetrics(CollectorRegistry())
        self.deliverer = Deliverer(self.queue, self.subscriptions, sender=Sender(client, allow_private=True), clock=self.clock, metrics=metrics, jitter=lambda: 0.0)
        self.notifier = self.new_notifier()

    def new_notifier(self) -> Notifier:
        silences = SilenceStore(self.redis, self.names, clock=self.clock)
        return Notifier(self.redis, self.names, queue=self.queue, subscriptions=self.subscriptions, silences=silences, inhibitions=[], clock=self.clock)

    async def pass_by(self, length: timedelta) -> None:
        """Let time pass; the groups are looked at and what is due is sent."""
        self.clock.advance(length)
        await self.notifier.look()
        await self.work()

    async def work(self) -> None:
        await self.deliverer.send_due()
        await self.deliverer.settle_running()

    async def settle(self) -> None:
        """Let seconds pass until nothing waits."""
        while (await self.queue.waiting())[0]:
            await self.work()
            self.clock.advance(timedelta(seconds=1))

    def pushed(self) -> list[list[tuple[str, str]]]:
        """Alert id and sequence of each alert of each push."""
        return [[(alert["annotations"]["alert_id"], alert["annotations"]["sequence"]) for alert in json.loads(found.body)] for found in self.receiver.received]


@pytest.fixture
async def desk(redis_url: str, names: Names) -> AsyncIterator[Desk]:
    async with Receiver() as receiver, httpx.AsyncClient(trust_env=False) as client:
        found = Desk(redis_url, names, receiver=receiver, client=client)
        await found.subscriptions.put(checked(subscription("alertmanager", url=receiver.url.partition("/hook")[0])))
        yield found
        await found.redis.aclose()


async def test_what_is_on_is_pushed_every_minute_and_its_end_for_some(desk: Desk) -> None:
    await desk.notifier.take(whole_alert())
    await desk.work()
    for _ in range(3):
        await desk.pass_by(RESEND)
    assert desk.pushed() == [[("al_1", "1")]] * 4
    await desk.notifier.take(ended_alert())
    await desk.work()
    for _ in range(20):
        await desk.pass_by(RESEND)
    assert desk.pushed()[4:] == [[("al_1", "3")]] * (1 + END_TOLD_FOR // RESEND)


async def test_all_alerts_are_one_push(desk: Desk) -> None:
    for alert in many_alerts(5):
        await desk.notifier.take(alert)
    await desk.settle()
    before = len(desk.pushed())
    await desk.pass_by(RESEND)
    assert desk.pushed()[before:] == [[(f"al_{number}", "1") for number in range(5)]]


async def test_what_is_acknowledged_is_pushed_on(desk: Desk) -> None:
    await desk.notifier.take(whole_alert())
    await desk.notifier.take(whole_alert(2, status=AlertStatus.UPDATED, acknowledged_by="Li Na"))
    await desk.work()
    await desk.pass_by(RESEND)
    assert desk.pushed()[-1] == [("al_1", "2")]


async def test_the_same_set_is_pushed_again_after_it_changed_and_changed_back(desk: Desk) -> None:
    """Deliveries of a repeat must not take those of an earlier repeat for their own."""
    one, two = many_alerts(2)
    await desk.notifier.take(one)
    for _ in range(12):
        await desk.pass_by(RESEND)
    await desk.notifier.take(two)
    await desk.notifier.take(ended_alert(alert_id=two.alert_id, subject=two.subject))
    await desk.settle()
    before = len(desk.pushed())
    for _ in range(12):
        await desk.pass_by(RESEND)
    assert len(desk.pushed()) == before + 12
    assert desk.pushed()[-1] == [("al_0", "1")]


async def test_a_new_leader_goes_on(desk: Desk) -> None:
    await desk.notifier.take(whole_alert())
    await desk.work()
    desk.notifier = desk.new_notifier()
    await desk.notifier.restore()
    await desk.pass_by(RESEND)
    assert desk.pushed() == [[("al_1", "1")]] * 2


async def test_a_failed_push_is_not_made_once_its_alert_is_over(desk: Desk) -> None:
    desk.receiver.answers = [Answer(503)]
    await desk.notifier.take(whole_alert())
    await desk.work()
    desk.clock.advance(timedelta(seconds=1))
    await desk.notifier.take(ended_alert())
    await desk.work()
    assert [found for found in desk.pushed() if found] == [[("al_1", "1")], [("al_1", "3")]]
    desk.clock.advance(timedelta(seconds=SCHEDULE_S[1]))
    await desk.work()
    assert desk.pushed()[2:] == []
    outcomes = {delivery.outcome for delivery in (await desk.queue.page(limit=10)).deliveries}
    assert outcomes == {DeliveryOutcome.GONE, DeliveryOutcome.DELIVERED}


async def test_pushes_to_one_that_is_down_are_settled_before_they_are_forgotten(desk: Desk) -> None:
    desk.receiver.answers = [Answer(503)] * 1000
    await desk.notifier.take(whole_alert())
    desk.deliverer._endpoints.clear()
    for _ in range(30):
        await desk.pass_by(RESEND)
        desk.deliverer._endpoints.clear()
    assert VALID < RESENT_KEPT
    waiting, oldest_s = await desk.queue.waiting()
    assert waiting <= 1 + SCHEDULE_S[2] // RESEND.total_seconds()
    assert oldest_s <= SCHEDULE_S[2] + 2 * RESEND.total_seconds()
