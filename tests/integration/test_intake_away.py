from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from opinion.clock import monotonic_s
from opinion.errors import ConfigError
from opinion.names import Names
from opinion.settings import Feed
from scrapers import intake as intake_module
from scrapers import intake_server
from scrapers.intake import INTAKE
from scrapers.intake_server import PATH
from scrapers.scrape import run_scraper
from tests.support.intake import JSON, Desk, lines, problem, row, scraping, settings_of
from tests.support.site import Page, Site
from tests.support.workers import until
from yuqing.embedded.kafka import EmbeddedKafka
from yuqing.embedded.process import free_port
from yuqing.embedded.redis import EmbeddedRedis

pytestmark = [pytest.mark.integration]


@pytest.fixture
async def desk(kafka_address: str, redis_url: str, names: Names) -> AsyncIterator[Desk]:
    async with scraping(settings_of(kafka_address, redis_url, names)) as found:
        yield found


async def test_status_and_metrics_know_the_intake_as_they_know_other_sources(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "IDLE_S", 0.1)
    await until(lambda: (desk.fetches("not_modified") or 0) >= 2, within_s=20)
    health = await desk.health()
    assert health is not None
    assert (health.state, health.failures, health.documents) == ("ok", 0, 0)
    await desk.post(row(1), row(2))
    await desk.client.post(PATH, content=b"[", headers=JSON)
    await until(lambda: _is(desk, "partial"), within_s=20)  # the last body could not be read, and nobody mended it
    assert desk.registry.get_sample_value("yuqing_scraper_documents_total", {"source": INTAKE}) == 2
    assert desk.registry.get_sample_value("yuqing_source_state", {"source": INTAKE, "state": "partial"}) == 1
    await desk.post(row(3))
    await until(lambda: _is(desk, "ok"), within_s=20)


async def _is(desk: Desk, state: str) -> bool:
    health = await desk.health()
    return health is not None and health.state == state


async def test_what_was_taken_is_known_after_a_restart_and_the_token_is_the_same(kafka_address: str, redis_url: str, names: Names, tmp_path: Path) -> None:
    settings = settings_of(kafka_address, redis_url, names, intake_token=None, data_dir=tmp_path)
    told = []
    for _ in range(2):
        async with scraping(settings) as desk:
            desk.client.headers["authorization"] = f"Bearer {(tmp_path / 'intake-token').read_text().strip()}"
            told.append((await desk.post(row(1), row(2))).json())
            published = await desk.published()
    assert told == [{"accepted": 2, "duplicates": 0, "problems": []}, {"accepted": 0, "duplicates": 2, "problems": []}]
    assert len(published) == 2
    assert (tmp_path / "intake-token").stat().st_mode & 0o777 == 0o600


@pytest.mark.timeout(240)
async def test_while_kafka_is_away_the_sender_is_told_to_send_again_and_then_nothing_is_published_twice(
    redis_url: str, names: Names, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = EmbeddedKafka(tmp_path)
    async with scraping(settings_of(await kafka.start(), redis_url, names)) as desk:
        assert (await desk.post(row(1))).json()["accepted"] == 1
        await kafka.stop()
        monkeypatch.setattr(intake_server, "ANSWER_WITHIN_S", 2.0)
        for _ in range(2):
            answer = problem(await desk.post(row(1), row(2), row(3, title="A telling")), 503, "send it again")
            assert answer.headers["retry-after"] == "5"
        await kafka.start()

        async def taken() -> bool:
            return (await desk.post(row(1), row(2), row(3, title="Another telling"))).status_code == 200

        await until(taken, within_s=120)
        published = await desk.published()
    await kafka.stop()
    assert sorted((item.native_id, item.version) for item in published if item.native_id != "r3") == [("r1", 1), ("r2", 1)]
    assert [item.title for item in published if item.native_id == "r3"][-1] == "Another telling"
    assert len({(item.native_id, item.title) for item in published}) == len(published)


async def test_before_kafka_was_ever_there_the_sender_is_told_to_send_again(redis_url: str, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_server, "ANSWER_WITHIN_S", 0.3)
    async with scraping(settings_of(f"127.0.0.1:{free_port()}", redis_url, names)) as desk:
        assert problem(await desk.post(row(1)), 503, "send it again").headers["retry-after"] == "5"


async def test_while_redis_is_away_the_sender_is_told_to_send_again_and_then_nothing_is_published_twice(kafka_address: str, names: Names, tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    async with scraping(settings_of(kafka_address, await server.start(), names)) as desk:
        assert (await desk.post(row(1))).json()["accepted"] == 1
        await server.stop()
        problem(await desk.post(row(1), row(2)), 503, "Redis")
        await server.start()

        async def taken() -> bool:
            return (await desk.post(row(1), row(2))).status_code == 200

        await until(taken, within_s=30)
        assert sorted(item.native_id for item in await desk.published()) == ["r1", "r2"]
    await server.stop()


async def test_who_waits_when_the_scraper_stops_is_told_to_send_again(redis_url: str, names: Names) -> None:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        async with scraping(settings_of(f"127.0.0.1:{free_port()}", redis_url, names)) as desk:
            address = f"http://127.0.0.1:{desk.settings.intake_port}{PATH}"
            waiting = asyncio.create_task(client.post(address, content=lines(row(1)), headers=desk.client.headers))
            await until(lambda: desk.inbox._posts.qsize() == 1, within_s=20)
            began_s = monotonic_s()
        problem(await waiting, 503, "closing")
    assert monotonic_s() - began_s < 5


async def test_the_polling_goes_on_without_the_intake_and_its_state_tells(kafka_address: str, redis_url: str, names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_module, "IDLE_S", 0.1)
    body = b"<rss version='2.0'><channel><item><guid>https://n.example/%d</guid><title>News %d</title></item></channel></rss>"
    async with Site(rss=Page(body % (1, 1))) as site:
        settings = settings_of(kafka_address, redis_url, names, sources=[Feed(url=site.at("rss"), name="rss", interval_s=0.2)])
        async with scraping(settings) as desk:
            await desk.post(row(1))
            (server,) = [task for task in asyncio.all_tasks() if task.get_name() == "intake server"]
            server.cancel()
            await until(lambda: _failed(desk), within_s=20)
            site.pages["rss"] = Page(body % (2, 2))
            await until(lambda: _polled(desk, "News 2"), within_s=30)


async def _failed(desk: Desk) -> bool:
    health = await desk.health()
    return health is not None and health.failures > 0 and "HTTP server has ended" in health.last_error


async def _polled(desk: Desk, title: str) -> bool:
    return any(document.title == title for document in await desk.published())


async def test_a_taken_port_is_one_clear_line_at_the_start(kafka_address: str, redis_url: str, names: Names) -> None:
    settings = settings_of(kafka_address, redis_url, names, scraper_port=0)
    async with scraping(settings):
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{settings.intake_port} for posted documents: .*; set `intake_port`"):
            await run_scraper(settings)


async def test_fields_of_another_form_are_told_at_the_start(kafka_address: str, redis_url: str, names: Names) -> None:
    with pytest.raises(ConfigError, match="headline"):
        await run_scraper(settings_of(kafka_address, redis_url, names, scraper_port=0, intake_fields="headline"))
