"""The rate of Faust itself: a `noack_take` loop that only acknowledges, with the worker's own batch size, buffer and consumer settings.

`python -m tests.bench.faust_bare TOPIC COUNT`, settings from the environment (their namespace gives the consumer group); prints one JSON
object. The time runs from the first batch to the last, so that start and group join are left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

from prometheus_client import CollectorRegistry

from opinion.metrics import WorkerMetrics
from opinion.settings import Settings, load_settings
from streams.app import build_app
from tests.bench.report import say

WITHIN_S = 300.0


class Tally:
    """Events after the first batch, and the time they took."""

    def __init__(self, count: int) -> None:
        self._missing = count
        self._timed = 0
        self._began = self._ended = 0.0
        self.done = asyncio.Event()

    def add(self, events: int) -> None:
        """Note a batch that was acknowledged."""
        self._ended = time.perf_counter()
        if self._began:
            self._timed += events
        else:
            self._began = self._ended
        self._missing -= events
        if self._missing <= 0:
            self.done.set()

    @property
    def per_s(self) -> float:
        """Events a second."""
        return self._timed / (self._ended - self._began)


async def bare(settings: Settings, *, topic: str, count: int) -> float:
    """Events a second of the loop on `topic`, which holds `count` records."""
    kafka, _ = settings.require_servers()
    app = build_app(settings, kafka=kafka, steps={}, metrics=WorkerMetrics(CollectorRegistry()), finished=lambda *_: None)
    tally = Tally(count)

    async def agent(stream: Any) -> None:
        async for events in stream.noack_take(settings.batch_documents, within=settings.batch_wait_s):
            for event in events:
                event.ack()
            tally.add(len(events))

    app.agent(app.topic(topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw"), name="bare", concurrency=1)(agent)
    running = asyncio.create_task(app.start(), name="faust")
    async with asyncio.timeout(WITHIN_S):
        await tally.done.wait()
    running.cancel()
    return tally.per_s


async def main() -> None:
    """Measure, print, leave."""
    rate = await bare(load_settings(), topic=sys.argv[1], count=int(sys.argv[2]))
    say(json.dumps({"per_s": rate}))
    os._exit(0)  # Faust may take seconds to leave its group, and nothing is left to do


if __name__ == "__main__":
    asyncio.run(main())
