from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from alerts.acts import ActKind, ActStore, AlertOver, act_of
from alerts.detect.rulebook import RuleBook, load_rules
from alerts.detect.thresholds import block_s
from alerts.rules_file import RulesFile
from alerts.scans.tails import OwnTail
from alerts.shown import Standing
from alerts.store import AlertStore
from alerts.tick import Tick
from opinion.bus import Producer, create_topics, read_all
from opinion.clock import ManualClock
from opinion.codec import decode
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.records import Alert, EntityMention, Lane, Scan, ScoredDocument
from opinion.redis_client import connect
from opinion.windows import WindowStore
from tests.support.told_days import Worker, told
from tests.support.workers import environment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

MONDAY = datetime(2026, 11, 9, tzinfo=UTC)
DAIRY, ACME, MACRO = "entity:XDEM:HSRY", "entity:XNAS:ACME", "topic:Macro"
HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
PANES_KEPT = timedelta(days=9)
OFF = "false_alarms: {share: 0, day: 0, count: 0}\n"


class Reads(WindowStore):
    """The windows, and what was read of them."""

    def __init__(self, redis: Redis, names: Names) -> None:
        super().__init__(redis, names)
        self.read_since: list[datetime | None] = []
        self.minutes_read: list[int] = []  # begin of every minute that was given out
        self.hours_read: list[int] = []  # every hour

    async def counts_of(self, subjects: Sequence[str], *, since: datetime | None) -> dict[str, list[tuple[int, int, int, int]]]:
        found = await super().counts_of(subjects, since=since)
        self.read_since += [since] if subjects else []
        self.minutes_read += [row[0] for rows in found.values() for row in rows]
        return found

    async def hours_of(self, subjects: Sequence[str], *, first_hour: int) -> dict[str, dict[int, tuple[int, int, int]]]:
        found = await super().hours_of(subjects, first_hour=first_hour)
        self.hours_read += [hour for hours in found.values() for hour in hours]
        return found


class Alerter:
    """A tick with metrics of its own, over windows that others may look at too."""

    def __init__(self, room: Room, *, rules: Path | None = None) -> None:
        self.reads = Reads(room.redis, room.names)
        self.registry = CollectorRegistry()
        self.tick = Tick(
            RulesFile(rules),
            store=self.reads,
            alerts=AlertStore(room.redis, room.names),
            producer=room.producer,
            redis=room.redis,
            names=room.names,
            clock=room.clock,
            metrics=AlerterMetrics(self.registry),
            partitions=1,
            links="http://127.0.0.1:8600",
        )

    def metric(self, name: str, **labels: str) -> float | None:
        found: float | None = self.registry.get_sample_value(name, labels)
        return found


class Room:
    """Servers, a clock and a worker: time goes on in steps, and at each the worker counts what came, then alerters look."""

    def __init__(self, *, kafka: str, redis: Redis, names: Names) -> None:
        self.kafka, self.redis, self.names = kafka, redis, names
        self.producer = Producer(kafka)
        self.clock = ManualClock(MONDAY)
        self.worker = Worker(WindowStore(redis, names), [])

    async def alerter(self, *, rules: Path | None = None) -> Alerter:
        """One that takes up what the last one left."""
        found = Alerter(self, rules=rules)
        await found.tick.restore()
        return found

    async def arrive(self, at: datetime) -> None:
        """It is that late, and everything that came by then is counted."""
        self.clock.advance(at - self.clock.now())
        await self.worker.work(at, wall=datetime.now(UTC))

    async def watch(self, *alerters: Alerter, until: datetime, every: timedelta) -> list[list[Alert]]:
        """What each of them tells, looking at the same instants."""
        told_by: list[list[Alert]] = [[] for _ in alerters]
        while self.clock.now() < until:
            await self.arrive(min(until, self.clock.now() + every))
            for told_so_far, alerter in zip(told_by, alerters, strict=True):
                told_so_far.extend(await alerter.tick.run())
        return told_by


@pytest.fixture
async def room(kafka_address: str, redis_url: str, names: Names) -> AsyncIterator[Room]:
    redis = connect(redis_url)
    await create_topics(kafka_address, names, partitions=1, replication=1)
    found = Room(kafka=kafka_address, redis=redis, names=names)
    yield found
    await found.producer.stop()
    await redis.aclose()


