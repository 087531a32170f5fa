from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from opinion.erased import ErasedIds, signs_of
from opinion.errors import StoreUnavailable
from opinion.evidence import QUOTED_FOR, note_quotes
from opinion.names import Names, digest, doc_id_of
from opinion.records import AlertEvidence, ScoredDocument
from opinion.redis_client import connect
from opinion.windows import Applied, WindowStore
from scrapers.cursor import ERASED, Cursor, CursorStore, Seen, remembered, unpublished
from tests.support.records import NEUTRAL, NOON, document, scored

pytestmark = pytest.mark.integration

DAY = timedelta(days=1)
MACRO, APPLE, DAIRY = "topic:Macro", "entity:XNAS:AAPL", "entity:XDEM:HSRY"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def store(redis: Redis, names: Names) -> WindowStore:
    return WindowStore(redis, names)


def doc_id(number: int) -> str:
    return doc_id_of("feed", str(number))


def negative(number: int, *subjects: str, **changes: Any) -> ScoredDocument:
    return scored(number, subjects=subjects or (MACRO, APPLE), **changes)


async def apply(store: WindowStore, *items: ScoredDocument, first: int = 0) -> None:
    await store.apply("scored-0", [Applied(first + place, item) for place, item in enumerate(items)])


async def quoted(store: WindowStore, subject: str = MACRO) -> list[AlertEvidence]:
    return await store.evidence(subject, start_at=NOON - 30 * DAY, end_at=NOON + 30 * DAY)


async def titles(store: WindowStore, subject: str = MACRO) -> list[str]:
    return [item.title for item in await quoted(store, subject)]


async def used_bytes(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])


async def test_what_was_erased_is_known_and_nothing_else(redis: Redis, names: Names) -> None:
    erased = ErasedIds(redis, names)
    assert await erased.among([]) == frozenset()
    assert await erased.among([doc_id(1)]) == frozenset()
    await erased.add([])
    await erased.add([doc_id(1), doc_id(2)])
    await erased.add([doc_id(1)])
    assert await erased.among([doc_id(3), doc_id(1), doc_id(1)]) == {doc_id(1)}
    assert await redis.zcard(names.erased) == 2


async def test_ids_are_forgotten_after_their_time_and_the_oldest_first_where_they_are_too_many(redis: Redis, names: Names) -> None:
    long_ago = time.time() - 3 * DAY.total_seconds()
    await redis.zadd(names.erased, dict.fromkeys(signs_of([doc_id(1)]), long_ago))
    await redis.zadd(names.erased, dict.fromkeys(signs_of([doc_id(2)]), long_ago + 2 * DAY.total_seconds()))
    erased = ErasedIds(redis, names, keep=2 * DAY, most=3)
    await erased.add([doc_id(3)])
    assert await erased.among([doc_id(1), doc_id(2), doc_id(3)]) == {doc_id(2), doc_id(3)}
    await erased.add([doc_id(4), doc_id(5)])
    assert await erased.among([doc_id(number) for number in range(6)]) == {doc_id(3), doc_id(4), doc_id(5)}
    assert await redis.ttl(names.erased) == pytest.approx(2 * DAY.total_seconds(), abs=60)


async def test_the_list_takes_less_than_130_bytes_an_id(redis: Redis, names: Names) -> None:
    erased, before = ErasedIds(redis, names), await used_bytes(redis)
    await erased.add([doc_id(number) for number in range(20_000)])
    per_id = (await used_bytes(redis) - before) / 20_000
    assert 40 < per_id < 130, per_id


async def test_a_missing_server_is_a_retryable_error(names: Names) -> None:
    client = connect("redis://127.0.0.1:1/0")
    erased, store = ErasedIds(client, names), WindowStore(client, names)
    for work in (erased.among([doc_id(1)]), erased.add([doc_id(1)]), store.erase([doc_id(1)])):
        with pytest.raises(StoreUnavailable) as caught:
            await work
        assert caught.value.retryable
    await client.aclose()


