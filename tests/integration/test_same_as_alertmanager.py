"""The same scripted alerts, silences and inhibitions through Debian's Alertmanager and through us give the same notifications."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from alerts.channels.channel import Channel
from alerts.delivery_queue import DeliveryQueue
from alerts.erasing import quoted
from alerts.notifier import Notifier
from alerts.notify.groups import Notice
from alerts.notify.labels import matcher_of
from alerts.notify.silences import Inhibition, silence_of
from alerts.silence_store import SilenceStore
from alerts.subscriptions import Match, Subscription, SubscriptionStore
from opinion.clock import ManualClock
from opinion.names import Names
from opinion.records import Alert, AlertStatus
from opinion.redis_client import connect
from tests.support.alertmanager import Alertmanager, running_alertmanager
from tests.support.receiver import Receiver
from tests.support.telling_cases import CASES, INHIBITION, INTERVAL_S, LENGTH_S, WAIT_S, Case, Step, lasting_labels, subject_of, transition

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
LATE_S = 1.5
"""Alertmanager runs on the wall clock of a busy machine."""
STEP_S = 0.1


class Told(NamedTuple):
    """A notification: seconds since the beginning, names of the alerts that are on, names of those that are over."""

    at_s: float
    firing: str
    resolved: str


class Life:
    """Episodes and sequences of the alerts of a case."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._open: dict[str, tuple[int, int, datetime]] = {}
        self._episodes: dict[str, int] = defaultdict(int)

    def step(self, step: Step, at: datetime) -> Alert | None:
        """The transition of a step; None where an alert that is on is only heard of again."""
        if step.verb == "fire":
            if step.name in self._open:
                return None
            self._episodes[step.name] += 1
            self._open[step.name] = (self._episodes[step.name], 1, at)
            return transition(self._case, step, episode=self._episodes[step.name], sequence=1, started_at=at, at=at)
        episode, sequence, started_at = self._open.pop(step.name)
        return transition(self._case, step, episode=episode, sequence=sequence + 1, started_at=started_at, at=at)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Told]]:
    """What Alertmanager tells, by case."""
    return asyncio.run(_by_alertmanager(tmp_path_factory.mktemp("alertmanager")))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_the_same_is_told_at_the_same_time(case: Case, theirs: Mapping[str, list[Told]], redis_url: str, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    redis = connect(redis_url)
    ours = await _by_us(case, redis, names, monkeypatch)
    await redis.aclose()
    assert [(told.firing, told.resolved) for told in ours] == list(case.expected)
    assert [(told.firing, told.resolved) for told in theirs[case.name]] == list(case.expected)
    assert all(-LATE_S - case.sooner_s <= our.at_s - their.at_s <= LATE_S for our, their in zip(ours, theirs[case.name], strict=True))


async def _by_us(case: Case, redis: Redis, names: Names, monkeypatch: pytest.MonkeyPatch) -> list[Told]:
    start = datetime(2026, 11, 23, 12, tzinfo=UTC)
    clock, life, told = ManualClock(start), Life(case), list[Told]()

    def heard(notice: Notice, subscription: Subscription) -> bytes:
        del subscription
        if quoted(notice.alerts):  # beside each a plain one is rendered, to be sent should its documents be erased
            told.append(_told((notice.at - start).total_seconds(), [(alert.subject_name, alert.status == AlertStatus.RESOLVED) for alert in notice.alerts]))
        return b"{}"

    channel = Channel("ear", heard, _never, lambda subscription: None)
    monkeypatch.setattr("alerts.notifier.find_channel", lambda name: channel)
    subscriptions, silences = SubscriptionStore(redis, names), SilenceStore(redis, names, clock=clock)
    await subscriptions.put(
        Subscription(
            id="sub_1", name="desk", channel="ear", match=Match(), send_resolved=case.send_resolved,
            group_by=list(case.group_by), group_wait_s=WAIT_S, group_interval_s=INTERVAL_S, repeat_interval_s=case.repeat_s,
        )
    )  # fmt: skip
    rules = [Inhibition(source=[matcher_of(text) for text in INHIBITION["source"]], target=[matcher_of(text) for text in INHIBITION["target"]], equal=INHIBITION["equal"])]
    queue = DeliveryQueue(redis, names, clock=clock)
    notifier = Notifier(redis, names, queue=queue, subscriptions=subscriptions, silences=silences, inhibitions=rules, clock=clock)
    steps, made = sorted(case.steps, key=lambda step: step.at_s), dict[str, str]()
    for tick in range(int(LENGTH_S / STEP_S)):
        while steps and steps[0].at_s <= tick * STEP_S:
            step = steps.pop(0)
            if step.verb == "silence":
                matchers, ends_at = [f'subject="{subject_of(case, step.name)}"'], clock.now() + timedelta(seconds=step.for_s)
                silence = silence_of(matchers=matchers, starts_at=clock.now(), ends_at=ends_at, author="desk", comment="", now=clock.now())
                made[step.name] = silence.id
                await silences.put(silence)
            elif step.verb == "unsilence":
                await silences.expire(made[step.name])
            elif found := life.step(step, clock.now()):
                await notifier.take(found)
        await notifier.look()
        clock.advance(timedelta(seconds=STEP_S))
    return told


async def _by_alertmanager(directory: Path) -> dict[str, list[Told]]:
    told: dict[str, list[Told]] = {case.name: [] for case in CASES}
    async with Receiver() as receiver, running_alertmanager(directory, _configuration(receiver)) as manager:
        start = datetime.now(UTC)
        listening = asyncio.create_task(_listen(receiver, told, start))
        await asyncio.gather(*[_play(case, manager, start) for case in CASES])
        await asyncio.sleep(max(0.0, LENGTH_S - (datetime.now(UTC) - start).total_seconds()))
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
    return told


async def _play(case: Case, manager: Alertmanager, start: datetime) -> None:
    life, made = Life(case), dict[str, str]()
    for step in sorted(case.steps, key=lambda step: step.at_s):
        await asyncio.sleep(max(0.0, step.at_s - (datetime.now(UTC) - start).total_seconds()))
        now = datetime.now(UTC)
        if step.verb == "silence":
            made[step.name] = await manager.silence([("subject", subject_of(case, step.name))], starts_at=now, ends_at=now + timedelta(seconds=step.for_s))
        elif step.verb == "unsilence":
            await manager.unsilence(made[step.name])
        elif found := life.step(step, now):
            await manager.push(lasting_labels(found), starts_at=found.started_at, ends_at=found.ended_at)
        else:
            await manager.push(lasting_labels(transition(case, step, episode=1, sequence=1, started_at=now, at=now)), starts_at=now)


async def _listen(receiver: Receiver, told: dict[str, list[Told]], start: datetime) -> None:
    async for body in _bodies(receiver):
        at_s = (datetime.now(UTC) - start).total_seconds()
        told[body["receiver"]].append(_told(at_s, [(alert["labels"]["subject_name"], alert["status"] == "resolved") for alert in body["alerts"]]))


async def _bodies(receiver: Receiver) -> AsyncIterator[dict[str, Any]]:
    read = 0
    while True:
        receiver.arrived.clear()
        for item in receiver.received[read:]:
            read += 1
            yield json.loads(item.body)
        await receiver.arrived.wait()


def _configuration(receiver: Receiver) -> dict[str, Any]:
    routes = [
        {
            "receiver": case.name, "matchers": [f'market="{case.name}"'], "group_by": list(case.group_by),
            "group_wait": f"{int(WAIT_S)}s", "group_interval": f"{int(INTERVAL_S)}s", "repeat_interval": f"{int(case.repeat_s)}s",
        }
        for case in CASES
    ]  # fmt: skip
    receivers = [{"name": case.name, "webhook_configs": [{"url": receiver.url, "send_resolved": case.send_resolved}]} for case in CASES]
    rule = {"source_matchers": INHIBITION["source"], "target_matchers": INHIBITION["target"], "equal": INHIBITION["equal"]}
    return {"route": {"receiver": "nobody", "routes": routes}, "receivers": [{"name": "nobody"}, *receivers], "inhibit_rules": [rule]}


def _told(at_s: float, alerts: list[tuple[str, bool]]) -> Told:
    return Told(at_s, "".join(sorted(name for name, over in alerts if not over)), "".join(sorted(name for name, over in alerts if over)))


async def _never(*_: object) -> None:
    raise AssertionError("nothing is sent here")
