"""What the API speaks for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from alerts.acts import ActStore
from alerts.api.access import Access
from alerts.archive import Archive
from alerts.delivery_queue import DeliveryQueue
from alerts.live import Live
from alerts.notifier import Notifier
from alerts.rank_store import RankStore
from alerts.silence_store import SilenceStore
from alerts.store import AlertStore
from alerts.subscriptions import SubscriptionStore
from opinion.clock import Clock
from opinion.names import Names
from opinion.windows import WindowStore

Read = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Parts:
    """The stores and the state behind the paths."""

    alerts: AlertStore
    acts: ActStore
    archive: Archive
    live: Live
    subscriptions: SubscriptionStore
    silences: SilenceStore
    queue: DeliveryQueue
    notifier: Notifier
    ranks: RankStore
    windows: WindowStore
    redis: Redis
    names: Names
    registry: CollectorRegistry
    access: Access
    status: Read  # JSON-able state of the pipeline
    sources: Read  # JSON-able health of the sources
    ready: Callable[[], bool]
    clock: Clock  # of the documents: scaled in a replay
    wall: Clock
