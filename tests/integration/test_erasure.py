"""One document, from its source to everything that shows it, and out of all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka.partitioner import DefaultPartitioner
from click.testing import CliRunner

from alerts.api.app import build_api
from alerts.api.parts import Parts
from alerts.erasing import ERASED_TITLE
from alerts.filling import Filling
from opinion.bus import create_topics, read_all
from opinion.clock import SystemClock
from opinion.codec import decode, encode
from opinion.names import Names
from opinion.records import Document, Op, ScoredDocument
from opinion.settings import Settings
from opinion.tasks import end
from tests.support.api import api_parts, bearer
from tests.support.records import NOON, alert, document
from tests.support.workers import environment, until, worker
from yuqing.cli import main
from yuqing.erase import erase_documents
from yuqing.replay import run_replay

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

COMPANIES = ["entity:XDEM:HSRY", "entity:XNAS:AAPL"]
PARTITIONS = [0, 1, 2, 3]
ENOUGH = 24
"""So many documents lie in every partition."""


_partition_of = DefaultPartitioner()


def told(number: int, **changes: Any) -> Document:
    words = f"A bad story number {number} of two companies, with words enough to be a story of its own."
    fields: dict[str, Any] = {"text": words, "publisher": f"p{number}.example", "symbols": ["XDEM:HSRY", "XNAS:AAPL"], "author_hash": f"{number:064x}"}
    return document(number, **(fields | changes))


class Room:
    """A worker, an alerter's archive and API beside it, and people who publish, erase and replay."""

    def __init__(self, parts: Parts, settings: Settings) -> None:
        self.parts = parts
        self.settings = settings
        self._turns = 0
        self.api = httpx.AsyncClient(transport=httpx.ASGITransport(app=build_api(parts)), base_url="http://api", headers=bearer())

    async def replay(self, documents: Sequence[Document]) -> None:
        assert await run_replay([encode(item) for item in documents], settings=self.settings, speed=0, start=None, echo=lambda _: None) == 0

    async def erase(self, *doc_ids: str) -> None:
        assert await erase_documents(doc_ids, settings=self.settings, echo=lambda _: None) == 0

    async def all_done(self) -> None:
        """Return when everything that is in the log by now has had its effect: documents that come after it in every partition are counted and kept."""
        self._turns += 1
        symbol = f"XDEM:LAST{self._turns}"
        last = [told(number + 100 * self._turns, title="Goodbye", symbols=[symbol]) for number in range(ENOUGH)]
        assert {_partition_of(item.doc_id.encode(), PARTITIONS, PARTITIONS) for item in last} == set(PARTITIONS)
        await self.replay(last)
        await until(lambda: self._counted(f"entity:{symbol}"), within_s=60)
        await until(lambda: self._archived(last), within_s=60)

    async def quoted(self) -> dict[str, list[str]]:
        """Titles of the evidence by subject; of every subject there is."""
        _, subjects = await self.parts.windows.changed_since(0)
        span = {"start_at": NOON - timedelta(days=1), "end_at": NOON + timedelta(days=1)}
        return {subject: [item.title for item in await self.parts.windows.evidence(subject, **span)] for subject in subjects}

    async def panes(self) -> list[bytes]:
        return [await self.parts.windows.canonical(company) for company in COMPANIES]

    async def shown(self, path: str) -> Any:
        answer = await self.api.get(path)
        return answer.json() if answer.status_code == 200 else answer.status_code

    async def _counted(self, subject: str) -> bool:
        return sum(pane.counts.documents for pane in await self.parts.windows.panes(subject)) == ENOUGH

    async def _archived(self, documents: Sequence[Document]) -> bool:
        return all([await self.parts.archive.get(item.doc_id) is not None for item in documents])


@pytest.fixture
async def room(kafka_address: str, redis_url: str, names: Names, tmp_path: Path) -> AsyncIterator[Room]:
    await create_topics(kafka_address, names, partitions=4, replication=1)
    settings = Settings(kafka=kafka_address, redis=redis_url, namespace=names.namespace, data_dir=tmp_path)
    async with api_parts(redis_url, names, tmp_path) as parts, worker(environment(kafka=kafka_address, redis_url=redis_url, names=names)):
        filling = Filling(kafka_address, names.scored, archive=parts.archive, clock=SystemClock(), heard=parts.live.heard)
        task = asyncio.create_task(filling.run())
        found = Room(parts, settings)
        yield found
        await found.api.aclose()
        await end(task)


