"""Whether anything is lost or doubled, whatever dies: `python -m tests.bench.chaos`, last line JSON.

A seeded list of documents is published to embedded Kafka; two workers with the null judge count them in embedded Redis, an alerter tells a receiver of the
surges among them. Meanwhile faults strike, drawn by the seed out of FAULTS, each kind once before any comes again. At the end the panes are held against the list,
minute by minute, and what the receiver accepted against the log of alerts. Messages that wait for a later try then are asked for at once.

`recovery_s`: of each kind, the longest time from a fault to the first progress of everything after it: all that was published until the fault is counted, and
the detection has looked beyond it, as it does every five seconds; of receivers, that one accepted a message after it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from alerts.delivery_queue import DeliveryQueue
from opinion.bus import Producer, read_all
from opinion.clock import SystemClock
from opinion.codec import decode, encode
from opinion.errors import StoreUnavailable
from opinion.names import doc_id_of
from opinion.records import Alert, Document
from opinion.windows import PANE_S
from tests.bench.chaos_stand import SESSION_S, Place, Progress, forgetful, kill, place_in, stopped_for
from tests.bench.report import commit, machine, say
from tests.support.dying_servers import killed_and_restarted
from tests.support.records import document
from tests.support.workers import until
from yuqing.logs import configure_logs

SEED = 20261128
PER_S = 40.0
TOGETHER_S = 0.25
"""Documents of so long are published together: a page of a feed holds several."""
BUSY, QUIET = 60, 160
"""Companies that are talked about all the time; that were quiet for a day, of which some surge. Far more than surge: else it is a shift common to all."""
SURGING = "XBEN:S"
"""What the companies are called that were quiet."""
BAD_SHARE = 0.15
SURGE_DOCUMENTS, SURGE_S, SURGE_EVERY_S = 25, 5.0, 12.0
WARM_S, LAST_S = 8.0, 18.0
"""Before the first fault, and from the last one's latest beginning to the end of the documents."""
EVERY_S = 20.0
"""Between two faults, on the average."""
STRUCK_WITHIN = 0.5
"""Part of that time in which a fault begins: the rest is for it to be over before the next."""
REFUSED_S = 4.0
"""Below the first wait of a delivery: the second try shall succeed."""
COUNTED_WITHIN_S, TOLD_WITHIN_S = 120.0, 120.0


class Planned(NamedTuple):
    """A document and when it comes."""

    at_s: float
    document: Document


class Struck(NamedTuple):
    """A fault that happened."""

    fault: str
    at: datetime


Strike = Callable[[Place, random.Random], Awaitable[None]]


async def _receiver(place: Place, mood: str) -> None:
    place.desk.mood = mood
    await asyncio.sleep(REFUSED_S)
    place.desk.mood = "fine"


FAULTS: dict[str, Strike] = {
    "worker_killed": lambda place, chance: kill(chance.choice(place.workers)),
    "worker_stopped": lambda place, chance: stopped_for(chance.choice(place.workers), SESSION_S + chance.uniform(2, 5)),
    "alerter_killed": lambda place, _: kill(place.alerter),
    "redis_killed": lambda place, chance: killed_and_restarted(place.redis, down_s=chance.uniform(0, 2)),
    "redis_forgets": lambda place, chance: forgetful(place.redis, lost_s=chance.uniform(0.5, 1.5), down_s=chance.uniform(0, 2)),
    "kafka_killed": lambda place, chance: killed_and_restarted(place.kafka, down_s=chance.uniform(0, 2)),
    "receiver_refuses": lambda place, _: _receiver(place, "broken"),
    "receiver_hangs": lambda place, _: _receiver(place, "hanging"),
}
"""Name -> what happens; returns when the cause is gone."""
TOLD = frozenset({"receiver_refuses", "receiver_hangs"})


