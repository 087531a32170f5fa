"""Memory of the panes of 1,000 subjects in Redis, and the time to read and to write them: `make bench-windows`, last line one JSON object.

One subject is written by the real script: 8 days of 20 texts an hour, 4 of them negative, of the synthetic mix (news and posts, reprints). What Redis
would have forgotten meanwhile is taken away, as all was written at one time. The keys that are left are copied by Redis itself (COPY) under the names
of the other subjects: values are byte for byte those that the script leaves, as 3.8 million documents through it would take an hour.
Then documents of all subjects go through the script, and all subjects are read as the alerter reads those that changed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from alerts.tick import LATENESS
from models.story_text import story_id_of
from opinion.names import Names
from opinion.records import TOPICS, Document, ScoredDocument, Sentiment
from opinion.redis_client import connect
from opinion.windows import HOUR_S, QUARTER_S, SUBJECTS_AT_ONCE, WEEK_HOURS, WEEKS_KEPT, Applied, WindowStore
from tests.bench.corpus import documents
from tests.bench.report import commit, machine, say
from tests.support.journeys import journeys
from tests.support.records import NEGATIVE, NEUTRAL, POSITIVE, scored
from yuqing.embedded.redis import EmbeddedRedis

TEXTS_PER_HOUR, NEGATIVE_PER_HOUR = 20, 4
APPLIED, APPLIED_AT_ONCE = 20_000, 500
"""Documents to time, and how many a worker writes at a time under load."""
DAY_S = 86400
_COPY = "for i = 1, #ARGV do redis.call('COPY', KEYS[1], ARGV[i]) end"
_WRITTEN_S = {"q": (1, QUARTER_S), "hll": (1, QUARTER_S), "told": (DAY_S, DAY_S), "h": (WEEK_HOURS * HOUR_S, WEEK_HOURS * HOUR_S)}
"""By the kind of key: the unit of the number in its name, and for how long it is written to, in seconds."""


class Filled(NamedTuple):
    """A Redis that holds panes."""

    redis: Redis
    names: Names
    store: WindowStore
    subjects: list[str]
    now: datetime


def texts(count: int, *, seed: int, begin_at: datetime, end_at: datetime, subjects: Callable[[int], tuple[str, ...]]) -> list[Applied]:
    """Judged documents spread at random over [begin_at, end_at), a fifth of them negative; `subjects` says whom each speaks of."""
    generator = random.Random(seed)
    length_s = (end_at - begin_at).total_seconds()
    times = sorted(begin_at + timedelta(seconds=generator.uniform(0, length_s)) for _ in range(count))
    sentiments = generator.choices([NEGATIVE, NEUTRAL, POSITIVE], weights=[NEGATIVE_PER_HOUR, 10, TEXTS_PER_HOUR - NEGATIVE_PER_HOUR - 10], k=count)
    drawn = zip(documents(count, seed=seed), times, sentiments, strict=True)
    return [Applied(offset, _judged(document, at, sentiment, subjects(offset))) for offset, (document, at, sentiment) in enumerate(drawn)]


def _judged(document: Document, at: datetime, sentiment: Sentiment, subjects: tuple[str, ...]) -> ScoredDocument:
    dated = msgspec.structs.replace(document, published_at=at, fetched_at=at + timedelta(seconds=20))
    story = story_id_of(dated)
    return msgspec.structs.replace(scored(sentiment=sentiment, subjects=subjects), document=dated, event_at=at, story_id=story, text_id=story)


async def fill(redis: Redis, names: Names, *, subjects: int, days: int) -> Filled:
    """The panes of so many subjects."""
    now = datetime.now(UTC)
    named = [f"entity:XSIM:{number:05d}" for number in range(subjects)]
    store = WindowStore(redis, names)
    batch = texts(TEXTS_PER_HOUR * 24 * days, seed=1, begin_at=now - timedelta(days=days), end_at=now, subjects=lambda _: (named[0],))
    for start in range(0, len(batch), APPLIED_AT_ONCE):
        await store.apply("t-0", batch[start : start + APPLIED_AT_ONCE])
    await forget(redis, names.subject_base(named[0]), now_s=int(now.timestamp()))
    base = names.subject_base(named[0])
    others = [names.subject_base(subject) for subject in named[1:]]
    async for key in redis.scan_iter(f"{base}*", count=1000):
        await redis.eval(_COPY, 1, key, *(other + key.decode().removeprefix(base) for other in others))
    await redis.zadd(names.changed, dict.fromkeys(named, time.time() * 1e6))
    return Filled(redis, names, store, named, now)


async def forget(redis: Redis, base: str, *, now_s: int) -> None:
    """Let the keys of one subject be as old as their names say, and those go whose time is over."""
    async for key in redis.scan_iter(f"{base}*", count=1000):
        kind, *rest = key.decode().removeprefix(base).split(":")
        if kind in _WRITTEN_S:
            unit_s, lasts_s = _WRITTEN_S[kind]
            number = next(int(part) for part in rest if part.isdigit())
            age_s = max(0, now_s - number * unit_s - lasts_s)
            await redis.expire(key, max(0, await redis.ttl(key) - age_s))


async def memory_mb(filled: Filled) -> dict[str, float]:
    """Megabytes by the kind of key, counted on one subject and taken times all."""
    base = filled.names.subject_base(filled.subjects[1])
    found = Counter[str]()
    async for key in filled.redis.scan_iter(f"{base}*", count=1000):
        found[key.decode().removeprefix(base).split(":")[0]] += await filled.redis.memory_usage(key, samples=0) or 0
    return {kind: round(amount * len(filled.subjects) / 1e6, 1) for kind, amount in found.most_common()}


async def timed(work: Awaitable[Any]) -> float:
    """Wall seconds of the work."""
    begun = time.perf_counter()
    await work
    return round(time.perf_counter() - begun, 3)


async def journeys_per_slice(work: Awaitable[Any], subjects: Sequence[str]) -> float:
    """Journeys to Redis per 500 subjects."""
    with journeys() as seen:
        await work
    return seen.count / -(-len(subjects) // SUBJECTS_AT_ONCE)


async def read(filled: Filled) -> dict[str, Any]:
    """Seconds and journeys of the reads of all subjects."""
    store, subjects = filled.store, filled.subjects
    since = filled.now - LATENESS - timedelta(hours=1)
    first_hour = int(filled.now.timestamp()) // HOUR_S - WEEKS_KEPT * WEEK_HOURS
    return {
        "round_trips": {
            "counts_of": await journeys_per_slice(store.counts_of(subjects, since=since), subjects),
            "hours_of": await journeys_per_slice(store.hours_of(subjects, first_hour=first_hour), subjects),
            "panes_of": await journeys_per_slice(store.panes_of(subjects, since=since), subjects),
        },
        "read_changes_s": min([await timed(store.counts_of(subjects, since=since)) for _ in range(3)]),
        "read_new_s": await timed(store.counts_of(subjects, since=None)),
        "read_hours_s": await timed(store.hours_of(subjects, first_hour=first_hour)),
        "read_panes_of_20_s": await timed(store.panes_of(subjects[:20], since=None)),
    }


async def documents_per_s(filled: Filled) -> int:
    """The rate of counting documents that speak of one of the subjects and of a topic each."""
    generator = random.Random(2)
    batch = texts(
        APPLIED,
        seed=3,
        begin_at=filled.now,
        end_at=filled.now + timedelta(minutes=10),
        subjects=lambda _: (generator.choice(filled.subjects), "topic:" + generator.choice(TOPICS)),
    )
    begun = time.perf_counter()
    for start in range(0, APPLIED, APPLIED_AT_ONCE):
        await filled.store.apply("t-1", batch[start : start + APPLIED_AT_ONCE])
    return round(APPLIED / (time.perf_counter() - begun))


async def measured(folder: Path, *, subjects: int, days: int) -> dict[str, Any]:
    """All figures, on a Redis of its own that keeps nothing on disk."""
    server = EmbeddedRedis(folder)
    redis = connect(await server.start())
    try:
        await redis.config_set("appendonly", "no")
        filled = await fill(redis, Names("bench-windows"), subjects=subjects, days=days)
        used = await redis.info("memory")
        by_kind = await memory_mb(filled)
        say(f"{await redis.dbsize()} keys, {used['used_memory'] / 1e6:.0f} MB; by kind of key {by_kind}")
        found = await read(filled)
        return {"redis_mb": round(used["used_memory"] / 1e6, 1), "redis_mb_by_kind": by_kind, **found, "apply_documents_per_s": await documents_per_s(filled)}
    finally:
        await redis.aclose()
        await server.stop()


def main() -> None:
    """Print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--subjects", type=int, default=1000)
    options.add_argument("--days", type=int, default=8)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="yuqing-bench-") as folder:
        found = asyncio.run(measured(Path(folder), subjects=chosen.subjects, days=chosen.days))
    result = {
        "bench": "windows",
        "machine": machine(),
        "commit": commit(),
        "n": chosen.subjects * chosen.days * 24 * TEXTS_PER_HOUR,
        "subjects": chosen.subjects,
        "days": chosen.days,
        "round_trips_per_500_subjects": max(found["round_trips"].values()),
        **found,
    }
    say(json.dumps(result))


if __name__ == "__main__":
    main()
