"""What a leading alerter does beside looking at the windows, as a process to be killed: `python -m tests.support.telling_child KAFKA REDIS NAMESPACE`.

Its waits are short, so that a scenario of days passes in a minute.
"""

from __future__ import annotations

import asyncio
import sys

import httpx
from prometheus_client import CollectorRegistry

from alerts.channels.channel import Sender
from alerts.deliver import Deliverer, Timetable
from alerts.delivery_queue import DeliveryQueue
from alerts.leader import Leadership, lead
from alerts.notifier import Notifier
from alerts.silence_store import SilenceStore
from alerts.subscriptions import SubscriptionStore
from alerts.telling import Telling
from opinion.clock import SystemClock
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.redis_client import connect
from yuqing.logs import configure_logs

LEASE_S = 1.5
TIMETABLE = Timetable(schedule_s=(0.0, 0.2, 0.4, 0.8, *[1.0] * 60), open_s=0.3)
TRY_S = 0.8


async def tell(kafka: str, redis_url: str, names: Names) -> None:
    """Lead when no other does, and tell, until killed."""
    redis, clock = connect(redis_url), SystemClock()
    subscriptions = SubscriptionStore(redis, names)
    queue = DeliveryQueue(redis, names, clock=clock, lease_s=2 * TRY_S)
    leadership = Leadership(redis, names, lease_s=LEASE_S)
    notifier = Notifier(
        redis,
        names,
        queue=queue,
        subscriptions=subscriptions,
        silences=SilenceStore(redis, names, clock=clock),
        inhibitions=[],
        clock=clock,
        leading=lambda: leadership.leading,
    )
    async with httpx.AsyncClient(trust_env=False) as client:
        deliverer = Deliverer(
            queue,
            subscriptions,
            sender=Sender(client, allow_private=True, timeout_s=TRY_S),
            clock=clock,
            metrics=AlerterMetrics(CollectorRegistry()),
            timetable=TIMETABLE,
            leading=lambda: leadership.leading,
            on_disabled=notifier.tell_disabled,
        )
        telling = Telling(redis, names, kafka=kafka, notifier=notifier, deliverer=deliverer)
        await lead(leadership, lambda: [("telling", telling.run())])


if __name__ == "__main__":
    configure_logs("error")
    asyncio.run(tell(sys.argv[1], sys.argv[2], Names(sys.argv[3])))
