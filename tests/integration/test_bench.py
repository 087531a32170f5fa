from __future__ import annotations

from datetime import UTC, datetime

import pytest

from opinion.names import Names
from opinion.records import TOPICS
from opinion.redis_client import connect
from opinion.windows import Applied, WindowStore
from tests.bench.corpus import documents
from tests.bench.counting import counted
from tests.support.records import scored


@pytest.mark.integration
async def test_counted_documents_are_those_of_the_windows(redis_url: str, names: Names) -> None:
    redis = connect(redis_url)
    store = WindowStore(redis, names)
    assert (await counted(redis, names)).documents == 0
    items = [Applied(offset, scored(offset, subjects=(f"topic:{TOPICS[offset % 20]}", "entity:XNAS:AAPL"))) for offset in range(30)]
    await store.apply_all({"t-0": items[:25], "t-1": items[:5]})
    first = await counted(redis, names)
    assert first.documents == 30
    await store.apply("t-0", items[25:])
    second = await counted(redis, names)
    assert second.documents == 35
    assert second.at_s > first.at_s
    await redis.aclose()


def test_a_seed_gives_the_same_mix_of_languages() -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    drawn = documents(200, seed=3, now=now)
    assert drawn == documents(200, seed=3, now=now)
    assert {document.lang for document in drawn} == {"en", "zh-Hans"}
    assert len({document.doc_id for document in drawn}) == 200
    assert max(document.fetched_at for document in drawn) < now
