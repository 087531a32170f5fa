"""What a backup promises: filled, saved, lost, brought back, and gone on from there."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from redis.asyncio import Redis

from alerts.catching_up import catch_up
from alerts.detector import DetectorState
from alerts.notifier import PAST, Notifier
from alerts.subscriptions import new_key
from opinion.clock import SystemClock
from opinion.erased import ErasedIds
from opinion.errors import ConfigError
from opinion.names import Names
from opinion.records import AlertStatus, DeliveryOutcome, Document, TransitionReason
from opinion.redis_client import connect
from tests.support.installation import Installation
from tests.support.receiver import Answer, Receiver
from tests.support.records import alert, document
from tests.support.surging_day import COMPANY, SUBJECT, surging_day
from tests.support.workers import until
from yuqing.backup.making import make_backup
from yuqing.backup.places import committed, readers, records_from
from yuqing.backup.restoring import check_backup, restore_backup
from yuqing.erase import erase_documents

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

QUIET, ALL = 400, 460
"""Documents of the surging day before its surge, and in all."""


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def place(kafka_address: str, redis_url: str, redis: Redis, names: Names, tmp_path: Path) -> Installation:
    return Installation(kafka=kafka_address, redis_url=redis_url, redis=redis, names=names, folder=tmp_path / "data")


def elsewhere(place: Installation) -> Installation:
    """Another machine: an empty Kafka, an empty Redis, an empty data directory."""
    names = Names(f"{place.names.namespace}-b")
    return Installation(kafka=place.kafka, redis_url=place.redis_url, redis=place.redis, names=names, folder=place.folder.with_name("elsewhere"))


async def save(place: Installation, name: str = "a.backup") -> Path:
    path = place.folder.with_name(name)
    said: list[str] = []
    assert await make_backup(path, settings=place.settings, archive=True, echo=said.append) == 0
    assert str(path) in said[0]
    assert "secrets" in said[1]
    return path


async def bring_back(path: Path, place: Installation, *, replace: bool = False) -> list[str]:
    said: list[str] = []
    assert await restore_backup(path, settings=place.settings, replace=replace, echo=said.append) == 0
    return said


def later(number: int, **changes: Any) -> Document:
    """A document that comes now."""
    now = datetime.now(UTC)
    text = f"One more bad story about the dairy, number {number}, told at some length for once."
    return document(number, **({"title": "", "text": text, "symbols": [COMPANY], "publisher": "late.example", "published_at": now, "fetched_at": now} | changes))


def firings(receiver: Receiver) -> list[str]:
    return [item.headers["webhook-id"] for item in receiver.received if item.kind == "alert.firing"]


async def erase(place: Installation, doc_id: str) -> None:
    await erase_documents([doc_id], settings=place.settings, echo=lambda _: None)
    await until(lambda: _gone(place, doc_id), within_s=30)


async def _gone(place: Installation, doc_id: str) -> bool:
    return doc_id not in await place.quoted(SUBJECT) and not await place.archived(doc_id)


async def _counts(place: Installation, number: int) -> bool:
    return await place.counted(SUBJECT) >= number


async def told_on(place: Installation, api: httpx.AsyncClient, receiver: Receiver) -> tuple[str, int]:
    """The alert, once it was told and taken on."""
    await until(lambda: firings(receiver), within_s=60)
    (alert,) = (await api.get("/api/v1/alerts", params={"subject": SUBJECT})).json()["alerts"]
    answer = await api.post(f"/api/v1/alerts/{alert['alert_id']}/ack", json={"by": "ann"})
    assert answer.status_code == 200
    await until(lambda: any(item.json["data"]["acknowledged_by"] == "ann" for item in receiver.received), within_s=20)
    await until(lambda: _sequence(place, alert["alert_id"], receiver.received[-1].sequence), within_s=20)
    return alert["alert_id"], receiver.received[-1].sequence


async def _sequence(place: Installation, alert_id: str, sequence: int) -> bool:
    found = await place.alerts.get(alert_id)
    return found is not None and found.sequence == sequence


async def test_a_lost_machine_goes_on_elsewhere_where_the_backup_was_made(place: Installation) -> None:
    key, other, day = new_key(), elsewhere(place), surging_day(datetime.now(UTC))
    async with Receiver() as desk, Receiver(*[Answer(500)] * 99) as broken:
        await place.subscribe("desk", url=desk.url, key=key)
        await place.subscribe("broken", url=broken.url, key=key)
        await place.publish(day)
        async with place.running() as api:
            alert_id, sequence = await told_on(place, api, desk)
            assert (await api.post("/api/v1/silences", json={"matchers": ['subject="topic:Macro"'], "author": "ann"})).status_code == 201
            gone = day[ALL - 3].doc_id
            await until(lambda: _archives(place, day[ALL - 1]), within_s=30)
            await erase(place, gone)
            await until(lambda: broken.received, within_s=20)
            ids = {item.headers["webhook-id"] for item in desk.received}
            path = await save(place)  # while everything runs
        panes, hours = await place.windows.canonical(SUBJECT), await place.windows.hours_of([SUBJECT], first_hour=0)
        quoted, waiting = await place.quoted(SUBJECT), await place.queue.waiting()
        subscriptions, silences = await place.subscriptions.all(), await place.silences.all()
        token = (place.folder / "api-token").read_text()
        await place.wipe()
        shutil.rmtree(place.folder)

        assert path.stat().st_mode & 0o777 == 0o600
        said = await bring_back(path, other)
        assert "have to be erased again" in said[-1]
        assert await other.windows.canonical(SUBJECT) == panes
        assert await other.windows.hours_of([SUBJECT], first_hour=0) == hours
        assert await other.quoted(SUBJECT) == quoted
        assert (await other.subscriptions.all(), await other.silences.all()) == (subscriptions, silences)
        assert (other.folder / "api-token").read_text() == token
        assert (await other.queue.waiting())[0] == waiting[0] >= 1
        assert await other.archived(day[ALL - 1].doc_id)
        broken.answers.clear()
        heard, tried = len(desk.received), {item.headers["webhook-id"]: item.body for item in broken.received}

        async with other.running() as api:
            await other.publish([*day, later(900), later(901)])  # a feed lists what it listed before, the erased one too
            await until(lambda: _counts(other, ALL + 2), within_s=60)
            await until(lambda: _archives(other, later(901)), within_s=30)
            await until(lambda: {item.headers["webhook-id"] for item in broken.received[len(tried) :]} >= set(tried), within_s=60)
            note = await api.post(f"/api/v1/alerts/{alert_id}/note", json={"by": "bob", "text": "seen"})
            assert note.status_code == 200, note.text
            await until(lambda: any(item.json["data"]["notes"] for item in desk.received), within_s=30)
            shown = (await api.get(f"/api/v1/alerts/{alert_id}")).json()
        assert (shown["acknowledged_by"], shown["notes"][0]["text"]) == ("ann", "seen")
        since = desk.received[heard:]
        assert {item.json["data"]["alert_id"] for item in since} == {alert_id}
        assert not ids & {item.headers["webhook-id"] for item in since}
        assert min(item.sequence for item in since) > sequence
        assert {item.headers["webhook-id"]: item.body for item in broken.received if item.headers["webhook-id"] in tried} == tried
        assert await other.counted(SUBJECT) == ALL + 2
        assert gone not in await other.quoted(SUBJECT)
        assert not await other.archived(gone)
        assert await other.archived(day[ALL - 1].doc_id)


async def _archives(place: Installation, item: Document) -> bool:
    return await place.archived(item.doc_id)


async def test_an_older_backup_beside_the_same_kafka_neither_repeats_nor_forgets_what_was_told_since(place: Installation) -> None:
    key, day = new_key(), surging_day(datetime.now(UTC))
    async with Receiver() as desk:
        await place.subscribe("desk", url=desk.url, key=key)
        await place.publish(day[:QUIET])
        async with place.running() as api:
            await until(lambda: _counts(place, QUIET), within_s=60)
            await until(lambda: _looked(place), within_s=30)  # before that there is no state that an alert could be put back into
            path = await save(place)
            await place.publish(day[QUIET:])
            alert_id, sequence = await told_on(place, api, desk)
            gone = day[ALL - 3].doc_id
            await erase(place, gone)
            await until(lambda: _all_noted(place), within_s=30)  # some seconds after it was told: until then it may be told twice
        panes, quoted = await place.windows.panes(SUBJECT), await place.quoted(SUBJECT)
        ids, heard = [item.headers["webhook-id"] for item in desk.received], len(desk.received)
        await place.wipe()

        said = await bring_back(path, place, replace=True)  # the archive is still there
        stay = re.search(r"that stay told (\d+),", said[-2])
        assert stay is not None
        assert int(stay[1]) >= len(ids)  # of topics, too
        found = await place.alerts.get(alert_id)
        assert found is not None
        assert found.sequence >= sequence
        assert (found.acknowledged_by, found.status) == ("ann", AlertStatus.UPDATED)
        made = (await place.queue.page()).deliveries
        assert {item.delivery_id for item in made} == set(ids)
        assert {(item.outcome, item.detail) for item in made} == {(DeliveryOutcome.GONE, PAST)}
        assert (await place.queue.waiting())[0] == 0

        async with place.running() as api:
            await until(lambda: _counts(place, ALL), within_s=60)
            await place.publish([later(900)])
            await until(lambda: _counts(place, ALL + 1), within_s=60)
            assert (await api.post(f"/api/v1/alerts/{alert_id}/note", json={"by": "bob", "text": "seen"})).status_code == 200
            await until(lambda: any(item.json["data"]["notes"] for item in desk.received), within_s=30)
            await until(lambda: _gone(place, gone), within_s=30)
            since = list(desk.received[heard:])
            assert (await api.get(f"/api/v1/alerts/{alert_id}")).json()["status"] in {"firing", "updated"}
            assert await place.queue.retry_missing("sub_desk") == len(ids)  # whoever is in doubt has them sent
            await until(lambda: {item.headers["webhook-id"] for item in desk.received[heard:]} >= set(ids), within_s=30)
        assert {item.json["data"]["alert_id"] for item in since} == {alert_id}
        assert not set(ids) & {item.headers["webhook-id"] for item in since}
        assert min(item.sequence for item in since) == len(ids) + 1
        late = later(900).doc_id
        assert [doc_id for doc_id in await place.quoted(SUBJECT) if doc_id != late] == quoted
        assert await place.counted(SUBJECT) == ALL + 1
        assert (await place.windows.panes(SUBJECT))[: len(panes)] == panes


async def test_an_alert_is_put_back_though_the_backup_was_made_before_the_first_look(place: Installation) -> None:
    await place.subscribe("desk", url="https://desk.example/hook", key=new_key())
    notifier = Notifier(place.redis, place.names, queue=place.queue, subscriptions=place.subscriptions, silences=place.silences, inhibitions=[], clock=SystemClock())
    told = [alert(1), alert(2, status=AlertStatus.UPDATED, reason=TransitionReason.ACKNOWLEDGED, acknowledged_by="ann")]
    for _ in range(2):  # doing it again changes nothing
        await catch_up(told, redis=place.redis, names=place.names, alerts=place.alerts, notifier=notifier)
        state = msgspec.json.decode(await place.redis.get(place.names.episodes) or b"", type=DetectorState)
        assert [(item.alert_id, item.sequence, item.ended_at) for item in state.episodes.values()] == [("al_1", 2, None)]
        assert (await place.alerts.marks("al_1")).acknowledged_by == "ann"
        assert [(item.sequence, item.outcome) for item in (await place.queue.page()).deliveries] == [(2, DeliveryOutcome.GONE), (1, DeliveryOutcome.GONE)]
        assert (await place.queue.waiting())[0] == 0


async def _looked(place: Installation) -> bool:
    """Whether the alerter has looked at the windows, and saved what it knows."""
    return bool(await place.redis.exists(place.names.episodes))


async def _all_noted(place: Installation) -> bool:
    """Whether Kafka knows of every transition that it was made into messages."""
    reader = readers(place.names)[2]
    return await records_from(place.kafka, reader, dict.fromkeys(range(4), 0) | await committed(place.kafka, reader)) == []


async def test_what_is_erased_where_a_backup_is_put_stays_erased(place: Installation) -> None:
    day = surging_day(datetime.now(UTC))
    await place.publish(day)
    async with place.running(alerter=False):
        await until(lambda: _counts(place, ALL), within_s=60)
    path = await save(place)
    gone = [item.doc_id for item in day[QUIET:] if item.doc_id in await place.quoted(SUBJECT)][:2]
    await ErasedIds(place.redis, place.names).add(gone)  # by a process that has not come to the evidence yet
    with pytest.raises(ConfigError, match=r"holds state already \(subscriptions 0, alerts 0, .*--replace"):
        await bring_back(path, place)
    assert set(gone) <= set(await place.quoted(SUBJECT))
    await bring_back(path, place, replace=True)
    assert not set(gone) & set(await place.quoted(SUBJECT))
    assert await ErasedIds(place.redis, place.names).among(gone) == set(gone)
    assert await place.counted(SUBJECT) == ALL
    other = elsewhere(place)
    await bring_back(await save(place, "b.backup"), other)
    assert await ErasedIds(other.redis, other.names).among(gone) == set(gone)
    assert await other.redis.ttl(other.names.erased) > timedelta(days=30).total_seconds()


async def test_an_erasure_reaches_evidence_that_was_brought_back(place: Installation) -> None:
    day, other = surging_day(datetime.now(UTC)), elsewhere(place)
    await place.publish(day)
    async with place.running(alerter=False):
        await until(lambda: _counts(place, ALL), within_s=60)
    await bring_back(await save(place), other)
    gone = (await other.quoted(SUBJECT))[0]
    await other.windows.erase([gone])
    assert gone not in await other.quoted(SUBJECT)


async def test_what_lies_in_files_comes_back(place: Installation) -> None:
    other = elsewhere(place)
    for one in (place, other):
        await one.publish([])
    await place.subscribe("desk", url="https://desk.example/hook", key=new_key())
    rules = place.folder / "mine.yaml"
    rules.write_text("min_breadth: 4\n")
    place.settings = place.settings.model_copy(update={"rules": rules})
    model = place.folder / "shelf" / "0123456789ab"
    model.mkdir(parents=True)
    (model / "heads.safetensors").write_bytes(b"weights")
    (model.parent / "in-use.json").write_text('{"promotions": []}')
    (model.parent / ".lock").touch()
    (place.folder / "intake-token").write_text("hush")
    path = await save(place)
    said = await bring_back(path, other)
    assert f"the rules of the backup are at {other.folder}/mine.yaml: name them in the setting `rules`" in said
    assert sorted(item.relative_to(other.folder).as_posix() for item in other.folder.rglob("*") if item.is_file()) == [
        "intake-token", "mine.yaml", "shelf/0123456789ab/heads.safetensors", "shelf/in-use.json",
    ]  # fmt: skip
    assert (other.folder / "shelf" / "0123456789ab" / "heads.safetensors").read_bytes() == b"weights"
    rules.write_text("min_breadth: 5\n")
    assert f"{rules} is left as it is: the rules in the backup are others" in await bring_back(path, place, replace=True)
    assert rules.read_text() == "min_breadth: 5\n"


async def test_nothing_is_restored_while_somebody_works(place: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("yuqing.backup.restoring.SLACK_S", -4.0)
    monkeypatch.setattr("yuqing.backup.restoring.LEASE_S", 5.0)
    other = elsewhere(place)
    await place.publish([later(1)])
    async with place.running(alerter=False):
        await until(lambda: _counts(place, 1), within_s=60)
    path = await save(place)
    await other.publish([later(2)])
    async with other.running(alerter=False):
        await until(lambda: _counts(other, 1), within_s=60)
        with pytest.raises(ConfigError, match="a worker runs"):
            await bring_back(path, other, replace=True)
    await other.redis.set(other.names.leader, "somebody", ex=60)
    with pytest.raises(ConfigError, match="an alerter runs"):
        await bring_back(path, other, replace=True)
    assert await other.quoted(SUBJECT) == [later(2).doc_id]


async def test_a_damaged_backup_changes_nothing(place: Installation) -> None:
    await place.publish([later(1)])
    async with place.running(alerter=False):
        await until(lambda: _counts(place, 1), within_s=60)
    path = await save(place)
    whole = path.read_bytes()
    assert await check_backup(path, echo=lambda _: None) == 0
    before = {key: await place.redis.dump(key) async for key in place.redis.scan_iter(match=f"{place.names.prefix}*")}
    for damaged in (whole[: len(whole) // 2], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b"hello"):
        path.write_bytes(damaged)
        with pytest.raises(ConfigError, match=str(path)):
            await bring_back(path, place, replace=True)
        with pytest.raises(ConfigError, match=str(path)):
            await check_backup(path, echo=lambda _: None)
    assert {key: await place.redis.dump(key) async for key in place.redis.scan_iter(match=f"{place.names.prefix}*")} == before


async def test_an_empty_installation_gives_no_backup(place: Installation) -> None:
    await place.publish([])
    with pytest.raises(ConfigError, match="nothing to back up"):
        await save(place)
    assert list(place.folder.parent.glob("*.backup*")) == []
