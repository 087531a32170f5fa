"""Part one of `make bench-alerts`: many receivers, some of which hang, told by a real alerter process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import psutil

from alerts.subscriptions import Match, Subscription, SubscriptionStore, new_key
from opinion.bus import Producer, create_topics
from opinion.codec import encode
from opinion.names import Names
from opinion.records import Alert, AlertStatus
from opinion.settings import Settings
from tests.bench.processes import Process, running
from tests.bench.report import say
from tests.bench.stand import Stand
from tests.support.records import alert
from tests.support.workers import until
from yuqing.up import read_metrics

SUBJECTS = 20
"""Each is asked for by a twentieth of the receivers, one of the hanging among them."""
ENDS_AFTER = 10
"""Steps after which an alert is over."""
WATCH_EVERY_S = 0.5
READY_WITHIN_S = 60.0
DRAIN_WITHIN_S = 60.0
ALERT = ["-m", "yuqing", "alert"]


@asynccontextmanager
async def receivers(place: Stand, *, count: int, hanging: int) -> AsyncIterator[list[str]]:
    """Addresses of receivers in a process of their own; the first `hanging` never answer."""
    log_path = place.folder / f"receivers-{count}.log"
    async with running(["-m", "tests.bench.receivers", str(count), str(hanging)], settings=place.settings, log_path=log_path) as process:

        def told() -> bool:
            process.check()
            return log_path.read_text().endswith("\n")

        await until(told, within_s=READY_WITHIN_S, every_s=0.05)
        yield [f"http://127.0.0.1:{port}/hook" for port in json.loads(log_path.read_text().splitlines()[0])]


async def heard(address: str) -> list[list[Any]]:
    """What the receivers heard so far: rows as of receivers.py."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return list((await client.get(address)).json())


async def is_ready(settings: Settings, process: Process) -> bool:
    """Whether an alerter does its work."""
    process.check()
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        try:
            return (await client.get(f"http://{settings.api_host}:{settings.api_port}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False


async def measured(place: Stand, *, endpoints: int, hanging: int, per_min: int, minutes: float) -> dict[str, Any]:
    """Deliveries a minute to receivers that answer, the time from a transition's writing to its arrival there, and what the alerter used."""
    settings = place.installation("deliveries", allow_private_webhooks=True, archive_days=0)
    kafka, _ = settings.require_servers()
    await create_topics(kafka, settings.names, partitions=settings.partitions, replication=1)
    async with receivers(place, count=endpoints, hanging=hanging) as addresses:
        await _subscribe(place, settings.names, addresses)
        async with running(ALERT, settings=settings, log_path=place.folder / "deliveries.log") as alerter:
            await until(lambda: is_ready(settings, alerter), within_s=READY_WITHIN_S)
            over = asyncio.Event()
            watching = asyncio.create_task(_watched(alerter.pid, settings, over=over))
            step_s = 60 * 2 * endpoints / SUBJECTS / (per_min * endpoints / (endpoints - hanging))
            began_s = time.time()
            transitions = await _publish(kafka, settings.names, steps=round(minutes * 60 / step_s), step_s=step_s)
            published_s = time.time() - began_s
            await until(lambda: _arrived(addresses[-1], transitions * (endpoints - hanging) // SUBJECTS), within_s=DRAIN_WITHIN_S)
            rows = await heard(addresses[-1])
            over.set()
            used = await watching
    return _figures(rows, began_s=began_s, published_s=published_s) | used


async def _arrived(address: str, expected: int) -> bool:
    return sum(bool(row[3]) for row in await heard(address)) >= expected


async def _subscribe(place: Stand, names: Names, addresses: list[str]) -> None:
    store, key = SubscriptionStore(place.redis, names), new_key()
    for number, url in enumerate(addresses):
        match = Match(subjects=[f"entity:XBEN:{number % SUBJECTS}"])
        await store.put(Subscription(id=f"sub_{number:04}", name=f"receiver {number}", url=url, keys=[key], match=match))


async def _publish(kafka: str, names: Names, *, steps: int, step_s: float) -> int:
    """Write an alert's beginning and another's end at each step; returns how many transitions they were."""
    producer, written, began_s = Producer(kafka), 0, time.monotonic()
    for step in range(steps + ENDS_AFTER):
        both = [_transition(step, 1, AlertStatus.FIRING)] if step < steps else []
        both += [_transition(step - ENDS_AFTER, 2, AlertStatus.RESOLVED)] if step >= ENDS_AFTER else []
        await producer.send_all(names.alerts, [(item.alert_id.encode(), encode(item)) for item in both])
        written += len(both)
        await asyncio.sleep(max(0.0, began_s + (step + 1) * step_s - time.monotonic()))
    await producer.stop()
    return written


def _transition(number: int, sequence: int, status: AlertStatus) -> Alert:
    return alert(sequence, alert_id=f"al_{number:06}", subject=f"entity:XBEN:{number % SUBJECTS}", status=status, updated_at=datetime.now(UTC), summary="Huasui Dairy. " * 12)


async def _watched(pid: int, settings: Settings, *, over: asyncio.Event) -> dict[str, Any]:
    """What the alerter used until it was over."""
    process = psutil.Process(pid)
    used_s, began_s, most_mb, most_open = process.cpu_times(), time.time(), 0, 0.0
    async with httpx.AsyncClient(trust_env=False, timeout=2) as client:
        while not over.is_set():
            most_mb = max(most_mb, process.memory_info().rss // 1_000_000)
            most_open = max(most_open, (await read_metrics(client, f"http://{settings.api_host}:{settings.api_port}")).get("yuqing_delivery_breakers_open", 0.0))
            await asyncio.sleep(WATCH_EVERY_S)
    now = process.cpu_times()
    cores = (now.user + now.system - used_s.user - used_s.system) / (time.time() - began_s)
    return {"rss_mb": most_mb, "cpu_cores": round(cores, 2), "breakers_open": int(most_open)}


def _figures(rows: list[list[Any]], *, began_s: float, published_s: float) -> dict[str, Any]:
    answered = [row for row in rows if row[3]]
    delays_s = sorted(arrived_s - datetime.fromisoformat(data["updated_at"]).timestamp() for _, _, arrived_s, _, _, data in answered)
    in_time = sum(row[2] <= began_s + published_s for row in answered)
    say(f"deliveries: {in_time / published_s * 60:.0f} a minute, delay median {_share(delays_s, 0.5):.3f} s, p95 {_share(delays_s, 0.95):.3f} s, longest {delays_s[-1]:.2f} s")
    return {
        "deliveries_per_min": round(in_time / published_s * 60),
        "healthy_p50_s": round(_share(delays_s, 0.5), 3),
        "healthy_p95_s": round(_share(delays_s, 0.95), 3),
        "healthy_longest_s": round(delays_s[-1], 2),
        "delivered": len(answered),
        "heard_by_hanging": len(rows) - len(answered),
    }


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
