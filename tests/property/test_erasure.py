from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from alerts.archive import Archive
from opinion.erased import ErasedIds
from opinion.names import Names, digest
from opinion.records import Document, Op
from opinion.redis_client import connect
from tests.support.logs import PARTITIONS, Agents, Logs
from tests.support.records import document

pytestmark = pytest.mark.integration

NAMES = Names("t-erasure")
Told = tuple[int, Op]
"""Number of a document, and what is said of it."""

SAID = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(list(Op))), min_size=4, max_size=24)
TURNS = 24
MOST_LATE = 6


def said(number: int, op: Op, version: int) -> Document:
    """Document N in a wording of its own for each version; all but the last two are bad news."""
    if op is Op.DELETE:
        return document(number, op=op, title="", text="", url=None, version=version if number % 2 else 1)  # who erases by hand knows no version
    words = f"{'bad' if number < 4 else 'good'} news of company {number}, told for the {version}. time"
    return document(number, op=op, title=f"Headline {number}", text=words, version=version, symbols=["XNAS:AAPL", f"XDEM:{number}"])


def living(told: Sequence[Told]) -> list[Document]:
    """What is told before a document is deleted, for the first time."""
    gone: set[int] = set()
    found = []
    for version, (number, op) in enumerate(told, 1):
        if op is Op.DELETE:
            gone.add(number)
        elif number not in gone:
            found.append(said(number, op, version))
    return found


@given(SAID, st.randoms(use_true_random=False))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_partitions_and_batches_interleave_what_was_erased_is_nowhere_and_the_rest_is_as_if_nothing_had_been(redis_url: str, told: list[Told], chance: Random) -> None:
    asyncio.run(_hold(redis_url, told, chance))


async def _hold(redis_url: str, told: list[Told], chance: Random) -> None:
    redis, executor = connect(redis_url), ThreadPoolExecutor(1)
    try:
        await redis.flushdb()
        plain = await _panes(redis, executor, living(told))
        await redis.flushdb()
        logs = Logs(NAMES)
        agents = Agents(redis, logs, executor=executor)
        for version, (number, op) in enumerate(told, 1):
            await logs.publish(said(number, op, version))
        for _ in range(chance.randrange(TURNS)):
            logs.outages = chance.randrange(2)  # Kafka is down meanwhile
            await agents.work(chance.choice(list(agents.topics)), take=[chance.randrange(4) for _ in range(PARTITIONS)], again=chance.randrange(5))
        logs.outages = 0
        await agents.finish()
        for record in [record for log in logs.topics[NAMES.scored] for record in log][: chance.randrange(MOST_LATE)]:
            await logs.send_all(NAMES.scored, [(record.key, record.value or b"")])  # a worker that was taken for dead had it in hand
        await agents.finish()
        assert await _all_panes(agents) == plain
        await _check(redis, logs, told)
    finally:
        executor.shutdown()
        await redis.aclose()


async def _panes(redis: Redis, executor: ThreadPoolExecutor, documents: Sequence[Document]) -> dict[str, bytes]:
    """The panes of documents that come one by one."""
    logs = Logs(NAMES)
    agents = Agents(redis, logs, executor=executor)
    for item in documents:
        await logs.publish(item)
        await agents.finish()
    return await _all_panes(agents)


async def _all_panes(agents: Agents) -> dict[str, bytes]:
    _, subjects = await agents.store.changed_since(0)
    return {subject: await agents.store.canonical(subject) for subject in subjects}


async def _check(redis: Redis, logs: Logs, told: Sequence[Told]) -> None:
    erased = {document(number).doc_id for number, op in told if op is Op.DELETE}
    alive = {item.doc_id: item for item in living(told) if item.doc_id not in erased}
    event(f"{min(len(erased), 3)} erased, {min(len(alive), 3)} alive")
    assert await ErasedIds(redis, NAMES).among({document(number).doc_id for number, _ in told}) == erased
    held = [key.decode() async for key in redis.scan_iter()]
    for gone in erased:
        assert not {NAMES.quoted(digest(gone)), NAMES.event_bucket(digest(gone)) + f"d:{digest(gone)}"} & set(held)
    evidence = str([await redis.zrange(key, 0, -1) for key in held if key.endswith(":evidence")])
    assert {doc_id for doc_id in erased if doc_id in evidence} == set()
    assert {item.doc_id for item in alive.values() if "bad" in item.text} == {doc_id for doc_id in alive if doc_id in evidence}
    with TemporaryDirectory() as folder:
        archive = Archive(Path(folder) / "documents.db", keep=timedelta(days=30))
        await archive.open()
        for partition in range(PARTITIONS):
            await archive.put(partition, list(enumerate(logs.scored(partition))))
        kept = {doc_id: await archive.get(doc_id) for doc_id in {*erased, *alive}}
        archive.close()
    assert {doc_id: None if found is None else found.document.version for doc_id, found in kept.items()} == {
        **dict.fromkeys(erased),
        **{doc_id: item.version for doc_id, item in alive.items()},
    }
