"""Everybody is told everything, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from alerts.subscriptions import Match, Subscription, SubscriptionStore, new_key
from opinion.bus import Producer, create_topics
from opinion.codec import encode
from opinion.names import Names
from opinion.records import Alert, AlertStatus
from opinion.redis_client import connect
from tests.support.dying_servers import killed_and_restarted
from tests.support.moody_receiver import MOODS, MoodyReceiver
from tests.support.records import alert
from tests.support.workers import until
from yuqing.embedded.process import die_with_parent
from yuqing.embedded.redis import EmbeddedRedis

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

SEED = 20261123
ALERTS = 1000
STATUSES = (AlertStatus.FIRING, AlertStatus.UPDATED, AlertStatus.RESOLVED)
TOLD_AT_ONCE = 100
EVERY_S = 0.3
BAD = [mood for mood in MOODS if mood != "fine"]
RECEIVERS = {"moody": (0.1, BAD), "failing": (0.3, ["broken", "deaf", "refusing"]), "slow": (0.05, ["hanging", "limiting"])}
"""Name -> share of requests that meet a bad mood, and which."""
MOST_TWICE = 0.1
"""Share of messages that may be accepted twice, where senders and Redis are killed this often."""


def transitions() -> list[Alert]:
    """Three of each alert, in order, alerts mixed."""
    chance = random.Random(SEED)
    begins = [chance.random() for _ in range(ALERTS)]
    places = sorted((begin + 0.4 * step, number, step) for number, begin in enumerate(begins) for step in range(len(STATUSES)))
    receivers = list(RECEIVERS)
    return [alert(step + 1, alert_id=f"al_{number:04}", subject=f"entity:{receivers[number % len(receivers)]}:{number}", status=STATUSES[step]) for _, number, step in places]


class Children:
    """Processes that tell: one leads, the others wait."""

    def __init__(self, kafka: str, redis_url: str, names: Names) -> None:
        self._command = [sys.executable, "-m", "tests.support.telling_child", kafka, redis_url, names.namespace]
        self.running: list[asyncio.subprocess.Process] = []

    async def start(self) -> None:
        """One more."""
        self.running.append(await asyncio.create_subprocess_exec(*self._command, preexec_fn=die_with_parent))

    async def kill(self, child: asyncio.subprocess.Process) -> None:
        """SIGKILL."""
        self.running.remove(child)
        child.kill()
        await child.wait()

    async def kill_all(self) -> None:
        """SIGKILL to all."""
        for child in list(self.running):
            await self.kill(child)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    """A Redis of this test's own, configured as `yuqing up` does."""
    found = EmbeddedRedis(tmp_path / "redis")
    await found.start()
    yield found
    await found.stop()


async def test_every_transition_reaches_every_receiver_across_kills(kafka_address: str, server: EmbeddedRedis, names: Names) -> None:
    key, told = new_key(), transitions()
    await create_topics(kafka_address, names, partitions=4, replication=1)
    async with AsyncExitStack() as stack:
        receivers = {
            name: await stack.enter_async_context(MoodyReceiver(key=key, seed=SEED + place, share=share, moods=moods))
            for place, (name, (share, moods)) in enumerate(RECEIVERS.items())
        }
        await _subscribe(server, names, receivers, key)
        children = Children(kafka_address, server.address, names)
        stack.push_async_callback(children.kill_all)
        for _ in range(2):
            await children.start()
        telling = asyncio.create_task(_publish(kafka_address, names, told))
        stack.callback(telling.cancel)

        async def reached(share: float) -> None:
            await until(lambda: sum(len(receiver.accepted) for receiver in receivers.values()) >= share * len(told), within_s=90, every_s=0.05)

        await reached(0.1)
        await children.kill(children.running[0])
        await children.start()
        await reached(0.25)
        await killed_and_restarted(server, down_s=0.3)
        await reached(0.4)
        stopped = children.running[0]
        stopped.send_signal(signal.SIGSTOP)  # it will believe that it leads still
        await reached(0.55)
        stopped.send_signal(signal.SIGCONT)
        await reached(0.7)
        await children.kill_all()
        await killed_and_restarted(server, down_s=0.1)
        await children.start()
        await reached(1.0)
        await telling
    _check(receivers, told)


async def _subscribe(server: EmbeddedRedis, names: Names, receivers: dict[str, MoodyReceiver], key: str) -> None:
    redis = connect(server.address)
    for name, receiver in receivers.items():
        await SubscriptionStore(redis, names).put(Subscription(id=f"sub_{name}", name=name, url=receiver.url, keys=[key], match=Match(subjects=[f"entity:{name}:*"])))
    await redis.aclose()


async def _publish(kafka: str, names: Names, told: list[Alert]) -> None:
    producer = Producer(kafka)
    for start in range(0, len(told), TOLD_AT_ONCE):
        await producer.send_all(names.alerts, [(item.alert_id.encode(), encode(item)) for item in told[start : start + TOLD_AT_ONCE]])
        await asyncio.sleep(EVERY_S)
    await producer.stop()


def _check(receivers: dict[str, MoodyReceiver], told: list[Alert]) -> None:
    for name, receiver in receivers.items():
        expected = {(item.alert_id, item.sequence) for item in told if item.subject.startswith(f"entity:{name}:")}
        assert receiver.accepted == expected
        assert receiver.unverified == 0
        bodies: dict[str, set[bytes]] = defaultdict(set)
        ids: dict[tuple[str, int], set[str]] = defaultdict(set)
        firsts: dict[str, list[int]] = defaultdict(list)
        for heard in receiver.heard:
            bodies[heard.message_id].add(heard.body)
            ids[heard.alert_id, heard.sequence].add(heard.message_id)
            if heard.sequence not in firsts[heard.alert_id]:
                firsts[heard.alert_id].append(heard.sequence)
        assert {len(found) for found in bodies.values()} == {1}
        assert {len(found) for found in ids.values()} == {1}
        assert [alert_id for alert_id, sequences in firsts.items() if sequences != [1, 2, 3]] == []
        accepted = [heard for heard in receiver.heard if heard.accepted]
        assert len(accepted) - len(expected) <= MOST_TWICE * len(expected)
        assert any(not heard.accepted for heard in receiver.heard)
