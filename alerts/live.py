"""What happens, as it happens: alerts that a listener missed are told first, judged documents only while it listens."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from msgspec import Struct

from opinion.bus import partitions_of, stop_consumer
from opinion.codec import encode
from opinion.errors import BusUnavailable, ConfigError
from opinion.records import Op, ScoredDocument

log = structlog.get_logger()

REMEMBERED = 2_000
"""Alerts that can be told again: days of them."""
MOST_WAITING = 500
"""A listener that is so far behind is let go: it may come back and say where it was."""
RETRY_S = 2.0
WAIT_MS = 500

Kind = Literal["alert", "document", "reset"]
_PLACES = re.compile(r"\d{1,5}-\d{1,18}(?:\.\d{1,5}-\d{1,18}){0,511}", re.ASCII)


class Event(Struct, frozen=True):
    """One thing that happened."""

    kind: Kind  # reset: alerts were missed that are remembered no more; everything is to be read anew
    data: bytes  # JSON; empty of a reset
    id: str = ""  # where a listener stands after it, of alerts: partition-offset, joined by dots


def places_of(event_id: str) -> dict[int, int]:
    """Partition -> next offset, as an event's id says.

    Errors:
        ConfigError: it is none.

    >>> places_of("0-12.3-5")
    {0: 12, 3: 5}
    """
    if not _PLACES.fullmatch(event_id):
        raise ConfigError("Last-Event-ID is not the id of an event")
    return {int(partition): int(offset) for partition, _, offset in (part.partition("-") for part in event_id.split("."))}


class Live:
    """Hears the log of alerts, and tells listeners.

    run() until cancelled
    """

    def __init__(self) -> None:
        self._events: deque[tuple[int, int, Event]] = deque(maxlen=REMEMBERED)  # with partition and offset
        self._places: dict[int, int] = {}
        self._first: dict[int, int] = {}  # partition -> the oldest offset that is remembered
        self._listeners: set[asyncio.Queue[Event | None]] = set()

    async def run(self, kafka: str, topic: str) -> None:
        """Hear alerts until cancelled; an unreachable Kafka is waited for."""
        while True:
            consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False, auto_offset_reset="latest")
            try:
                numbers = await partitions_of(kafka, topic)  # a consumer that follows nothing yet knows no topic
                await consumer.start()
                await self._follow(consumer, [TopicPartition(topic, number) for number in numbers])
            except (KafkaError, OSError, BusUnavailable) as error:
                log.warning("live alerts wait for Kafka", error=str(error))
                await asyncio.sleep(RETRY_S)
            finally:
                await stop_consumer(consumer)

    def heard(self, scored: ScoredDocument) -> None:
        """Tell listeners of a judged document."""
        if self._listeners and scored.document.op is not Op.DELETE:
            self._tell(Event("document", encode(scored)))

    async def listen(self, last_id: str = "") -> AsyncGenerator[Event, None]:
        """The alerts since an event, then what happens; ends when the listener is too far behind.

        Errors:
            ConfigError: `last_id` is the id of no event.
        """
        since = places_of(last_id) if last_id else None
        with self._listener() as queue:
            for event in self._missed(since) if since is not None else ():
                yield event
            while (now := await queue.get()) is not None:
                yield now

    def take(self, partition: int, offset: int, data: bytes) -> None:
        """Take in an alert of the log; one heard before changes nothing."""
        if offset < self._places.get(partition, 0):
            return
        self._places[partition] = offset + 1
        self._first.setdefault(partition, offset)
        if len(self._events) == REMEMBERED:
            gone, gone_offset, _ = self._events[0]
            self._first[gone] = gone_offset + 1
        event = Event("alert", data, ".".join(f"{number}-{place}" for number, place in sorted(self._places.items())))
        self._events.append((partition, offset, event))
        self._tell(event)

    def _missed(self, since: Mapping[int, int]) -> list[Event]:
        if any(since.get(partition, 0) < first for partition, first in self._first.items() if partition in since):
            return [Event("reset", b"", self._events[-1][2].id if self._events else "")]
        return [event for partition, offset, event in self._events if offset >= since.get(partition, 0)]

    def _tell(self, event: Event) -> None:
        for queue in list(self._listeners):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self._listeners.discard(queue)
                with suppress(asyncio.QueueEmpty):
                    queue.get_nowait()
                queue.put_nowait(None)

    @contextmanager
    def _listener(self) -> Iterator[asyncio.Queue[Event | None]]:
        queue: asyncio.Queue[Event | None] = asyncio.Queue(maxsize=MOST_WAITING)
        self._listeners.add(queue)
        try:
            yield queue
        finally:
            self._listeners.discard(queue)

    async def _follow(self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]) -> None:
        consumer.assign(partitions)
        ends, begins = await consumer.end_offsets(partitions), await consumer.beginning_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, self._places.get(partition.partition, max(begins[partition], ends[partition] - REMEMBERED // len(partitions))))
        while True:
            for partition, records in (await consumer.getmany(timeout_ms=WAIT_MS, max_records=MOST_WAITING)).items():
                for record in records:
                    if record.value is not None:
                        self.take(partition.partition, record.offset, record.value)
