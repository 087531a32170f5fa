"""What `make chaos` strikes: Kafka, Redis, two workers and an alerter as `yuqing up` keeps them, a receiver, and the progress of all of them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.detector import DetectorState
from alerts.shown import Standing
from alerts.subscriptions import Match, Subscription, SubscriptionStore, new_key
from opinion.bus import create_topics
from opinion.codec import encode
from opinion.errors import StoreUnavailable
from opinion.records import Pane
from opinion.redis_client import connect
from opinion.settings import Settings, load_settings
from opinion.windows import PANE_S, Applied, WindowStore
from tests.bench.processes import environment
from tests.support.dying_servers import failed_and_restarted, written_bytes
from tests.support.moody_receiver import MoodyReceiver
from tests.support.told_days import told
from tests.support.workers import until
from yuqing.children import Child
from yuqing.embedded.kafka import EmbeddedKafka
from yuqing.embedded.process import free_port
from yuqing.embedded.redis import EmbeddedRedis

WORKERS = 2
SESSION_S = 6.0
"""After so long a worker that is silent loses its partitions."""
LOOK_S = 0.1
QUIET_H, PER_HOUR, SHARE = 24, 6, 0.2
APPLIED_AT_ONCE = 1000

_standing = msgspec.json.Decoder(Standing)


class Desk(MoodyReceiver):
    """A receiver in one mood for all."""

    mood = "fine"

    def _mood(self, message_id: str) -> str:
        return self.mood


class Progress(NamedTuple):
    """How far everything was at a moment."""

    at: datetime
    looked_at: datetime | None  # up to when the detection has looked: no further than every partition is counted
    accepted: int  # by the receiver


class Place:
    """All of it, running."""

    def __init__(self, folder: Path, settings: Settings, *, kafka: EmbeddedKafka, redis: EmbeddedRedis, desk: Desk) -> None:
        self.folder, self.settings, self.names = folder, settings, settings.names
        self.kafka, self.redis, self.desk = kafka, redis, desk
        self.client: Redis = connect(redis.address)
        self.store = WindowStore(self.client, self.names)
        self.alerter = self._child("alert", ["-m", "yuqing", "alert"])
        self.workers = [self._child(f"work-{number}", ["-m", "tests.support.null_worker"]) for number in range(WORKERS)]
        self.seen: list[Progress] = []

    def _child(self, name: str, arguments: list[str]) -> Child:
        own = self.settings.model_copy(update={"worker_port": free_port()})
        return Child(name, [sys.executable, *arguments], environment=environment(own), log_path=self.folder / f"{name}.log", echo=lambda _: None)

    async def watch(self) -> None:
        """Note the progress until cancelled."""
        while True:
            with suppress(RedisError, OSError):  # killed just now
                self.seen.append(await self._look())
            await asyncio.sleep(LOOK_S)

    async def _look(self) -> Progress:
        standing = cast("bytes | None", await self.client.get(self.names.detection))
        return Progress(datetime.now(UTC), _standing.decode(standing).at if standing else None, len(self.desk.accepted))

    async def documents(self, subjects: Iterable[str], *, since: datetime) -> Counter[tuple[str, datetime]]:
        """Documents in the panes, by subject and minute."""
        found: dict[str, list[Pane]] = {}
        while not found:
            with suppress(StoreUnavailable):  # a connection from before Redis was killed
                found = await self.store.panes_of(list(subjects), since=since)
        return Counter({(pane.subject, pane.start_at): pane.counts.documents for panes in found.values() for pane in panes})

    async def quiet_days(self, subjects: Iterable[str]) -> None:
        """Count a quiet day of every subject, up to now; the detection has seen it, and goes on from here."""
        now = datetime.now(UTC)
        offset, start = 0, now - timedelta(hours=QUIET_H)
        for number, subject in enumerate(subjects):
            quiet = told(subject, start, hours=QUIET_H, per_hour=PER_HOUR, share=SHARE, seed=number, late=False)
            await self.store.apply_all({"quiet-0": [Applied(offset + place, item) for place, item in enumerate(quiet)]})
            offset += len(quiet)
        await self.client.set(self.names.episodes, encode(DetectorState(int(now.timestamp()) // PANE_S * PANE_S)))

    async def running(self) -> None:
        """Start the processes; returns when all partitions have a worker and the alerter looks."""
        for child in (self.alerter, *self.workers):
            await child.start()
        await until(self._sees, within_s=90)

    async def _sees(self) -> bool:
        return len(await self.store.marks()) == 2 * self.settings.partitions and bool(self.seen and self.seen[-1].looked_at)

    async def stop(self) -> None:
        """End the processes."""
        await asyncio.gather(*[child.stop() for child in (self.alerter, *self.workers)])
        await self.client.aclose()


async def kill(child: Child) -> None:
    """SIGKILL to a process; its keeper starts it again."""
    if child.pid is not None:  # else it was killed before and waits to be started
        os.kill(child.pid, signal.SIGKILL)


async def stopped_for(child: Child, seconds: float) -> None:
    """SIGSTOP to a process, and SIGCONT after so long: it believes that no time has passed."""
    pid = child.pid
    if pid is None:
        return
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(seconds)
    if child.pid == pid:
        os.kill(pid, signal.SIGCONT)


async def forgetful(server: EmbeddedRedis, *, lost_s: float, down_s: float) -> None:
    """A Redis that forgets what it was told in the last moments."""
    kept_bytes = written_bytes(server)
    await asyncio.sleep(lost_s)
    await failed_and_restarted(server, kept_bytes=kept_bytes, down_s=down_s)


@asynccontextmanager
async def place_in(folder: Path, *, key: str | None = None) -> AsyncIterator[Place]:
    """A place whose servers and processes are gone afterwards."""
    key = key or new_key()
    async with AsyncExitStack() as stack:
        kafka, redis = EmbeddedKafka(folder / "kafka"), EmbeddedRedis(folder / "redis")
        for server in (kafka, redis):
            stack.push_async_callback(server.stop)
            await server.start()
        desk = await stack.enter_async_context(Desk(key=key, seed=0, share=0.0, moods=["fine"]))
        settings = load_settings({}).model_copy(update={
            "kafka": kafka.address, "redis": redis.address, "data_dir": folder, "namespace": "bench-chaos", "log_level": "warning", "api_port": free_port(), "archive_days": 0.0,
            "session_timeout_s": SESSION_S, "allow_private_webhooks": True,
        })  # fmt: skip
        await create_topics(kafka.address, settings.names, partitions=settings.partitions, replication=1)
        place = Place(folder, settings, kafka=kafka, redis=redis, desk=desk)
        stack.push_async_callback(place.stop)
        await SubscriptionStore(place.client, settings.names).put(Subscription(id="sub_desk", name="desk", url=desk.url, keys=[key], match=Match(subjects=["*"])))
        watching = asyncio.create_task(place.watch(), name="watch")
        stack.callback(watching.cancel)
        yield place
