from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from opinion.bus import Producer
from opinion.names import Names
from opinion.records import Document, Op
from opinion.tasks import end
from scrapers import intake_server
from scrapers.cursor import CursorStore
from scrapers.drop import DropPoller, drop_of
from scrapers.intake import INTAKE, MOST_HELD
from scrapers.intake_server import PATH
from scrapers.parsing import Parser
from scrapers.publish import Publisher
from scrapers.sources.documents import MAX_ROWS
from tests.support.intake import JSON, LINES, TOKEN, Desk, lines, problem, row, scraping, settings_of
from tests.support.workers import until

pytestmark = [pytest.mark.integration]


@pytest.fixture
async def desk(kafka_address: str, redis_url: str, names: Names) -> AsyncIterator[Desk]:
    async with scraping(settings_of(kafka_address, redis_url, names)) as found:
        yield found


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (json.dumps(row(1)).encode(), JSON),
        (json.dumps([row(1)]).encode(), JSON),
        (json.dumps({"items": [row(1)]}, indent=1).encode(), {"content-type": "application/vnd.publisher+json; charset=utf-8"}),
        (lines(row(1)), LINES),
        (lines(row(1)), {}),
        (gzip.compress(lines(row(1))), LINES | {"content-encoding": "gzip"}),
    ],
    ids=["object", "array", "wrapped", "lines", "nothing said", "gzip"],
)
async def test_rows_in_any_of_their_forms_are_published_before_the_sender_is_answered(desk: Desk, body: bytes, headers: dict[str, str]) -> None:
    answer = await desk.client.post(PATH, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "duplicates": 0, "problems": []})
    assert [document.title for document in await desk.published()] == ["Profit fell 1"]


async def test_what_is_known_is_told_as_such_an_edit_is_an_update_and_a_deletion_travels(desk: Desk) -> None:
    await desk.post(row(1), row(2))
    assert (await desk.post(row(1), row(2, title="Profit fell by half"), row(3))).json() == {"accepted": 2, "duplicates": 1, "problems": []}
    assert (await desk.post(row(1, deleted=True), {"id": "r2", "op": "delete"})).json()["accepted"] == 2
    assert (await desk.post(row(1), row(2))).json() == {"accepted": 0, "duplicates": 2, "problems": []}  # what was taken back stays away
    found = {native_id: [(item.op, item.version) for item in await desk.published() if item.native_id == native_id] for native_id in ("r1", "r2", "r3")}
    assert found == {
        "r1": [(Op.CREATE, 1), (Op.DELETE, 2)],
        "r2": [(Op.CREATE, 1), (Op.UPDATE, 2), (Op.DELETE, 3)],
        "r3": [(Op.CREATE, 1)],
    }


async def test_of_a_body_that_tells_of_one_item_twice_the_last_row_counts(desk: Desk) -> None:
    told = (await desk.post(row(1), row(1, title="Profit fell by half"), row(2), row(2, deleted=True))).json()
    assert told["accepted"] == 2
    assert [(problem["reason"], problem["row"]) for problem in told["problems"]] == [("duplicate", 1), ("duplicate", 3)]
    assert {(item.title, item.op) for item in await desk.published()} == {("Profit fell by half", Op.CREATE), ("", Op.DELETE)}


async def test_rows_are_read_by_the_names_that_the_sender_has(kafka_address: str, redis_url: str, names: Names) -> None:
    async with scraping(settings_of(kafka_address, redis_url, names, intake_fields="id=guid,title=headline,text=body.content,deleted=withdrawn")) as desk:
        answer = await desk.post({"guid": "a", "headline": "Profit fell", "body": {"content": "By a fifth."}}, {"guid": "b", "withdrawn": True})
        assert answer.json()["accepted"] == 2
        assert {(item.native_id, item.title, item.text, item.op) for item in await desk.published()} == {("a", "Profit fell", "By a fifth.", Op.CREATE), ("b", "", "", Op.DELETE)}


