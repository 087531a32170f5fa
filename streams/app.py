"""The Faust application: two agents made from plain steps. The only module, with monitor.py and worker.py, that knows Faust."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import faust

from opinion.errors import Reason
from opinion.metrics import WorkerMetrics
from opinion.settings import Settings
from streams.batches import MOST_HELD, Incoming, Newest, Step, see_through
from streams.monitor import Monitor

BUFFERED_BATCHES = 16
"""Fewer cost rate: 880 instead of 1,395 records/s measured with 8 batches of 32."""
MIN_BUFFER = 4096
COMMIT_EVERY_S = 1.0
"""A killed worker repeats at most this much work."""

Finished = Callable[[list[Incoming], Newest], None]


class Acks:
    """Acknowledges batches a while after they were worked on, in order: should their effects be forgotten until then, they are read again."""

    def __init__(self, held_s: float) -> None:
        self._held_s = held_s
        self._held: deque[list[Any]] = deque()
        self._records = 0

    def take(self, events: list[Any]) -> None:
        """Acknowledge a batch in time."""
        self._held.append(events)
        self._records += len(events)
        if not self._held_s:
            self._release()
            return
        asyncio.get_running_loop().call_later(self._held_s, self._release)
        while self._records > MOST_HELD:
            self._release()

    def _release(self) -> None:
        if self._held:  # else more were held than may be, and it was acknowledged before its time
            events = self._held.popleft()
            self._records -= len(events)
            for event in events:
                event.ack()


def build_app(settings: Settings, *, kafka: str, steps: dict[str, Step], metrics: WorkerMetrics, finished: Finished, held_s: Mapping[str, float] | None = None) -> faust.App:
    """A Faust application with an agent per step: `score` reads documents, `aggregate` reads scored documents.

    `held_s` is for how long an agent's records stay unacknowledged once they were worked on. Tables, transactions and the web server are off; all state is in
    Redis, behind offset fences.
    """
    topics = {"score": settings.names.documents, "aggregate": settings.names.scored}
    app = faust.App(
        settings.names.worker_group,
        monitor=Monitor(metrics, topics=[topics[name] for name in steps]),
        broker=[f"aiokafka://{server}" for server in kafka.split(",")],
        store="memory://",
        datadir=str(settings.data_dir / "faust"),  # Faust makes folders for tables, of which there are none
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        reply_create_topic=False,
        stream_wait_empty=False,
        stream_buffer_maxsize=max(MIN_BUFFER, BUFFERED_BATCHES * settings.batch_documents),
        broker_commit_interval=COMMIT_EVERY_S,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=settings.session_timeout_s / 6,
        broker_max_poll_interval=3600.0,
        consumer_max_fetch_size=16 * 1024 * 1024,
        consumer_auto_offset_reset="earliest",
    )
    for name, step in steps.items():
        _attach(app, name, topic=topics[name], step=step, settings=settings, metrics=metrics, finished=finished, acks=Acks((held_s or {}).get(name, 0.0)))
    return app


def _attach(app: faust.App, name: str, *, topic: str, step: Step, settings: Settings, metrics: WorkerMetrics, finished: Finished, acks: Acks) -> None:
    """Give `step` an agent that acknowledges a whole batch, in offset order, after its effects are durable."""

    def on_retry(reason: Reason) -> None:
        metrics.retries.labels(reason.value).inc()

    async def agent(stream: Any) -> None:
        async for events in stream.noack_take(settings.batch_documents, within=settings.batch_wait_s):
            batch = [_incoming(event) for event in events]
            newest = await see_through(step, batch, on_retry=on_retry)
            acks.take(events)
            finished(batch, newest)

    app.agent(app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", allow_empty=True), name=name, concurrency=1)(agent)


def _incoming(event: Any) -> Incoming:
    message = event.message
    return Incoming(message.topic, message.partition, message.offset, message.key, message.value)
