"""What another version wrote: the one before this one is taken up, a newer one is passed over and keeps nobody from working."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from alerts.acts import ActKind, ActStore, act_of
from alerts.announce import announce
from alerts.archive import Archive
from alerts.filling import Filling
from alerts.notify.groups import group_key
from alerts.rules_file import RulesFile
from alerts.store import AlertStore, Wanted
from alerts.tick import Tick
from opinion.bus import Producer, create_topics, read_all
from opinion.clock import ManualClock, SystemClock
from opinion.codec import decode, encode
from opinion.erased import ErasedIds
from opinion.errors import UnknownSchema
from opinion.metrics import AlerterMetrics, WorkerMetrics
from opinion.names import Names, digest
from opinion.records import Alert, AlertStatus, DeadLetter, DeliveryOutcome, Document, ScoredDocument, Severity
from opinion.redis_client import connect
from opinion.tasks import end
from opinion.windows import WindowStore
from scrapers.cursor import CursorStore
from scrapers.health import HealthStore
from streams.aggregate import AggregateStep
from streams.batches import Incoming
from streams.dead import DeadLetters
from tests.support.delivery_desk import Desk
from tests.support.receiver import Receiver
from tests.support.records import NOON, alert, scored
from tests.support.surging_day import SUBJECT
from tests.support.workers import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

FOLDER = Path(__file__).parents[1] / "data" / "versions"
RECORDS: dict[str, Any] = json.loads((FOLDER / "records.json").read_text())
KINDS = (Document, ScoredDocument, Alert, DeadLetter)
GROUP = group_key("sub_desk", {"alert_id": "al_0123"})
NEWER = b'{"schema": 2, "what": {"nobody": "knows"}}'


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def desk(redis: Redis, names: Names) -> AsyncIterator[Desk]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield Desk(redis, names, client)


async def load_former(redis: Redis, names: Names, **replaced: str) -> None:
    """Put the state of the former version into Redis."""
    text = (FOLDER / "former.json").read_text()
    for word, value in replaced.items():
        text = text.replace(f'"{word}"', json.dumps(value))
    for key, held in json.loads(text).items():
        ((kind, value),) = held.items()
        name = names.prefix + key
        if kind == "string":
            await redis.set(name, json.dumps(value))
        elif kind == "hash":
            await redis.hset(name, mapping={field: value if isinstance(value, str) else json.dumps(value) for field, value in value.items()})
        else:
            await redis.zadd(name, value)


def tick_of(redis: Redis, names: Names, *, kafka: str = "127.0.0.1:1") -> Tick:
    return Tick(
        RulesFile(None), store=WindowStore(redis, names), alerts=AlertStore(redis, names), producer=Producer(kafka), redis=redis, names=names, clock=ManualClock(NOON),
        metrics=AlerterMetrics(CollectorRegistry()), partitions=1, links="http://127.0.0.1:8600",
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_records_of_the_former_version_are_read_and_those_of_a_newer_one_are_named(kind: type[msgspec.Struct]) -> None:
    former = RECORDS[kind.__name__]
    found = msgspec.to_builtins(decode(json.dumps(former).encode(), kind))
    assert {key: found[key] for key in former if key not in {"window", "document"}} == {key: former[key] for key in former if key not in {"window", "document"}}
    with pytest.raises(UnknownSchema, match=r"newer than 1, .*: upgrade it"):
        decode(NEWER, kind)


async def test_what_the_former_version_saved_is_taken_up(redis: Redis, names: Names, desk: Desk) -> None:
    async with Receiver() as receiver:
        await load_former(redis, names, URL=receiver.url, KEY=desk.key, GROUP=GROUP, CURSOR=digest("https://news.example/rss"))
        tick = tick_of(redis, names)
        await tick.restore()
        assert tick._detector.firing() == {SUBJECT: Severity.HIGH}
        assert tick._detector.acted_on("al_0123") == 3
        assert tick._detector.pending == 0
        (shown,) = await AlertStore(redis, names).newest(limit=10)
        assert (shown.alert_id, shown.sequence, shown.acknowledged_by, shown.muted, [item.erased for item in shown.evidence]) == ("al_0123", 2, None, False, [False])
        (subscription,) = await desk.subscriptions.all()
        assert (subscription.language, subscription.group_by, subscription.quiet_hours, subscription.told) == ("both", [], None, True)
        (quoted,) = await WindowStore(redis, names).evidence(SUBJECT, start_at=NOON - timedelta(hours=1), end_at=NOON)
        assert quoted.title == "Clumps"
        assert (await CursorStore(redis, names, source="feed").load("https://news.example/rss")).etag == '"v7"'
        health = await HealthStore(redis, names).load("news.example", at=NOON)
        assert health.last_document_at == NOON - timedelta(minutes=10)

        await desk.notifier.restore()
        await desk.work()
        assert [(item.headers["webhook-id"], item.kind) for item in receiver.received] == [("msg_2", "alert.updated")]
        await desk.notifier.take(alert(3, alert_id="al_0123", status=AlertStatus.RESOLVED, ended_at=NOON))
        await desk.work()
        assert [item.kind for item in receiver.received] == ["alert.updated", "alert.resolved"]
        assert await desk.outcome("msg_1") == (DeliveryOutcome.DELIVERED, 1, "")
        assert await redis.hgetall(names.groups) == {}


async def test_state_of_a_newer_version_keeps_nobody_from_being_told(redis: Redis, names: Names, desk: Desk) -> None:
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url)
        strange = msgspec.to_builtins((await desk.subscriptions.all())[0]) | {"id": "sub_new", "name": "new", "match": {"moods": ["angry"]}}
        await redis.hset(names.subscriptions, "sub_new", json.dumps(strange))
        await redis.hset(names.silences, "sil_new", '{"id": "sil_new", "until": "the cows come home"}')
        await redis.hset(names.groups, "b" * 24, '{"members": []}')
        await redis.hset(names.alert("al_new"), mapping={"sequence": "1", "alert": encode(alert(1, alert_id="al_new")).replace(b'"firing"', b'"smouldering"')})
        await redis.zadd(names.alerts_index, {"al_new": 1})
        await AlertStore(redis, names).save(alert(1))
        await desk.notifier.restore()
        assert [item.name for item in await desk.subscriptions.all()] == ["desk"]
        assert await desk.subscriptions.get("sub_new") is None
        assert [item.alert_id for _, item in await AlertStore(redis, names).page(Wanted())] == ["al_1"]
        await desk.tell(alert(1))
        await desk.work()
        assert [item.kind for item in receiver.received] == ["alert.firing"]


async def test_deliveries_of_a_newer_version_wait_for_it_and_hold_up_no_other(redis: Redis, names: Names, desk: Desk) -> None:
    async with Receiver() as receiver:
        await desk.subscribe(receiver.url)
        (first,), (second,) = await desk.tell(alert(1, alert_id="al_1")), await desk.tell(alert(1, alert_id="al_2"))
        key = names.delivery(first)
        await redis.hset(key, "record", cast("bytes", await redis.hget(key, "record")).replace(b'"outcome":null', b'"outcome":"postponed"'))
        await desk.work()
        assert [item.headers["webhook-id"] for item in receiver.received] == [second]
        assert [item.delivery_id for item in (await desk.queue.page()).deliveries] == [second]
        assert await desk.queue.get(first) is None
        assert await desk.queue.retry_since("sub_desk", NOON - timedelta(hours=1)) == 1
        assert (await desk.queue.waiting())[0] == 2


async def test_a_detection_goes_on_from_a_state_it_cannot_read(redis: Redis, names: Names) -> None:
    await redis.mset({names.episodes: '{"evaluated_s": "soon"}', names.source_alerts: '{"on": []}'})
    acts = ActStore(redis, names, alerts=AlertStore(redis, names))
    await redis.rpush(names.acts, '{"alert_id": "al_1", "kind": "applaud", "by": "ann", "at": "2026-11-23T12:00:00Z"}')
    await AlertStore(redis, names).save(alert(1))
    await acts.do(act_of("al_1", ActKind.ACKNOWLEDGE, by="ann", at=NOON))
    tick = tick_of(redis, names)
    await tick.restore()
    assert tick._detector.firing() == {}
    assert [act and act.kind for act in await acts.waiting()] == [None, ActKind.ACKNOWLEDGE]


async def test_newer_transitions_are_passed_over_and_the_next_is_told(kafka_address: str, names: Names) -> None:
    await create_topics(kafka_address, names, partitions=1, replication=1)
    producer, told = Producer(kafka_address), list[str]()
    await producer.send_all(names.alerts, [(b"k", NEWER), (b"k", encode(alert(1)))])

    async def enqueue(item: Alert) -> None:
        told.append(item.alert_id)

    task = asyncio.create_task(announce(kafka_address, names, enqueue=enqueue))
    await until(lambda: told, within_s=30)
    await end(task)
    await producer.stop()
    assert told == ["al_1"]


async def test_newer_judgements_become_dead_letters_and_are_not_kept_by_the_archive(kafka_address: str, redis: Redis, names: Names, tmp_path: Path) -> None:
    await create_topics(kafka_address, names, partitions=1, replication=1)
    producer, metrics, clock = Producer(kafka_address), WorkerMetrics(CollectorRegistry()), SystemClock()
    dead = DeadLetters(producer, names, clock=clock, metrics=metrics)
    step = AggregateStep(WindowStore(redis, names), erased=ErasedIds(redis, names), dead=dead, clock=clock, metrics=metrics)
    values = [NEWER, encode(scored(1))]
    await producer.send_all(names.scored, [(b"k", value) for value in values])
    await step.run([Incoming(names.scored, 0, offset, b"k", value) for offset, value in enumerate(values)])
    letters = [decode(value, DeadLetter) for value in await read_all(kafka_address, names.dead)]
    assert [(letter.offset, letter.reason) for letter in letters] == [(0, "unknown_schema")]
    assert sum(pane.counts.documents for pane in await WindowStore(redis, names).panes("topic:Macro")) == 1
    archive = Archive(tmp_path / "documents.db", keep=timedelta(days=3650))
    task = asyncio.create_task(Filling(kafka_address, names.scored, archive=archive, clock=clock, heard=lambda _: None).run())
    doc_id = scored(1).document.doc_id

    async def kept() -> bool:
        return await archive.stands() == {0: 2} and await archive.get(doc_id) is not None

    await until(kept, within_s=30)
    await end(task)
    archive.close()
    await producer.stop()
