"""Part two of `make bench-alerts`: from the fetch of a document to the webhook that it sets off, with the shipped model, stage by stage.

Documents come at a steady rate; among them surges on companies that were quiet for a day, one after another. For the newest document that an alert
points at, the stages end when it was judged (`scored_at`), counted (Redis' stamp on its subject, read every POLL_S), when the alert was written to
Kafka (the record's own time), and when the receiver had the webhook.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, cast

import httpx
import msgspec
import psutil
from aiokafka import AIOKafkaConsumer
from msgspec.structs import replace
from redis.asyncio import Redis

from alerts.detector import DetectorState
from alerts.subscriptions import Match, Subscription, SubscriptionStore, new_key
from opinion.bus import Producer, create_topics, read_all, stop_consumer
from opinion.codec import decode, encode
from opinion.names import Names, digest, doc_id_of
from opinion.records import Alert, AlertStatus, Document, ScoredDocument
from opinion.windows import PANE_S, Applied, WindowStore
from tests.bench.corpus import FOLDER, LANGUAGES, Row, documents
from tests.bench.deliveries import ALERT, READY_WITHIN_S, heard, is_ready, receivers
from tests.bench.processes import Process, running
from tests.bench.report import say
from tests.bench.stand import Stand
from tests.bench.usage import Usage
from tests.support.told_days import told
from tests.support.workers import until
from yuqing.up import read_metrics

SEED = 20261124
COMPANIES = 240
"""Far more than surge at a time: where a fifth of all rise together, the detection thinks of the model, not of the world."""
QUIET_H, PER_HOUR, SHARE = 24, 6, 0.2
SURGE_DOCUMENTS, SURGE_S = 25, 5.0
SURGE_EVERY_S = 6.0
WARM_UP_S = 20.0
TOGETHER_S = 0.1
"""Documents of so long are published together: a page of a feed holds several."""
POLL_S = 0.05
PUBLISHERS = 12
DRAIN_S = 15.0
WORK = ["-m", "yuqing", "work"]
STAGES = ("fetched_to_scored", "scored_to_counted", "counted_to_alert", "alert_to_webhook")


class _Labelled(msgspec.Struct):
    text: str
    lang: str
    kind: str = "news"
    sentiment: str = ""


class _Load:
    """Cores that this benchmark uses, and all else on the machine, since this was made."""

    def __init__(self) -> None:
        self._usage, self._began_s, self._busy_s = Usage(os.getpid()), time.monotonic(), _busy_s()
        self._own_s = sum(self._usage.cpu_s)

    def cores(self) -> dict[str, float]:
        """Both, up to now."""
        length_s = time.monotonic() - self._began_s
        self._usage.look()
        own, all_cores = (sum(self._usage.cpu_s) - self._own_s) / length_s, (_busy_s() - self._busy_s) / length_s
        return {"own_cores": round(own, 2), "others_cores": round(max(0.0, all_cores - own), 2)}


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq + times.steal)


def negative_rows() -> list[Row]:
    """Synthetic texts that are negative by their label."""
    decoder = msgspec.json.Decoder(_Labelled)
    rows = [decoder.decode(line) for path in sorted(FOLDER.glob("*.jsonl")) for line in path.read_bytes().splitlines() if line]
    return [Row(row.text, row.kind, row.lang) for row in rows if row.sentiment == "negative"]


def stream(*, per_s: float, surges: int) -> Iterator[Document]:
    """Documents in the order they come, `per_s` a second: texts on anything, and `surges` surges on a company each, once the warm-up is over."""
    chance, negative = random.Random(SEED), negative_rows()
    length = round((WARM_UP_S + surges * SURGE_EVERY_S) * per_s)
    own = {round((WARM_UP_S + number * SURGE_EVERY_S + SURGE_S * place / SURGE_DOCUMENTS) * per_s) + 1: number for number in range(surges) for place in range(SURGE_DOCUMENTS)}
    for place, plain in enumerate(documents(length, seed=SEED)):
        number = own.get(place)
        if number is None:
            yield plain
            continue
        row = chance.choice(negative)
        yield replace(
            plain,
            doc_id=doc_id_of("bench", f"surge {place}"),
            text=row.text,
            lang=LANGUAGES[row.lang],
            symbols=[f"XBEN:S{number:03}"],
            publisher=f"surge-{place % PUBLISHERS}.example",
            content_hash=digest(row.text, chars=32),
        )


async def measured(place: Stand, *, per_s: float, surges: int) -> dict[str, Any]:
    """How long it takes from fetch to webhook, and each stage's part in it."""
    settings = place.installation("delays", allow_private_webhooks=True)
    kafka, _ = settings.require_servers()
    names = settings.names
    await create_topics(kafka, names, partitions=settings.partitions, replication=1)
    await _quiet_days(place.redis, names)
    async with receivers(place, count=1, hanging=0) as (address,):
        match = Match(subjects=["entity:XBEN:*"])
        await SubscriptionStore(place.redis, names).put(Subscription(id="sub_desk", name="desk", url=address, keys=[new_key()], match=match))
        worker = running(WORK, settings=settings, log_path=place.folder / "delays-work.log")
        alerter = running(ALERT, settings=settings, log_path=place.folder / "delays-alert.log")
        async with worker as working, alerter as alerting:
            await until(lambda: is_ready(settings, alerting), within_s=READY_WITHIN_S)
            await until(lambda: _sees(working, port=settings.api_port), within_s=READY_WITHIN_S)
            over = asyncio.Event()
            counting = asyncio.create_task(_stamps(place.redis, names, over=over))
            load = _Load()
            behind_s = await _publish(kafka, names, per_s=per_s, surges=surges)
            cores = load.cores()
            await asyncio.sleep(DRAIN_S)  # not every surge need become an alert: there is nothing to wait for
            over.set()
            stamps = await counting
            rows = await heard(address)
    return _figures(rows, await _scored_at(kafka, names), stamps=stamps, written=await _written(kafka, names)) | {
        "documents_per_s": per_s, "surges": surges, "publisher_behind_s": round(behind_s, 2), **cores,
    }  # fmt: skip