def documents(*, seed: int, seconds: float, quiet: int = QUIET) -> list[Planned]:
    """What comes, in order: a steady stream about the busy companies, and one after another a surge about a quiet one."""
    chance = random.Random(seed)
    found = [Planned(number / PER_S, _document(number, f"B{chance.randrange(BUSY):03}", bad=chance.random() < BAD_SHARE)) for number in range(round(seconds * PER_S))]
    surges = chance.sample(range(quiet), k=min(quiet, int((seconds - SURGE_S) // SURGE_EVERY_S)))
    for turn, company in enumerate(surges):
        for place in range(SURGE_DOCUMENTS):
            at_s = turn * SURGE_EVERY_S + SURGE_S * place / SURGE_DOCUMENTS
            found.append(Planned(at_s, _document(100_000 + 100 * turn + place, f"{SURGING[-1]}{company:03}", bad=True)))
    return sorted(found, key=lambda planned: planned.at_s)


def _document(number: int, company: str, *, bad: bool) -> Document:
    words = f"The {'bad' if bad else 'plain'} story of company {company}, with words enough to be a story of its own: number {number}."
    return document(number, doc_id=doc_id_of("chaos", str(number)), title="", text=words, publisher=f"p{number % 12}.example", symbols=[f"XBEN:{company}"])


def plan_of(seed: int, *, seconds: float, faults: Sequence[str]) -> list[tuple[float, str]]:
    """When which fault strikes: each kind once in random order, then again."""
    chance = random.Random(f"faults {seed}")
    room_s = seconds - WARM_S - LAST_S
    count = max(1, int(room_s // EVERY_S))
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += chance.sample(list(faults), k=len(faults))
    every_s = room_s / count
    return [(WARM_S + every_s * (turn + STRUCK_WITHIN * chance.random()), fault) for turn, fault in enumerate(drawn[:count])]


async def publish(place: Place, planned: Sequence[Planned]) -> Counter[tuple[str, datetime]]:
    """Publish as a scraper does, whatever happens to Kafka; how many documents of which subject belong into which minute."""
    producer, began_s = Producer(place.kafka.address), time.monotonic()
    expected: Counter[tuple[str, datetime]] = Counter()
    left = list(planned)
    while left:
        await asyncio.sleep(max(0.0, began_s + left[0].at_s - time.monotonic()))
        now, until_s = datetime.now(UTC), left[0].at_s + TOGETHER_S
        due = [item for item in left if item.at_s < until_s]
        left = left[len(due) :]
        fetched = [replace(item.document, published_at=now - timedelta(seconds=1), fetched_at=now) for item in due]
        expected.update((f"entity:{item.symbols[0]}", _minute(item.published_at or now)) for item in fetched)
        await producer.send_all(place.names.documents, [(item.doc_id.encode(), encode(item)) for item in fetched])
    await producer.stop()
    return expected


def _minute(at: datetime) -> datetime:
    return datetime.fromtimestamp(at.timestamp() // PANE_S * PANE_S, UTC)


async def strike(place: Place, plan: Sequence[tuple[float, str]], *, seed: int) -> list[Struck]:
    """Let the faults happen at their times."""
    chance, began_s = random.Random(f"strikes {seed}"), time.monotonic()
    struck: list[Struck] = []
    for at_s, fault in plan:
        await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
        struck.append(Struck(fault, datetime.now(UTC)))
        say(f"{time.monotonic() - began_s:5.0f} s  {fault}")
        await FAULTS[fault](place, chance)
    return struck


def recovered_s(fault: Struck, seen: Sequence[Progress]) -> float | None:
    """Seconds from a fault to the first progress of everything after it; None where there was none."""
    accepted = max((progress.accepted for progress in seen if progress.at <= fault.at), default=0)
    for progress in seen:
        beyond = progress.accepted > accepted if fault.fault in TOLD else progress.looked_at is not None and progress.looked_at > fault.at
        if progress.at > fault.at and beyond:
            return (progress.at - fault.at).total_seconds()
    return None


async def measured(folder: Path, *, seed: int, seconds: float, faults: Sequence[str] = tuple(FAULTS), quiet: int = QUIET) -> dict[str, Any]:
    """Everything measured, by name."""
    planned, plan = documents(seed=seed, seconds=seconds, quiet=quiet), plan_of(seed, seconds=seconds, faults=faults)
    subjects = sorted({f"entity:{item.document.symbols[0]}" for item in planned})
    async with place_in(folder) as place:
        await place.quiet_days([f"entity:{SURGING}{number:03}" for number in range(quiet)])
        begun_at = datetime.now(UTC)
        before = await place.documents(subjects, since=begun_at)
        await place.running()
        striking = asyncio.create_task(strike(place, plan, seed=seed))
        expected = await publish(place, planned)
        struck = await striking
        say("all is published, and the last fault is over")
        counted = await _settled(place, subjects, expected + before, since=begun_at)
        log = await _told(place)
        seen = list(place.seen)
    lost, doubled = expected + before - counted, counted - expected - before
    accepted, told = place.desk.accepted, {(alert.alert_id, alert.sequence) for alert in log}
    surging = {f"entity:{item.document.symbols[0]}" for item in planned if item.document.symbols[0].startswith(SURGING)}
    return _report(struck, seen) | {
        "documents": len(planned),
        "lost": lost.total(),
        "double_counted": doubled.total(),
        "surges": len(surging),
        "surges_told": len(surging & {alert.subject for alert in log}),
        "alerts": len(told),
        "alerts_lost": len(told - accepted),
        "told_twice": sum(heard.accepted for heard in place.desk.heard) - len(accepted),
    }


async def _settled(place: Place, subjects: Sequence[str], expected: Counter[tuple[str, datetime]], *, since: datetime) -> Counter[tuple[str, datetime]]:
    """The panes, once they hold what they should, or nothing is left to be worked on."""

    async def still() -> bool:
        try:
            marks = await place.store.marks()
        except StoreUnavailable:
            return False
        idle = all(mark.behind == 0 and time.time() - mark.reported_ms / 1000 < SESSION_S for mark in marks)
        return await place.documents(subjects, since=since) == expected or (idle and time.time() - max(mark.moved_ms for mark in marks) / 1000 > SESSION_S)

    with suppress(TimeoutError):
        await until(still, within_s=COUNTED_WITHIN_S)
    return await place.documents(subjects, since=since)


async def _told(place: Place) -> list[Alert]:
    """The transitions in the log that receivers are to hear of, once the receiver has accepted them, or too much time has passed."""
    queue = DeliveryQueue(place.client, place.names, clock=SystemClock())
    found: list[Alert] = []

    async def all_accepted() -> bool:
        with suppress(StoreUnavailable):
            await _hurry(queue)
        found[:] = [alert for alert in (decode(value, Alert) for value in await read_all(place.kafka.address, place.names.alerts)) if alert.sequence]
        return {(alert.alert_id, alert.sequence) for alert in found} <= place.desk.accepted

    with suppress(TimeoutError):
        await until(all_accepted, within_s=TOLD_WITHIN_S, every_s=2.0)
    return found


async def _hurry(queue: DeliveryQueue) -> None:
    """Ask for what waits to be tried again now, not in minutes or hours."""
    for delivery in (await queue.page(limit=500)).deliveries:
        if delivery.due_at is not None and delivery.attempts:
            await queue.retry(delivery.delivery_id)


def _report(struck: Sequence[Struck], seen: Sequence[Progress]) -> dict[str, Any]:
    each = [(fault.fault, recovered_s(fault, seen)) for fault in struck]
    longest: dict[str, float | None] = {}
    for fault, seconds in each:
        known = longest.get(fault, 0.0)
        longest[fault] = None if seconds is None or known is None else round(max(known, seconds), 1)
        say(f"{fault}: {'no progress after it' if seconds is None else f'{seconds:.1f} s'}")
    return {"faults": len(struck), "recovery_s": longest, "each_fault": [[fault, None if seconds is None else round(seconds, 1)] for fault, seconds in each]}


def main() -> None:
    """Let it happen, print what became of it, then one JSON object."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seed", type=int, default=SEED)
    options.add_argument("--minutes", type=float, default=4.0, help="for which documents come and faults strike; starting and settling take a minute more")
    chosen = options.parse_args()
    if chosen.minutes * 60 < WARM_S + LAST_S + EVERY_S:
        options.error(f"less than {(WARM_S + LAST_S + EVERY_S) / 60:.1f} minutes leave no room for a fault")
    configure_logs("error")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="yuqing-bench-") as folder:
        found = asyncio.run(measured(Path(folder), seed=chosen.seed, seconds=chosen.minutes * 60))
    say(
        f"{found['lost']} of {found['documents']} documents lost, {found['double_counted']} counted twice; {found['alerts_lost']} of {found['alerts']} transitions lost; "
        f"{found['surges_told']} of {found['surges']} surges told"
    )
    head = {"bench": "chaos", "machine": machine(), "commit": commit(), "n": found["documents"], "load_before": round(load, 1), "seed": chosen.seed}
    say(json.dumps(head | found))


if __name__ == "__main__":
    main()
