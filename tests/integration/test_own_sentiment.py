"""A text that names a winner and a loser counts for each as it speaks of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import cast

import msgspec
import pytest
from redis.asyncio import Redis

from opinion.codec import encode
from opinion.names import Names, digest
from opinion.records import Counts, EntityMention, ScoredDocument, Sentiment
from opinion.redis_client import connect
from opinion.windows import Applied, WindowStore
from tests.support.records import DOUBTFUL, NEGATIVE, NEUTRAL, NOON, POSITIVE, scored
from yuqing.recorded import read_recording

pytestmark = pytest.mark.integration

MACRO, WINNER, LOSER, TAGGED = "topic:Macro", "entity:XNAS:WIN", "entity:XNAS:LOSE", "entity:XNAS:TAG"
NEGATIVES = Counts(documents=1, total=1, negative=1, polarity_e6=-860_000, clear=1)
POSITIVES = Counts(documents=1, total=1, positive=1, polarity_e6=860_000)
NEUTRALS = Counts(documents=1, total=1, neutral=1)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


def suing(number: int, *, whole: Sentiment = NEUTRAL, loser: Sentiment = NEGATIVE) -> ScoredDocument:
    """Two companies that are named, and one that the source's tag names alone."""
    mentions = [EntityMention("XNAS:WIN", "Winner", 0.8, POSITIVE), EntityMention("XNAS:LOSE", "Loser", 0.8, loser), EntityMention("XNAS:TAG", "Tagged", 1.0, whole)]
    return msgspec.structs.replace(scored(number, sentiment=whole, subjects=(MACRO, WINNER, LOSER, TAGGED)), entities=mentions)


async def counted(store: WindowStore, subject: str) -> Counts:
    return sum((pane.counts for pane in await store.panes(subject)), Counts())


async def quoted(store: WindowStore, subject: str) -> list[float]:
    return [item.negative for item in await store.evidence(subject, start_at=NOON, end_at=NOON + timedelta(hours=1))]


async def test_each_company_is_counted_by_what_is_said_of_it_and_the_topic_by_the_text(redis: Redis, names: Names) -> None:
    store = WindowStore(redis, names)
    await store.apply("t-0", [Applied(0, suing(1))])
    assert [await counted(store, subject) for subject in (MACRO, WINNER, LOSER, TAGGED)] == [NEUTRALS, POSITIVES, NEGATIVES, NEUTRALS]


async def test_a_text_is_evidence_on_those_it_speaks_ill_of_and_leaves_all_of_them_when_it_is_erased(redis: Redis, names: Names) -> None:
    store = WindowStore(redis, names)
    items = [suing(1), suing(2, whole=DOUBTFUL, loser=NEGATIVE), suing(3, whole=NEGATIVE, loser=NEUTRAL)]
    await store.apply("t-0", [Applied(offset, item) for offset, item in enumerate(items)])
    assert {subject: await quoted(store, subject) for subject in (MACRO, WINNER, LOSER, TAGGED)} == {MACRO: [0.6, 0.9], WINNER: [], LOSER: [0.9, 0.9], TAGGED: [0.6, 0.9]}
    noted = [cast("list[bytes]", await redis.hkeys(names.quoted(digest(item.document.doc_id)))) for item in items]
    assert [{subject.decode() for subject in subjects} for subjects in noted] == [{LOSER}, {LOSER, TAGGED, MACRO}, {TAGGED, MACRO}]
    await store.erase([item.document.doc_id for item in items])
    assert {subject: await quoted(store, subject) for subject in (MACRO, LOSER, TAGGED)} == {MACRO: [], LOSER: [], TAGGED: []}


async def test_a_backtest_counts_companies_the_same_way(redis: Redis, names: Names) -> None:
    store = WindowStore(redis, names)
    items = [suing(number, loser=loser) for number, loser in enumerate([NEGATIVE, DOUBTFUL, POSITIVE, NEGATIVE])]
    await store.apply("t-0", [Applied(offset, item) for offset, item in enumerate(items)])
    tracks = read_recording([encode(item) for item in items]).tracks
    for subject, expected in {MACRO: (4, 0, 0), WINNER: (4, 0, 0), LOSER: (4, 3, 2)}.items():
        live = await counted(store, subject)
        assert (live.total, live.negative, live.clear) == tuple(tracks[subject].counts.sum(axis=1)) == expected
        noon_s = int(NOON.timestamp())
        assert tracks[subject].voices.breadth(noon_s, noon_s + 900).stories == expected[1]
