"""A bridge to brokers that ask for a login, go away, or are not there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis

from opinion.names import Names
from opinion.redis_client import connect
from scrapers import listen_kafka
from tests.support.guarded_kafka import PASSWORD, USER, GuardedKafka
from tests.support.scraping import Desk, desk
from tests.support.servers import Servers
from tests.support.topic import numbers, row, topic
from tests.support.workers import until
from yuqing.embedded.process import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
def raw(names: Names) -> str:
    """Name of a topic of this test's own."""
    return f"{names.namespace}.raw"


@pytest.fixture
def desk_of(kafka_address: str, redis_url: str, redis: Redis, names: Names, raw: str) -> Any:
    def made(**options: str) -> Desk:
        return desk("kafka", kafka=kafka_address, redis_url=redis_url, redis=redis, names=names, **{"servers": kafka_address, "topic": raw} | options)

    return made


@pytest.fixture(scope="module")
def guarded(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    """A broker of somebody else's, that asks for a login at its second port."""
    found = GuardedKafka(tmp_path_factory.mktemp("guarded"))
    servers.run(found.start())
    yield found
    servers.run(found.stop())


async def test_a_login_lets_us_in(desk_of: Any, guarded: GuardedKafka, raw: str) -> None:
    found: Desk = desk_of(servers=guarded.guarded, start="earliest", username=USER, password=PASSWORD, tls="no")
    async with topic(guarded.address, raw) as foreign:
        await foreign.write(row(1))
        async with found.scraping():
            assert numbers(await found.told(1)) == [1]


@pytest.mark.parametrize(
    ("options", "outcome", "words"),
    [
        ({"password": "wrong-word"}, "source_walled", "the login is refused, or the topic is not for us: SaslAuthenticationFailed"),
        ({"mechanism": "SCRAM-SHA-256"}, "source_walled", "the login is refused, or the topic is not for us: UnsupportedSaslMechanismError"),
        ({"tls": "yes"}, "source_unavailable", "no broker answers: "),
        ({"tls": "/nowhere/ours.pem"}, "source_unavailable", "the certificates that `tls` names cannot be read: FileNotFoundError"),
    ],
    ids=["password", "mechanism", "tls", "certificates"],
)
async def test_a_login_that_does_not_fit_is_told_without_its_secrets(
    desk_of: Any, guarded: GuardedKafka, raw: str, options: dict[str, str], outcome: str, words: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    found: Desk = desk_of(**{"servers": guarded.guarded, "username": USER, "password": PASSWORD, "tls": "no"} | options)
    async with found.scraping():
        await until(lambda: found.ended(outcome), within_s=30, every_s=0.05)
        await until(lambda: found.redis.hexists(found.settings.names.sources, "desk"), within_s=5)
        health = await found.health()
    assert health.last_error.startswith(f"kafka://{guarded.guarded}/{raw}: {words}")
    printed = "".join([*capfd.readouterr(), caplog.text])
    assert words in printed
    assert PASSWORD not in printed
    assert "wrong-word" not in printed


async def test_a_broker_that_goes_away_is_waited_for(desk_of: Any, guarded: GuardedKafka, servers: Servers, raw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scrapers.stream.IDLE_S", 1.0)
    monkeypatch.setattr(listen_kafka, "REQUEST_MS", 2_000)
    found: Desk = desk_of(servers=guarded.address, start="earliest")
    async with topic(guarded.address, raw) as foreign:
        await foreign.write(row(0), row(1))
    async with found.scraping():
        await found.told(2)
        await asyncio.to_thread(servers.run, guarded.stop())
        await until(lambda: found.ended("source_unavailable") >= 2, within_s=30, every_s=0.1)
        assert (await found.health()).last_error == f"kafka://{guarded.address}/{raw}: no broker answers: ConnectionRefusedError"
        await asyncio.to_thread(servers.run, guarded.start())
        async with topic(guarded.address, raw, partitions=0) as foreign:
            await foreign.write(row(2))
        documents = await found.told(3, within_s=60)
    assert numbers(documents) == [0, 1, 2]
    assert found.metric("gaps") == 0


async def test_a_topic_that_is_not_there_is_told_and_found_once_it_is(desk_of: Any, kafka_address: str, raw: str) -> None:
    found: Desk = desk_of(start="earliest")
    async with topic(kafka_address, raw, partitions=0) as foreign, found.scraping():
        await until(lambda: found.ended("source_unavailable"), within_s=20, every_s=0.05)
        await until(lambda: found.redis.hexists(found.settings.names.sources, "desk"), within_s=5)
        assert (await found.health()).last_error == f"kafka://{kafka_address}/{raw}: there is no such topic, or it is not for us to see"
        await foreign.make()
        await foreign.write(row(1))
        await found.told(1)


async def test_brokers_that_are_not_there_are_told(desk_of: Any, raw: str) -> None:
    port = free_port()
    found: Desk = desk_of(servers=f"127.0.0.1:{port}")
    async with found.scraping():
        await until(lambda: found.ended("source_unavailable") >= 2, within_s=20, every_s=0.05)
        health = await found.health()
    assert health.last_error == f"kafka://127.0.0.1:{port}/{raw}: no broker answers: ConnectionRefusedError"
