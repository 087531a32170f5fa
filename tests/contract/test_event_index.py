"""One suite over both event indexes: what callers may rely on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from models.stories import MEMORY_MS
from models.story_index import EventIndex, MemoryEventIndex, RedisEventIndex
from models.story_link import Signature
from opinion.names import Names
from opinion.redis_client import connect
from tests.support.meanings import signature

TEXT = "Halden Rail said it had won a 640 million euro order for 82 regional trains from the Carpathian transport authority, its largest in a decade."
REWORDED = "A contract for 82 trains, worth 640 million euros, goes to Halden Rail"
TRANSLATED = "哈尔登铁路拿下6.4亿欧元订单，将交付82列区域列车"
OTHER = "Corvane Biotech says a trial of its asthma drug met the main goal"
HOURS = MEMORY_MS / 3_600_000


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.integration)])
async def index(request: pytest.FixtureRequest, names: Names) -> AsyncIterator[EventIndex]:
    if request.param == "memory":
        yield MemoryEventIndex()
        return
    client = connect(request.getfixturevalue("redis_url"))
    yield RedisEventIndex(client, names)
    await client.aclose()


def telling(doc_id: str, story_id: str, text: str = TEXT, **changes: object) -> tuple[str, str, Signature]:
    return doc_id, story_id, signature(text, **changes)  # type: ignore[arg-type]


async def test_nothing_assigned_is_nothing_answered(index: EventIndex) -> None:
    assert await index.assign([]) == []


async def test_the_first_telling_names_the_event(index: EventIndex) -> None:
    assert await index.assign([telling("d1", "st_a"), telling("d2", "st_b", OTHER, meaning=2)]) == ["st_a", "st_b"]


@pytest.mark.parametrize(
    "again",
    [telling("d2", "st_b", TEXT[:120]), telling("d2", "st_b", REWORDED), telling("d2", "st_b", TRANSLATED, lang="zh"), telling("d2", "st_b", TEXT, title="Rail order", hours=20)],
    ids=["cut", "reworded", "translated", "later"],
)
async def test_another_telling_joins_in_one_batch_and_in_two(index: EventIndex, again: tuple[str, str, Signature]) -> None:
    assert await index.assign([telling("d0", "st_c", OTHER, meaning=2), telling("d1", "st_a")]) == ["st_c", "st_a"]
    assert await index.assign([again]) == ["st_a"]
    assert await index.assign([telling("e1", "st_d", OTHER + " in adults", meaning=3, hours=500), ("e2", *again[1:])]) == ["st_d", "st_a"]


async def test_tellings_of_one_batch_find_each_other(index: EventIndex) -> None:
    assert await index.assign([telling("d1", "st_a"), telling("d2", "st_b", REWORDED), telling("d3", "st_c", OTHER, meaning=2)]) == ["st_a", "st_a", "st_c"]


async def test_a_redelivery_changes_nothing(index: EventIndex) -> None:
    batch = [telling("d1", "st_a"), telling("d2", "st_b", REWORDED), telling("d3", "st_c", OTHER, meaning=2)]
    first = await index.assign(batch)
    assert await index.assign(batch[::-1]) == first[::-1]
    assert await index.assign([batch[1], batch[1], telling("d4", "st_d", TEXT[:110])]) == ["st_a", "st_a", "st_a"]


async def test_an_edited_document_keeps_its_event(index: EventIndex) -> None:
    await index.assign([telling("d1", "st_a"), telling("d2", "st_b", OTHER, meaning=2)])
    assert await index.assign([telling("d2", "st_e", TEXT)]) == ["st_b"]


async def test_a_forgotten_document_draws_no_other_and_the_others_keep_their_event(index: EventIndex) -> None:
    await index.assign([telling("d1", "st_a"), telling("d2", "st_b", OTHER, meaning=2)])
    await index.forget([])
    await index.forget(["d1", "d9"])
    assert await index.assign([telling("d3", "st_c", REWORDED)]) == ["st_c"]
    assert await index.assign([telling("d2", "st_b", OTHER, meaning=2), telling("d4", "st_d", OTHER + " in adults", meaning=2)]) == ["st_b", "st_b"]


async def test_documents_of_one_story_have_one_event(index: EventIndex) -> None:
    assert await index.assign([telling("d1", "st_a"), telling("d2", "st_b", REWORDED)]) == ["st_a", "st_a"]
    assert await index.assign([telling("d3", "st_b", "Quite another text", meaning=7), telling("d4", "st_b", "And one more", meaning=8)]) == ["st_a", "st_a"]


async def test_the_next_issue_of_a_series_is_another_event(index: EventIndex) -> None:
    flash = "央行今日开展1260亿元7天期逆回购操作，操作利率1.40%，与此前持平"
    assert await index.assign([telling("d1", "st_a", flash, lang="zh")]) == ["st_a"]
    assert await index.assign([telling("d2", "st_b", flash.replace("1260", "835"), lang="zh", hours=24)]) == ["st_b"]


async def test_after_two_days_it_is_another_event(index: EventIndex) -> None:
    assert await index.assign([telling("d1", "st_a")]) == ["st_a"]
    assert await index.assign([telling("d2", "st_b", TEXT[:120], hours=HOURS + 1)]) == ["st_b"]


async def test_a_story_rested_for_two_days_is_judged_anew_and_one_told_on_lives_on(index: EventIndex) -> None:
    assert await index.assign([telling("d1", "st_a"), telling("d2", "st_b", TEXT[:120])]) == ["st_a", "st_a"]
    assert await index.assign([telling("d3", "st_b", TEXT[:120], hours=HOURS)]) == ["st_a"]
    assert await index.assign([telling("d4", "st_b", TEXT[:120], hours=2 * HOURS)]) == ["st_a"]
    assert await index.assign([telling("d5", "st_b", TEXT[:120], hours=4 * HOURS + 1)]) == ["st_b"]


async def test_a_late_telling_joins_without_moving_the_clock_back(index: EventIndex) -> None:
    await index.assign([telling("d1", "st_a")])
    assert await index.assign([telling("late", "st_a", hours=-HOURS)]) == ["st_a"]
    assert await index.assign([telling("d2", "st_a", hours=HOURS)]) == ["st_a"]


async def test_a_crowd_under_one_trait_does_not_hide_the_event(index: EventIndex) -> None:
    await index.assign([telling("d1", "st_a")])
    await index.assign([telling(f"n{number}", f"st_{number:x}0", f"Halden note {number} of the desk", meaning=100 + number) for number in range(200)])
    assert await index.assign([telling("d2", "st_b", REWORDED)]) == ["st_a"]


async def test_texts_without_any_embedding_join_by_their_words(index: EventIndex) -> None:
    bare = [Signature(**{field: getattr(made, field) for field in made.__struct_fields__} | {"embedding": b""}) for made in (signature(TEXT), signature(TEXT[:125]))]
    assert await index.assign([("d1", "st_a", bare[0]), ("d2", "st_b", bare[1])]) == ["st_a", "st_a"]