async def _quiet_days(redis: Redis, names: Names) -> None:
    """Count a quiet day of every company, up to now; the detection has seen it, and goes on from here."""
    now = datetime.now(UTC)
    store, start, offset = WindowStore(redis, names), now - timedelta(hours=QUIET_H), 0
    for number in range(COMPANIES):
        quiet = told(f"entity:XBEN:S{number:03}", start, hours=QUIET_H, per_hour=PER_HOUR, share=SHARE, seed=number, late=False)
        await store.apply_all({"quiet-0": [Applied(offset + place, item) for place, item in enumerate(quiet)]})
        offset += len(quiet)
    await redis.set(names.episodes, msgspec.json.encode(DetectorState(int(now.timestamp()) // PANE_S * PANE_S)))


async def _sees(worker: Process, *, port: int) -> bool:
    """Whether the alerter hears of a live worker."""
    worker.check()
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        return (await read_metrics(client, f"http://127.0.0.1:{port}")).get("yuqing_watermark_timestamp_seconds", 0) > 0


async def _publish(kafka: str, names: Names, *, per_s: float, surges: int) -> float:
    """Publish the stream as a scraper does, a few documents together, fetched at that moment; the longest that this lay behind its plan, in seconds."""
    producer, began_s, behind_s, left = Producer(kafka), time.monotonic(), 0.0, list(stream(per_s=per_s, surges=surges))
    at_once = max(1, round(per_s * TOGETHER_S))
    for start in range(0, len(left), at_once):
        wait_s = began_s + start / per_s - time.monotonic()
        behind_s = max(behind_s, -wait_s)
        await asyncio.sleep(max(0.0, wait_s))
        now = datetime.now(UTC)
        fetched = [replace(planned, fetched_at=now, published_at=now - timedelta(seconds=2)) for planned in left[start : start + at_once]]
        await producer.send_all(names.documents, [(document.doc_id.encode(), encode(document)) for document in fetched])
    await producer.stop()
    return behind_s


async def _stamps(redis: Redis, names: Names, *, over: asyncio.Event) -> dict[str, list[float]]:
    """When the panes of each subject changed, in seconds since 1970, until it is over."""
    found: dict[str, list[float]] = defaultdict(list)
    newest = 0.0
    while not over.is_set():
        rows = cast("list[tuple[bytes, float]]", await redis.zrangebyscore(names.changed, f"({newest:.0f}", "+inf", withscores=True))
        for subject, stamp_us in rows:
            found[subject.decode()].append(stamp_us / 1e6)
            newest = max(newest, stamp_us)
        await asyncio.sleep(POLL_S)
    return found


async def _scored_at(kafka: str, names: Names) -> dict[str, float]:
    """Document id -> when it was judged."""
    found = [decode(value, ScoredDocument) for value in await read_all(kafka, names.scored)]
    return {item.document.doc_id: item.scored_at.timestamp() for item in found}


async def _written(kafka: str, names: Names) -> dict[tuple[str, int], tuple[Alert, float]]:
    """Alert id and sequence -> the transition, and when it was written."""
    consumer = AIOKafkaConsumer(names.alerts, bootstrap_servers=kafka, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    ends = await consumer.end_offsets(consumer.assignment())
    found: dict[tuple[str, int], tuple[Alert, float]] = {}
    while any([await consumer.position(partition) < end for partition, end in ends.items()]):
        for records in (await consumer.getmany(timeout_ms=2000)).values():
            for record in records:
                alert = decode(record.value, Alert)
                found[alert.alert_id, alert.sequence] = alert, record.timestamp / 1000
    await stop_consumer(consumer)
    return found


def _figures(rows: list[list[Any]], scored_at: dict[str, float], *, stamps: dict[str, list[float]], written: dict[tuple[str, int], tuple[Alert, float]]) -> dict[str, Any]:
    ways: list[list[float]] = []
    for _, _, arrived_s, _, _, data in rows:
        alert, written_s = written[data["alert_id"], data["sequence"]]
        newest = max((item for item in alert.evidence if item.fetched_at), key=lambda item: item.fetched_at or alert.started_at, default=None)
        if alert.status != AlertStatus.FIRING or newest is None or newest.fetched_at is None or newest.doc_id not in scored_at:
            continue  # the last: a false alarm on the quiet day
        judged_s = scored_at[newest.doc_id]
        of_subject = stamps.get(alert.subject, [])
        place = bisect_left(of_subject, judged_s)
        counted_s = min(of_subject[place] if place < len(of_subject) else written_s, written_s)
        instants = [newest.fetched_at.timestamp(), judged_s, counted_s, written_s, arrived_s]
        ways.append([later - sooner for sooner, later in pairwise(instants)])
    if not ways:
        raise RuntimeError("no surge became an alert: there is nothing to measure")
    whole = sorted(map(sum, ways))
    stages = {}
    for name, lengths in zip(STAGES, map(sorted, zip(*ways, strict=True)), strict=True):
        stages[name] = {"p50_s": round(_share(lengths, 0.5), 3), "p95_s": round(_share(lengths, 0.95), 3), "share": round(sum(lengths) / sum(whole), 3)}
        say(f"{name}: median {stages[name]['p50_s']} s, p95 {stages[name]['p95_s']} s, {stages[name]['share']:.0%} of the way")
    say(f"fetch to webhook: median {_share(whole, 0.5):.2f} s, p95 {_share(whole, 0.95):.2f} s, {len(whole)} alerts")
    return {"fetch_to_webhook_p50_s": round(_share(whole, 0.5), 2), "fetch_to_webhook_p95_s": round(_share(whole, 0.95), 2), "stages": stages, "alerts": len(whole)}


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
