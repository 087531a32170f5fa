"""Notifier, queue and deliverer of one process on real Redis, with a clock of their own."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from alerts.channels.channel import Sender
from alerts.deliver import Deliverer
from alerts.delivery_queue import DeliveryQueue
from alerts.notifier import Notifier
from alerts.silence_store import SilenceStore
from alerts.subscriptions import Subscription, SubscriptionStore, new_key
from opinion.clock import ManualClock
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.records import Alert, DeliveryOutcome
from tests.support.records import NOON


class Desk:
    """A deliverer on real Redis with a clock of its own."""

    def __init__(self, redis: Redis, names: Names, client: httpx.AsyncClient) -> None:
        self.leading = True
        self.clock = ManualClock(NOON)
        self.queue = DeliveryQueue(redis, names, clock=self.clock)
        self.subscriptions = SubscriptionStore(redis, names)
        self.metrics = AlerterMetrics(CollectorRegistry())
        self.notifier = Notifier(
            redis, names, queue=self.queue, subscriptions=self.subscriptions, silences=SilenceStore(redis, names, clock=self.clock), inhibitions=[], clock=self.clock
        )
        self.deliverer = Deliverer(
            self.queue,
            self.subscriptions,
            sender=Sender(client, allow_private=True),
            clock=self.clock,
            metrics=self.metrics,
            leading=lambda: self.leading,
            on_disabled=self.notifier.tell_disabled,
            jitter=lambda: 0.0,
            seconds=lambda: self.clock.now().timestamp(),
        )
        self.key = new_key()

    async def subscribe(self, url: str, name: str = "desk", **fields: Any) -> Subscription:
        subscription = Subscription(id=f"sub_{name}", name=name, url=url, keys=[self.key], **fields)
        await self.subscriptions.put(subscription)
        return subscription

    async def tell(self, told: Alert) -> list[str]:
        """Ids of the deliveries that a transition adds, by when they were made."""
        before = {item.delivery_id for item in (await self.queue.page(limit=500)).deliveries}
        await self.notifier.take(told)
        return [item.delivery_id for item in (await self.queue.page(limit=500)).deliveries if item.delivery_id not in before]

    async def work(self, *, seconds: float = 0.0) -> None:
        """One look and what comes of it, after so long."""
        self.clock.advance(timedelta(seconds=seconds))
        await self.deliverer.send_due()
        await self.deliverer.settle_running()

    async def outcome(self, delivery_id: str) -> tuple[DeliveryOutcome | None, int, str]:
        """Outcome, tries and detail of a delivery."""
        found = await self.queue.get(delivery_id)
        assert found is not None
        return found.outcome, found.attempts, found.detail

    def counted(self, outcome: DeliveryOutcome) -> float:
        """How many tries ended so."""
        return float(self.metrics.deliveries.labels("webhook", outcome.value)._value.get())