async def test_a_deletion_reaches_every_store_and_no_replay_brings_the_document_back(room: Room, kafka_address: str, names: Names) -> None:
    documents = [told(number) for number in range(8)]
    gone, others = documents[3].doc_id, [item.doc_id for number, item in enumerate(documents) if number != 3]
    await room.replay([*documents, told(3, version=2, op=Op.UPDATE, title="Corrected", text=documents[3].text)])
    await room.all_done()
    evidence = await room.parts.windows.evidence(COMPANIES[0], start_at=NOON, end_at=NOON + timedelta(hours=1))
    assert len(evidence) == 8
    await room.parts.alerts.save(alert(evidence=evidence))
    room.parts.live.take(0, 0, encode(alert(evidence=evidence)))
    before = await room.panes()
    assert all("Headline 3" in titles for subject, titles in (await room.quoted()).items() if subject in COMPANIES)
    assert (await room.shown(f"/api/v1/documents/{gone}"))["document"]["title"] == "Corrected"

    await room.erase(gone)
    await room.all_done()
    await _erased(room, gone, others, before)

    await room.replay([*documents, told(3, version=9, op=Op.UPDATE, title="Corrected once more")])
    await room.all_done()
    await _erased(room, gone, others, before)
    log = [decode(value, ScoredDocument) for value in await read_all(kafka_address, names.scored)]
    assert [item.document.op for item in log if item.document.doc_id == gone] == [Op.CREATE, Op.UPDATE, Op.DELETE]
    (last,) = [item for item in log if item.document.op is Op.DELETE]
    assert (last.document.title, last.document.text, last.document.url, last.document.author_hash, last.counted, last.subjects) == ("", "", None, None, False, [])


async def _erased(room: Room, gone: str, others: Sequence[str], panes: Sequence[bytes]) -> None:
    """Nothing is left of one document, and of the others everything."""
    quoted = await room.quoted()
    assert all(sorted(quoted[company]) == [f"Headline {number}" for number in range(8) if number != 3] for company in COMPANIES)
    assert not [title for titles in quoted.values() for title in titles if "Headline 3" in title or "Corrected" in title]
    assert await room.panes() == panes
    assert await room.shown(f"/api/v1/documents/{gone}") == 404
    assert [(await room.shown(f"/api/v1/documents/{other}"))["document"]["doc_id"] for other in others] == others
    shown = await room.shown("/api/v1/alerts/al_1")
    assert (await room.shown("/api/v1/alerts"))["alerts"] == [shown]
    by_id = {item["doc_id"]: item for item in shown["evidence"]}
    assert (by_id[gone]["title"], by_id[gone]["url"], by_id[gone]["erased"]) == (ERASED_TITLE, None, True)
    assert [by_id[other]["title"] for other in others] == [f"Headline {number}" for number in range(8) if number != 3]
    assert [by_id[other]["url"] for other in others] == [f"https://news.example/{number}" for number in range(8) if number != 3]
    events = await _events(room)
    assert (b"Headline 3" in events, b"Headline 2" in events, ERASED_TITLE.encode() in events) == (False, True, True)
    held = b"".join([await room.parts.redis.dump(key) or b"" async for key in room.parts.redis.scan_iter(match="*}:evidence")])
    assert (b"Headline 3" in held, b"Headline 2" in held) == (False, True)


async def _events(room: Room) -> bytes:
    """The first event that a listener is told who has heard nothing yet."""
    from alerts.api.stream import lines_of  # noqa: PLC0415 - what the path streams

    lines = lines_of(room.parts, "0-0", {"alert"})
    await anext(lines)
    found = await anext(lines)
    await lines.aclose()
    return found


def test_the_command_publishes_one_deletion_of_each_document(kafka_address: str, redis_url: str, names: Names) -> None:
    ids = [document(number).doc_id for number in (1, 2)]
    variables = {"YUQING_KAFKA": kafka_address, "YUQING_REDIS": redis_url, "YUQING_NAMESPACE": names.namespace}
    result = CliRunner().invoke(main, ["erase", *ids, ids[0]], env=variables)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("2 deletions published")
    found = [decode(value, Document) for value in asyncio.run(read_all(kafka_address, names.documents))]
    assert {(item.doc_id, item.op, item.source, item.title, item.text) for item in found} == {(doc_id, Op.DELETE, "feed", "", "") for doc_id in ids}
    assert len(found) == 2
