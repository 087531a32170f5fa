from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from opinion.codec import encode
from opinion.names import Names
from opinion.records import ScoredDocument
from opinion.redis_client import connect
from opinion.windows import Applied, WindowStore
from tests.support.records import NEGATIVE, NEUTRAL, POSITIVE, scored
from yuqing.recorded import read_recording

pytestmark = pytest.mark.integration
SUBJECT = "topic:Macro"


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


def documents(seed: int) -> list[ScoredDocument]:
    """Reprints, repeats, edits and both registers, out of order."""
    chance = random.Random(seed)
    made = [
        scored(
            chance.randrange(4000),
            sentiment=chance.choice([NEGATIVE, NEUTRAL, POSITIVE]),
            story=f"st_{chance.randrange(40)}",
            publisher=f"p{chance.randrange(8)}.example",
            kind=chance.choice(["news", "social"]),
            author_hash=chance.choice([None, "a", "b", "c"]),
        )
        for _ in range(400)
    ]
    return made + made[:50]


@pytest.mark.parametrize("seed", range(3))
async def test_a_backtest_counts_documents_as_the_windows_do(redis: Redis, names: Names, seed: int) -> None:
    made = documents(seed)
    store = WindowStore(redis, names)
    await store.apply("t-0", [Applied(offset, item) for offset, item in enumerate(made)])
    panes = [(int(pane.start_at.timestamp()), pane.counts.total, pane.counts.negative, pane.counts.clear) for pane in await store.panes(SUBJECT) if pane.counts.total]
    track = read_recording([encode(item) for item in made]).tracks[SUBJECT]
    assert list(zip(track.starts_s.tolist(), *track.counts.tolist(), strict=True)) == panes
    first_s, end_s = track.first_s // 900 * 900, track.end_s // 900 * 900
    live = await store.breadth(SUBJECT, start_at=datetime.fromtimestamp(first_s, UTC), end_at=datetime.fromtimestamp(end_s, UTC))
    assert track.voices.breadth(first_s, end_s) == live
