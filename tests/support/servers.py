"""Kafka and Redis for tests: those of YUQING_KAFKA and YUQING_REDIS, else embedded ones that live as long as the session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from yuqing.embedded.kafka import EmbeddedKafka
from yuqing.embedded.redis import EmbeddedRedis

T = TypeVar("T")


class Servers:
    """Embedded servers on an event loop of their own, so that they outlive the loops of single tests."""

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers", daemon=True)
        self._thread.start()
        self.kafka = EmbeddedKafka(folder / "kafka")
        self.redis = EmbeddedRedis(folder / "redis")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, run on the servers' loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=90)

    def stop(self) -> None:
        """Stop what runs."""
        self.run(self.kafka.stop())
        self.run(self.redis.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()