async def test_a_post_and_a_file_of_the_directory_are_known_to_each_other(desk: Desk, tmp_path: Path) -> None:
    await desk.post(row(1))
    (tmp_path / "a.jsonl").write_bytes(lines(row(1), row(2)))
    settings = desk.settings.model_copy(update={"drop_dir": tmp_path})
    producer = Producer(settings.kafka or "")
    poller = DropPoller(settings, Parser(), Publisher(producer, CursorStore(desk.redis, settings.names, source="feed"), settings.names), clock=settings.clock())
    found: list[Document] = []

    async def dropped() -> bool:
        found.extend((await poller.poll(drop_of(settings))).published)
        return bool(found)

    await until(dropped, within_s=30)
    await producer.stop()
    assert [document.native_id for document in found] == ["r2"]
    assert (await desk.post(row(2))).json() == {"accepted": 0, "duplicates": 1, "problems": []}


async def test_bad_rows_cost_no_others_and_are_told_by_number(desk: Desk) -> None:
    body = lines(row(1)) + b"nonsense\n\n" + lines({"id": "r2"}, row(3, kind="rumour"), row(4))
    answer = await desk.client.post(PATH, content=body, headers=LINES)
    told = answer.json()
    assert (answer.status_code, told["accepted"], told["duplicates"]) == (200, 2, 0)
    assert [(problem["row"], problem["reason"]) for problem in told["problems"]] == [(2, "invalid"), (4, "empty"), (5, "invalid")]
    assert desk.registry.get_sample_value("yuqing_scraper_items_dropped_total", {"source": INTAKE, "reason": "invalid"}) == 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_there_is_nothing_else(desk: Desk, method: str) -> None:
    problem(await desk.client.request(method, PATH), 405, "")
    problem(await desk.client.request(method, "/"), 404, "")


@pytest.mark.parametrize(
    ("authorization", "status"),
    [(None, 401), ("", 401), ("Basic aHVzaA==", 401), (TOKEN, 401), ("Bearer", 403), ("Bearer wrong", 403), (f"Bearer {TOKEN}x", 403), ("Bearer \u00e9", 403)],
)
async def test_only_who_has_the_token_is_let_in(desk: Desk, authorization: str | None, status: int) -> None:
    del desk.client.headers["authorization"]
    headers = LINES if authorization is None else LINES | {"authorization": authorization}
    answer = await desk.client.post(PATH, content=lines(row(1)), headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()])
    problem(answer, status, "token")
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert await desk.published() == []


BOMB = gzip.compress(b" " * 30_000_000)


@pytest.mark.parametrize(
    ("body", "headers", "status", "words", "outcome"),
    [
        (b'[{"id": "r1", "title": "cut o', JSON, 400, "cut off or broken", "page_changed"),
        (b"hello\nworld\n", LINES, 400, "none of its rows is a document; the first: a line that is no JSON", "page_changed"),
        (b'{"headline": "Of other names"}', JSON, 400, "none of its rows is a document; the first: a row without id", "page_changed"),
        (b"", JSON, 400, "empty", "page_changed"),
        (b"<!doctype html><title>Login</title>", JSON, 400, "a web page", "source_walled"),
        (b"\x1f\x8bdamaged", JSON | {"content-encoding": "gzip"}, 400, "damaged or cut off", "source_unavailable"),
        (gzip.compress(lines(row(1)))[:-9], JSON | {"content-encoding": "gzip"}, 400, "damaged or cut off", "source_unavailable"),
        (BOMB, JSON | {"content-encoding": "gzip"}, 413, "over 100000 bytes", "body_too_large"),
        (gzip.compress(gzip.compress(BOMB)), JSON | {"content-encoding": "gzip, gzip, gzip"}, 413, "3 times over", "body_too_large"),
        (b"x" * 100_001, JSON, 413, "over 100000 bytes: send it in parts", "body_too_large"),
    ],
    ids=["cut", "no JSON", "other names", "empty", "page", "no gzip", "cut gzip", "bomb", "layers", "long"],
)
async def test_a_body_that_cannot_be_taken_whole_is_refused_whole_and_the_next_one_is_taken(
    desk: Desk, body: bytes, headers: dict[str, str], status: int, words: str, outcome: str
) -> None:
    problem(await desk.client.post(PATH, content=body, headers=headers), status, words)
    assert desk.fetches(outcome) == 1
    assert await desk.published() == []
    assert (await desk.post(row(1))).json()["accepted"] == 1