async def test_an_erased_document_leaves_the_evidence_of_every_subject_and_the_panes_stay(store: WindowStore, redis: Redis, names: Names) -> None:
    await apply(store, negative(1), negative(2), negative(3, DAIRY))
    before = [await store.canonical(subject) for subject in (MACRO, APPLE, DAIRY)]
    await store.erase([doc_id(1), doc_id(77)])
    assert await titles(store) == await titles(store, APPLE) == ["Headline 2"]
    assert await titles(store, DAIRY) == ["Headline 3"]
    assert [await store.canonical(subject) for subject in (MACRO, APPLE, DAIRY)] == before
    assert b"Headline 1" not in await dumped(redis)
    assert not await redis.exists(names.quoted(digest(doc_id(1))))


async def test_an_edit_that_speaks_of_others_is_taken_out_there_too(store: WindowStore) -> None:
    await apply(store, negative(1, MACRO, story="st_a"), negative(1, DAIRY, story="st_a", version=2, title="Corrected"))
    assert (await titles(store), await titles(store, DAIRY)) == (["Headline 1"], ["Corrected"])
    await store.erase([doc_id(1)])
    assert await titles(store) == await titles(store, DAIRY) == []


async def test_a_document_whose_title_names_another_one_is_not_taken_for_it(store: WindowStore) -> None:
    await apply(store, negative(1, title=f'{{"doc_id":"{doc_id(2)}","title"'), negative(2))
    await store.erase([doc_id(2)])
    assert [item.doc_id for item in await quoted(store)] == [doc_id(1)]


async def test_a_copy_that_comes_after_the_erasure_counts_as_it_would_have_and_is_not_quoted(store: WindowStore, redis: Redis, names: Names) -> None:
    apart = WindowStore(redis, Names(f"{names.namespace}-apart"))
    await apply(apart, negative(1))
    await ErasedIds(redis, names).add([doc_id(1)])
    await apply(store, negative(1))
    assert await titles(store) == []
    assert await store.canonical(MACRO) == await apart.canonical(MACRO) != b"[]"


async def test_documents_that_are_not_negative_are_noted_nowhere(store: WindowStore, redis: Redis, names: Names) -> None:
    await apply(store, scored(1, sentiment=NEUTRAL))
    assert [key async for key in redis.scan_iter(names.quoted("*"))] == []


async def test_evidence_of_a_subject_that_is_talked_about_on_and_on_lasts_four_days(store: WindowStore, redis: Redis, names: Names) -> None:
    days = [negative(number, MACRO, published_at=NOON + number * DAY) for number in range(8)]
    await apply(store, *days)
    assert await titles(store) == [f"Headline {number}" for number in range(3, 8)]
    lasts_s = 4 * DAY.total_seconds() + await redis.ttl(names.evidence(MACRO))
    assert lasts_s <= await redis.ttl(names.quoted(digest(doc_id(7)))) + 60 <= QUOTED_FOR.total_seconds() + 60


async def test_a_negative_document_is_noted_in_less_than_three_hundred_bytes(redis: Redis, names: Names) -> None:
    before = await used_bytes(redis)
    async with redis.pipeline(transaction=False) as pipe:
        note_quotes(pipe, names, {doc_id(number): [MACRO, APPLE] for number in range(10_000)})
        await pipe.execute()
    per_document = (await used_bytes(redis) - before) / 10_000
    assert 100 < per_document < 300, per_document


async def test_a_source_that_lists_what_was_erased_otherwise_is_not_heard(redis: Redis, names: Names) -> None:
    cursors, listed = CursorStore(redis, names, source="feed"), [document(1), document(2)]
    await cursors.commit("k", Cursor(), seen=remembered(unpublished(listed[:1], {}), {}), at=NOON)
    await ErasedIds(redis, names).add([doc_id(1), doc_id(2)])
    seen = await cursors.seen([doc_id(1), doc_id(2), doc_id(3)], at=NOON)
    assert seen == {doc_id(1): Seen(1, ERASED, today=False), doc_id(2): Seen(1, ERASED, today=False)}
    assert unpublished([*listed, document(3)], seen) == [document(3)]
    await cursors.commit("k", Cursor(), seen=remembered([], seen), at=NOON)
    await redis.delete(names.erased)  # forgotten in time, though the source lists it on
    assert unpublished(listed, await cursors.seen([doc_id(1), doc_id(2)], at=NOON + 7 * DAY)) == []


async def dumped(redis: Redis) -> bytes:
    """Everything that the server holds, as it holds it."""
    return b"".join([await redis.dump(key) or b"" async for key in redis.scan_iter()])
