from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest

from alerts.archive import Archive, Query
from opinion.erased import sign_of
from opinion.errors import StoreUnavailable
from opinion.records import EntityMention, Op, ScoredDocument
from tests.support.records import NEGATIVE, NEUTRAL, NOON, POSITIVE, scored

DAYS = timedelta(days=30)
MACRO, DAIRY = "topic:Macro", "entity:XDEM:HSRY"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    found = Archive(tmp_path / "state" / "documents.db", keep=DAYS)
    yield found
    found.close()


def version(number: int, *, of: int = 1, op: Op = Op.UPDATE, **changes: Any) -> ScoredDocument:
    return scored(of, version=number, op=op, **changes)


async def titles(archive: Archive, **query: Any) -> list[str]:
    return [found.scored.document.title for found in await archive.find(Query(**query))]


async def filled(archive: Archive) -> None:
    assert await archive.open() == {}
    await archive.put(0, [(offset, scored(offset, subjects=(MACRO, DAIRY) if offset % 2 else (MACRO,))) for offset in range(1, 8)])
    await archive.put(1, [(5, scored(8, sentiment=NEUTRAL, title="贵州茅台股价大跌", lang="zh-Hans", text="贵州茅台今日下跌。"))])


async def test_documents_are_found_by_subject_time_and_sentiment_newest_first(archive: Archive) -> None:
    await filled(archive)
    assert await titles(archive, subject=DAIRY) == ["Headline 7", "Headline 5", "Headline 3", "Headline 1"]
    assert await titles(archive, subject=DAIRY, since=NOON + timedelta(seconds=3), until=NOON + timedelta(seconds=7)) == ["Headline 5", "Headline 3"]
    assert await titles(archive, sentiment="neutral") == await titles(archive, lang="zh") == ["贵州茅台股价大跌"]


async def test_of_a_company_those_that_speak_ill_of_it_are_found(archive: Archive) -> None:
    await archive.open()
    on_dairy = [EntityMention("XDEM:HSRY", "Huasui Dairy", 0.9, sentiment) for sentiment in (NEGATIVE, POSITIVE)]
    made = [
        msgspec.structs.replace(scored(at, subjects=(MACRO, DAIRY), sentiment=whole), entities=[mention])
        for at, (whole, mention) in enumerate(product([NEUTRAL, NEGATIVE], on_dairy))
    ]
    await archive.put(0, list(enumerate(made)))
    assert await titles(archive, subject=DAIRY, sentiment="negative") == ["Headline 2", "Headline 0"]
    assert await titles(archive, subject=DAIRY, sentiment="positive", words="Headline") == ["Headline 3", "Headline 1"]
    assert await titles(archive, subject=MACRO, sentiment="negative") == await titles(archive, sentiment="negative") == ["Headline 3", "Headline 2"]


@pytest.mark.parametrize(
    ("words", "found"), [("eadline 5", ["Headline 5"]), ("茅台股", ["贵州茅台股价大跌"]), ("茅台", ["贵州茅台股价大跌"]), ('"', []), ("100%", []), ("nowhere", [])]
)
async def test_words_are_found_in_both_languages_whatever_they_hold(archive: Archive, words: str, found: list[str]) -> None:
    await filled(archive)
    assert await titles(archive, words=words) == found


async def test_pages_follow_each_other_without_holes(archive: Archive) -> None:
    await filled(archive)
    seen: list[str] = []
    place = None
    while page := await archive.find(Query(subject=MACRO, after=place, limit=3)):
        seen += [found.scored.document.title for found in page]
        place = page[-1].place
    assert seen == await titles(archive, subject=MACRO)
    assert len(seen) == 8


async def test_a_newer_version_replaces_and_an_older_one_does_not(archive: Archive) -> None:
    await filled(archive)
    await archive.put(0, [(8, version(3, title="Corrected")), (9, version(2, title="Late"))])
    assert "Corrected" in await titles(archive, words="Corrected")
    assert await titles(archive, words="Headline 1") == await titles(archive, words="Late") == []


async def test_what_is_erased_stays_erased(archive: Archive) -> None:
    await filled(archive)
    await archive.put(0, [(8, version(2, op=Op.DELETE, title="", text="")), (9, version(3))])
    assert await archive.get(scored(1).document.doc_id) is None
    assert "Headline 1" not in await titles(archive, limit=100)
    assert await titles(archive, words="Headline 1") == []
    on_disk = b"".join(path.read_bytes() for path in archive._path.parent.iterdir())
    assert b"Text of document 2" in on_disk
    assert b"Text of document 1" not in on_disk


async def test_a_deletion_erases_whatever_version_is_kept(archive: Archive) -> None:
    await filled(archive)
    await archive.put(0, [(8, version(7, title="Corrected")), (9, version(1, op=Op.DELETE, title="", text=""))])
    assert await archive.get(scored(1).document.doc_id) is None


async def test_offsets_move_with_the_documents(archive: Archive) -> None:
    await filled(archive)
    assert await archive.open() == {0: 8, 1: 6}


async def test_what_is_too_old_is_forgotten_each_source_by_its_own_term(archive: Archive) -> None:
    await archive.open()
    await archive.put(0, [(1, scored(1, extra={"retention_days": 2})), (2, scored(2))])
    assert await archive.purge(now=NOON + timedelta(days=3)) == 1
    assert await titles(archive) == ["Headline 2"]
    assert await archive.purge(now=NOON + timedelta(days=31)) == 1
    assert await titles(archive) == []


async def test_a_long_text_is_cut_and_the_rest_stays(archive: Archive) -> None:
    await archive.open()
    await archive.put(0, [(1, scored(1, text="x" * 50_000))])
    found = await archive.get(scored(1).document.doc_id)
    assert found is not None
    assert len(found.document.text) == 4_000
    assert found == msgspec.structs.replace(scored(1), document=found.document)


async def test_a_broken_file_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "documents.db"
    path.write_bytes(b"not a database" * 1000)
    archive = Archive(path, keep=DAYS)
    with pytest.raises(StoreUnavailable, match="archive of documents"):
        await archive.open()
    archive.close()


async def test_a_copy_goes_on_from_other_offsets_without_what_is_erased_by_then(archive: Archive, tmp_path: Path) -> None:
    await filled(archive)
    assert await archive.stands() == {0: 8, 1: 6}
    await archive.copy_to(tmp_path / "copy.db")
    copy = Archive(tmp_path / "copy.db", keep=DAYS)
    gone = scored(5).document.doc_id
    assert await copy.take_up({0: 3, 2: 0}, erased={sign_of(gone), sign_of("feed:unknown")}) == 1
    assert await copy.stands() == await copy.open() == {0: 3, 2: 0}
    assert await titles(copy, subject=DAIRY) == ["Headline 7", "Headline 3", "Headline 1"]
    assert (await titles(copy, words="eadline 5"), await copy.get(gone)) == ([], None)
    await copy.put(0, [(3, version(9, of=5, title="Headline 5 again"))])
    assert await copy.get(gone) is None
    assert await copy.purge(now=NOON + 2 * DAYS) == 8
    copy.close()
    assert b"Headline 5" not in (tmp_path / "copy.db").read_bytes()
    assert len(await titles(archive)) == 8


async def test_a_file_that_is_not_there_stands_nowhere_and_is_not_made(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "none.db", keep=DAYS)
    assert await archive.stands() is None
    assert not (tmp_path / "none.db").exists()
    await archive.open()
    assert await archive.stands() is None
    archive.close()