async def test_a_body_of_too_many_rows_is_refused_whole(kafka_address: str, redis_url: str, names: Names) -> None:
    async with scraping(settings_of(kafka_address, redis_url, names, max_body_bytes=1_000_000)) as desk:
        rows = [{"id": number, "title": "x"} for number in range(MAX_ROWS + 1)]
        problem(await desk.client.post(PATH, json=rows), 413, "over 10000 rows: send them in parts")
        assert await desk.published() == []
        assert (await desk.client.post(PATH, json=rows[:-1])).json()["accepted"] == MAX_ROWS


async def test_a_body_whose_length_nobody_told_is_cut_where_it_is_too_long(desk: Desk) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 10_000

    problem(await desk.client.post(PATH, content=endless(), headers=JSON), 413, "over 100000 bytes")
    assert desk.fetches("body_too_large") == 1
    assert (await desk.post(row(1))).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, "application/x-ndjson"),
        ({"content-type": "multipart/form-data; boundary=x"}, "application/x-ndjson"),
        ({"content-type": "application/xml"}, "application/x-ndjson"),
        (JSON | {"content-encoding": "compress"}, "gzip, deflate, br, zstd"),
        (JSON | {"content-encoding": "gzip, rot13"}, "gzip, deflate, br, zstd"),
    ],
)
async def test_what_is_not_read_is_refused_with_what_is(desk: Desk, headers: dict[str, str], words: str) -> None:
    problem(await desk.client.post(PATH, content=lines(row(1)), headers=headers), 415, words)
    assert await desk.published() == []


async def test_a_body_that_trickles_is_given_up(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_server, "READ_WITHIN_S", 0.3)
    reader, writer = await desk.raw(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 1000\r\n\r\n[")
    async with asyncio.timeout(20):
        answer = await reader.read()  # to its end: the connection is closed
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert desk.fetches("source_unavailable") == 1
    assert (await desk.post(row(1))).json()["accepted"] == 1


@pytest.mark.parametrize(
    "start",
    [
        "",
        "POST /v1/doc",
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-A: ",
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1",
        f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\nPOST",
    ],
    ids=["nothing", "line", "head", "refused body", "second head"],
)
async def test_a_connection_on_which_nothing_comes_to_an_end_is_cut_off(desk: Desk, monkeypatch: pytest.MonkeyPatch, start: str) -> None:
    monkeypatch.setattr(intake_server, "CONNECTION_S", 0.3)
    reader, writer = await desk.raw(start)

    async def drip() -> None:
        while True:
            writer.write(b"a")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(20):
        with contextlib.suppress(ConnectionError):  # cut off
            await reader.read()
    await end(dripping)
    writer.close()


async def test_connections_over_the_most_are_cut_off_and_come_in_again_later(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_server, "MOST_CONNECTIONS", 2)
    held = [await desk.raw("POST") for _ in range(2)]
    with pytest.raises(httpx.TransportError):
        await desk.post(row(1))
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    assert (await desk.post(row(1))).json()["accepted"] == 1


async def test_those_who_come_while_all_places_are_taken_are_told_to_come_again(desk: Desk) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(lines(row(1)))}\r\n\r\n"
    held = [await desk.raw(head) for _ in range(MOST_HELD)]

    async def refused() -> bool:
        answer = await desk.post(row(1))
        return answer.status_code == 503 and problem(answer, 503, "send it again").headers["retry-after"] == "1"

    await until(refused, within_s=10)
    for reader, writer in held:
        writer.write(lines(row(1)))
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
    assert (await desk.post(row(2))).json()["accepted"] == 1
    assert sorted(document.native_id for document in await desk.published()) == ["r1", "r2"]


async def test_a_sender_that_does_not_wait_loses_nothing(desk: Desk) -> None:
    body = lines(row(1))
    _, writer = await desk.raw(f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n\r\n{body.decode()}")
    writer.close()
    await until(lambda: desk.fetches("ok") == 1, within_s=20)
    assert (await desk.post(row(1))).json() == {"accepted": 0, "duplicates": 1, "problems": []}
    assert len(await desk.published()) == 1