def quiet(subject: str, *, days: float, per_hour: float = 8, share: float = 0.2, **changes: Any) -> list[ScoredDocument]:
    return told(subject, MONDAY, hours=24 * days, per_hour=per_hour, share=share, **changes)


def surge(subject: str, start: datetime, *, hours: float = 2, per_hour: float = 40, share: float = 0.9, **changes: Any) -> list[ScoredDocument]:
    return told(subject, start, hours=hours, per_hour=per_hour, share=share, seed=77, late=False, **changes)


def numbers(alerts: Iterable[Alert]) -> list[tuple[Any, ...]]:
    """What an alert is known by, and what decided on it."""
    return [(alert.alert_id, alert.sequence, alert.status, alert.severity, alert.updated_at, alert.window.score, alert.window.theta, alert.window.negative) for alert in alerts]


def statuses(alerts: Iterable[Alert], subject: str = DAIRY) -> list[str]:
    return [alert.status.value for alert in alerts if alert.subject == subject and alert.status != "updated"]


async def test_changed_rules_are_taken_up_by_the_next_look_and_wrong_ones_change_nothing(room: Room, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text(OFF)
    start = MONDAY + 30 * HOUR
    room.worker.hears([*quiet(DAIRY, days=1.25), *surge(DAIRY, start, per_hour=90)])
    alerter = await room.alerter(rules=rules)
    assert await room.watch(alerter, until=start + 20 * MINUTE, every=20 * MINUTE) == [[]]
    assert alerter.metric("yuqing_detection_threshold", scan="share") == float("inf")

    rules.write_text("min_breadth: 4\n")
    expected = load_rules(rules).version
    (found,) = await room.watch(alerter, until=start + 21 * MINUTE, every=MINUTE)
    assert [(alert.status.value, alert.rules_version) for alert in found] == [("firing", expected)]
    assert expected != RuleBook().version
    assert found[0].window.theta == alerter.metric("yuqing_detection_threshold", scan="share")
    assert alerter.metric("yuqing_rules_read_total", outcome="ok") == 1

    rules.write_text("min_bredth: 9\n")
    (later,) = await room.watch(alerter, until=start + 10 * HOUR, every=10 * MINUTE)
    assert alerter.metric("yuqing_rules_read_total", outcome="refused") == 1
    assert alerter.metric("yuqing_rules_read_total", outcome="ok") == 1
    assert later[-1].status == "resolved"
    assert {(alert.alert_id, alert.rules_version) for alert in later} == {(found[0].alert_id, expected)}
    assert [decode(value, Alert) for value in await read_all(room.kafka, room.names.alerts)] == [*found, *later]


def eleven_days(*, late: bool = True) -> list[ScoredDocument]:
    """A topic and two companies, one of which surges on Saturday; on the second Thursday both do, the second in number alone."""
    thursday = MONDAY + 10 * DAY
    return [
        *quiet(MACRO, days=11.2, per_hour=15, late=late),
        *quiet(DAIRY, days=11.2, per_hour=8, seed=2, among=[MACRO], late=late),
        *quiet(ACME, days=11.2, per_hour=12, share=0.25, seed=3, late=late),
        *surge(DAIRY, MONDAY + 5 * DAY + 9 * HOUR, hours=1, per_hour=30),
        *surge(DAIRY, thursday + 10 * HOUR, hours=1, among=[MACRO]),
        *surge(ACME, thursday + 12 * HOUR, hours=0.5, per_hour=300, share=0.25),
    ]


async def expire_panes(room: Room, *, subjects: Sequence[str]) -> int:
    """Let go of the panes that Redis would have let go of by now; how many there were."""
    oldest = int((room.clock.now() - PANES_KEPT).timestamp())
    gone = 0
    for subject in subjects:
        quarters = [int(quarter) for quarter in cast("list[bytes]", await room.redis.zrange(room.names.quarters(subject), 0, -1))]
        for quarter in quarters:
            if quarter < oldest:
                gone += await room.redis.delete(room.names.quarter(subject, quarter))
    return gone


async def test_a_restart_reads_what_it_needs_and_tells_what_one_that_never_stopped_tells(room: Room) -> None:
    room.worker.hears(eleven_days())
    stayed = await room.alerter()
    stop, end = MONDAY + 10 * DAY + 9 * HOUR + 7 * MINUTE, MONDAY + 10 * DAY + 18 * HOUR
    (before,) = await room.watch(stayed, until=stop, every=HOUR)
    assert statuses(before) == ["firing", "resolved"]
    assert await expire_panes(room, subjects=[DAIRY, ACME, MACRO]) > 100

    early = await room.alerter()
    needed = early.tick._detector.panes_needed_since
    assert needed is not None
    assert stop - timedelta(hours=28) < needed < stop - timedelta(hours=24)
    told_by_stayed, told_by_early = await room.watch(stayed, early, until=stop + 90 * MINUTE, every=10 * MINUTE)
    assert early.reads.read_since[0] == needed
    assert min(early.reads.minutes_read) >= needed.timestamp()
    assert min(early.reads.hours_read) == int(MONDAY.timestamp()) // 3600
    assert len(set(early.reads.hours_read)) > 9 * 24
    assert statuses(told_by_stayed) == ["firing"]

    amid = await room.alerter()  # while an alert is on
    rest = await room.watch(stayed, early, amid, until=end, every=10 * MINUTE)
    assert numbers([*told_by_stayed, *rest[0]]) == numbers([*told_by_early, *rest[1]])
    assert [*told_by_stayed, *rest[0]] == [*told_by_early, *rest[1]]
    assert rest[0] == rest[2]
    assert statuses(rest[0]) == ["resolved"]
    assert statuses(rest[0], ACME) == ["firing", "resolved"]
    assert {alert.lane for alert in rest[0] if alert.subject == ACME} == {Lane.COUNT}
    assert early.reads.read_since.count(needed) == 1  # what is known is read from the last hours on


async def test_an_alerter_that_was_away_tells_what_one_that_never_stopped_told(room: Room) -> None:
    room.worker.hears(eleven_days(late=False))
    stayed = await room.alerter()
    stop, end = MONDAY + 10 * DAY + 9 * HOUR, MONDAY + 10 * DAY + 18 * HOUR
    await room.watch(stayed, until=stop, every=HOUR)
    saved = {name: cast("bytes", await room.redis.dump(name)) for name in (room.names.episodes, room.names.tails)}
    (told_by_stayed,) = await room.watch(stayed, until=end, every=5 * MINUTE)
    for name, value in saved.items():
        await room.redis.restore(name, 0, value, replace=True)
    late = await room.alerter()  # begins where the state was saved, nine hours ago
    told_by_late = await late.tick.run()
    assert numbers(told_by_late) == numbers(told_by_stayed)
    assert [statuses(told_by_late, subject) for subject in (DAIRY, ACME)] == [["firing", "resolved"]] * 2


async def test_a_worker_that_was_away_for_hours_leaves_no_hole(room: Room) -> None:
    start = MONDAY + 30 * HOUR
    room.worker.hears([*quiet(DAIRY, days=2), *surge(DAIRY, start, hours=1, per_hour=90)])
    alerter = await room.alerter()
    assert await room.watch(alerter, until=start, every=10 * MINUTE) == [[]]
    (found,) = await room.watch(alerter, until=start + 7 * HOUR, every=7 * HOUR)  # all at once, between two looks
    assert statuses(found) == ["firing", "resolved"]
    assert found[0].started_at < start + HOUR


async def own_tails(room: Room) -> dict[str, OwnTail]:
    saved = cast("dict[bytes, bytes]", await room.redis.hgetall(room.names.tails))
    return {subject.decode(): msgspec.json.decode(tail, type=OwnTail) for subject, tail in saved.items()}


async def test_what_a_subject_itself_has_shown_survives_a_restart(room: Room) -> None:
    surges = [surge(DAIRY, MONDAY + (day + 0.4) * DAY, hours=0.5, per_hour=60 * day, share=0.2) for day in (4, 6, 8, 10)]
    room.worker.hears([*quiet(DAIRY, days=12), *quiet(ACME, days=12, seed=3), *(item for one in surges for item in one)])
    stayed = await room.alerter()
    stop = MONDAY + 10 * DAY + 9 * HOUR
    await room.watch(stayed, until=stop, every=3 * HOUR)
    assert await own_tails(room) == stayed.tick._detector.own_tails()
    assert sorted(await own_tails(room)) == [DAIRY, ACME]
    assert len((await own_tails(room))[DAIRY].highest) >= 3

    again = await room.alerter()
    await room.redis.delete(room.names.tails)
    forgetful = await room.alerter()
    known, kept, forgotten = (alerter.tick._detector.threshold(DAIRY, Scan.COUNT, at=stop) for alerter in (stayed, again, forgetful))
    assert known == kept != forgotten == stayed.metric("yuqing_detection_threshold", scan="count")

    await room.watch(again, until=MONDAY + 11 * DAY, every=3 * HOUR)
    today = int((MONDAY + 10 * DAY).timestamp()) // block_s(Scan.COUNT)
    assert today in (await own_tails(room))[DAIRY].highest
    assert len(again.tick._detector.own_tails()[DAIRY].highest) > len(stayed.tick._detector.own_tails()[DAIRY].highest)


async def status_json(room: Room, redis_url: str) -> tuple[int | None, dict[str, Any]]:
    """Exit code and output of `yuqing status --json`."""
    variables = environment(kafka=room.kafka, redis_url=redis_url, names=room.names)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "yuqing", "status", "--json", env=variables, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return process.returncode, json.loads(said)


def fallen_silent(*, others: bool) -> list[ScoredDocument]:
    """Four days of texts at every hour that end in a surge; what other subjects say goes on or not; calm texts come again six hours later."""
    end = MONDAY + 4 * DAY
    return [
        *quiet(DAIRY, days=4, per_hour=30),
        *quiet(MACRO, days=5 if others else 4, per_hour=20, seed=4),
        *surge(DAIRY, end - HOUR, hours=1, per_hour=90),
        *told(DAIRY, end + 9 * HOUR, hours=15, per_hour=30, share=0.2, seed=5),
    ]


async def test_no_alert_ends_while_all_sources_are_silent(room: Room, redis_url: str) -> None:
    end = MONDAY + 4 * DAY
    room.worker.hears(fallen_silent(others=False))
    alerter = await room.alerter()
    (found,) = await room.watch(alerter, until=end, every=30 * MINUTE)
    assert statuses(found) == ["firing"]
    assert alerter.metric("yuqing_detection_blind") == 0
    (silent,) = await room.watch(alerter, until=end + 9 * HOUR, every=30 * MINUTE)
    assert statuses(silent) == []
    assert alerter.metric("yuqing_detection_blind") == 1
    assert sum(alerter.metric("yuqing_alerts_firing", severity=severity) or 0 for severity in ("warning", "high", "critical")) == 1
    code, state = await status_json(room, redis_url)
    assert code == 1
    assert state["detection"]["silent"] is True
    saved = cast("bytes", await room.redis.get(room.names.detection))
    assert msgspec.convert(state["detection"], Standing) == msgspec.json.decode(saved, type=Standing)
    (spoken,) = await room.watch(alerter, until=end + 12 * HOUR, every=30 * MINUTE)
    assert statuses(spoken) == ["resolved"]
    assert spoken[-1].updated_at > end + 9 * HOUR
    assert alerter.metric("yuqing_detection_blind") == 0
    code, state = await status_json(room, redis_url)
    assert code == 0
    assert (state["detection"]["silent"], state["detection"]["firing"], state["detection"]["subjects"]) == (False, 0, 2)
    assert state["detection"]["rules_version"] == RuleBook().version
    assert state["detection"]["thresholds"]["share"] == alerter.metric("yuqing_detection_threshold", scan="share")


async def test_an_alert_of_a_silent_subject_ends_while_others_are_spoken_of(room: Room) -> None:
    end = MONDAY + 4 * DAY
    room.worker.hears(fallen_silent(others=True))
    alerter = await room.alerter()
    (found,) = await room.watch(alerter, until=end + 8 * HOUR, every=30 * MINUTE)
    assert statuses(found) == ["firing", "resolved"]
    assert alerter.metric("yuqing_detection_blind") == 0


async def test_a_surge_in_number_alone_is_told_by_number_and_usual_number(room: Room) -> None:
    start = MONDAY + 6 * DAY + 10 * HOUR
    documents = [*quiet(DAIRY, days=7, per_hour=20, share=0.3), *surge(DAIRY, start, hours=1, per_hour=400, share=0.3)]
    named = [msgspec.structs.replace(item, entities=[EntityMention("XDEM:HSRY", "Huasui Dairy", 0.9, item.sentiment)]) for item in documents]
    room.worker.hears(named)
    alerter = await room.alerter()
    await room.watch(alerter, until=start, every=3 * HOUR)
    (found,) = await room.watch(alerter, until=start + 30 * MINUTE, every=10 * MINUTE)
    first, window = found[0], found[0].window
    assert {(alert.subject, alert.alert_id, alert.lane) for alert in found} == {(DAIRY, first.alert_id, Lane.COUNT)}
    assert first.status == "firing"
    assert window.score >= window.theta >= 3
    assert window.lift == pytest.approx(window.negative / window.expected_negative, rel=0.01)
    width = window.width_s // 60
    known, times = f"{window.expected_negative:.1f}", f"{window.lift:.1f}"
    english = rf"Negative opinion on Huasui Dairy surged: {window.negative} negative texts in the last {width} min stand against a usual {known} \({times}x\), told by .* stories\."
    assert re.fullmatch(english, first.summary)
    chinese = rf"Huasui Dairy的负面舆情激增：最近{width}分钟的{window.negative}条负面文本（平时约{known}条，为平时的{times}倍），涉及.*个独立报道。"
    assert re.fullmatch(chinese, first.summary_zh)
    assert [decode(value, Alert) for value in await read_all(room.kafka, room.names.alerts)][-len(found) :] == found


async def test_what_people_do_to_an_alert_is_seen_at_once_told_next_and_stays_on_it(room: Room) -> None:
    start = MONDAY + 6 * DAY
    room.worker.hears([*quiet(DAIRY, days=8), *surge(DAIRY, start)])
    alerter = await room.alerter()
    await room.watch(alerter, until=start, every=6 * HOUR)
    (found,) = await room.watch(alerter, until=start + HOUR, every=10 * MINUTE)
    alerts = AlertStore(room.redis, room.names)
    acts = ActStore(room.redis, room.names, alerts=alerts)
    act = act_of(found[0].alert_id, ActKind.ACKNOWLEDGE, by="ann", at=room.clock.now(), text="looking")
    for _ in range(2):  # doing it again changes nothing
        seen = await acts.do(act)
        assert seen is not None
        assert (seen.acknowledged_by, [note.text for note in seen.notes], seen.sequence) == ("ann", ["looking"], found[-1].sequence)
    await acts.do(act_of("al_unknown", ActKind.NOTE, by="ann", at=room.clock.now(), text="lost"))
    second = await room.alerter()  # another leader takes over in between
    (told_next,) = await room.watch(second, until=room.clock.now() + MINUTE, every=MINUTE)
    by_act = [alert for alert in told_next if alert.reason == "acknowledged"]
    assert [(alert.acknowledged_by, alert.status, alert.sequence - found[-1].sequence) for alert in by_act] == [("ann", "updated", 1)]
    assert await acts.waiting() == []
    (rest,) = await room.watch(second, until=start + 12 * HOUR, every=30 * MINUTE)
    over = next(alert for alert in rest if alert.status == "resolved")
    assert (over.alert_id, over.acknowledged_by) == (found[0].alert_id, "ann")
    whole = [decode(value, Alert) for value in await read_all(room.kafka, room.names.alerts)]
    assert [alert.sequence for alert in whole if alert.alert_id == over.alert_id] == list(range(1, over.sequence + 1))
    with pytest.raises(AlertOver):
        await acts.do(act_of(over.alert_id, ActKind.ACKNOWLEDGE, by="bob", at=room.clock.now()))
    noted = await acts.do(act_of(over.alert_id, ActKind.NOTE, by="bob", at=room.clock.now(), text="was real"))
    assert noted is not None
    assert [note.by for note in noted.notes] == ["ann", "bob"]
