from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from alerts.alerter import run_alerter
from alerts.subscriptions import new_key
from opinion.clock import epoch_ms
from opinion.names import Names
from opinion.redis_client import connect
from opinion.settings import Settings, load_settings
from tests.support.receiver import Receiver
from tests.support.surging_day import SUBJECT, publish, surging_day
from tests.support.workers import environment, until, worker
from yuqing.embedded.process import free_port

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = connect(redis_url)
    yield client
    await client.aclose()


def settings_for(*, kafka: str, redis_url: str, names: Names, folder: Path, receiver: Receiver, secret: str) -> Settings:
    subscription = f'[{{"name": "desk", "url": "{receiver.url}", "secret": "{secret}", "subjects": ["entity:*"]}}]'
    port = free_port()
    variables = {
        "YUQING_KAFKA": kafka,
        "YUQING_REDIS": redis_url,
        "YUQING_NAMESPACE": names.namespace,
        "YUQING_DATA_DIR": str(folder),
        "YUQING_API_PORT": str(port),
        "YUQING_SUBSCRIPTIONS": subscription,
        "YUQING_ALLOW_PRIVATE_WEBHOOKS": "true",
        "YUQING_TICK_INTERVAL_S": "0.5",
        "YUQING_API_TOKEN": "hush",
    }
    return load_settings(variables)


async def test_surge_is_told_once_by_a_signed_webhook_and_survives_a_restart(kafka_address: str, redis_url: str, redis: Redis, names: Names, tmp_path: Path) -> None:
    secret = new_key()
    await publish(kafka_address, names, surging_day(datetime.now(UTC)))
    async with Receiver() as receiver, worker(environment(kafka=kafka_address, redis_url=redis_url, names=names)):
        settings = settings_for(kafka=kafka_address, redis_url=redis_url, names=names, folder=tmp_path, receiver=receiver, secret=secret)
        alerter = asyncio.create_task(run_alerter(settings))
        await until(lambda: receiver.received, within_s=60)
        assert receiver.received[0].verified_by(secret)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.api_port}", headers={"authorization": "Bearer hush"}, trust_env=False) as api:
            (alert,) = (await api.get("/api/v1/alerts", params={"subject": SUBJECT})).json()["alerts"]
            await until(lambda: _is_shown_firing(api), within_s=30)  # the look that told it ends after it was told
        assert alert["status"] in {"firing", "updated"}
        assert alert["window"]["negative"] >= 5
        assert alert["evidence"]
        told = [item.headers["webhook-id"] for item in receiver.received]
        assert len(told) == len(set(told))
        alerter.cancel()
        await asyncio.gather(alerter, return_exceptions=True)
        again = asyncio.create_task(run_alerter(settings))
        begun_ms = epoch_ms(datetime.now(UTC))
        await until(lambda: _looked_again(redis, names, begun_ms), within_s=30)
        assert [item.headers["webhook-id"] for item in receiver.received][: len(told)] == told
        firing = [item for item in receiver.received if b'"alert.firing"' in item.body and SUBJECT.encode() in item.body]
        assert len(firing) == 1
        again.cancel()
        await asyncio.gather(again, return_exceptions=True)


async def _is_shown_firing(api: httpx.AsyncClient) -> bool:
    families = {family.name: family for family in text_string_to_metric_families((await api.get("/metrics")).text)}
    return sum(sample.value for sample in families["yuqing_alerts_firing"].samples) >= 1


async def _looked_again(redis: Redis, names: Names, begun_ms: int) -> bool:
    """Whether the second alerter leads and has saved its state after it began."""
    token = int(await redis.get(names.leader_token) or 0)
    return token >= 2 and epoch_ms(datetime.now(UTC)) > begun_ms + 3000


async def test_one_that_stands_by_is_ready_and_sees_as_much(kafka_address: str, redis_url: str, names: Names, tmp_path: Path) -> None:
    """A load balancer gives requests to both, and a rolling update waits until each is ready."""
    async with Receiver() as receiver, worker(environment(kafka=kafka_address, redis_url=redis_url, names=names)):
        settings = [settings_for(kafka=kafka_address, redis_url=redis_url, names=names, folder=tmp_path / name, receiver=receiver, secret=new_key()) for name in ("a", "b")]
        for one in settings:
            one.data_dir.mkdir()
        alerters = [asyncio.create_task(run_alerter(one)) for one in settings]
        try:
            async with httpx.AsyncClient(headers={"authorization": "Bearer hush"}, trust_env=False) as api:
                seen = [_Seen(api, f"http://127.0.0.1:{one.api_port}") for one in settings]
                await until(lambda: _all(one.ready() for one in seen), within_s=60)
                await until(lambda: _all(one.watermark() for one in seen), within_s=60)
                assert sorted([await one.leads() for one in seen]) == [False, True]
        finally:
            for alerter in alerters:
                alerter.cancel()
            await asyncio.gather(*alerters, return_exceptions=True)


class _Seen:
    """What an alerter says of itself."""

    def __init__(self, api: httpx.AsyncClient, url: str) -> None:
        self._api, self._url = api, url

    async def ready(self) -> bool:
        try:
            return (await self._api.get(f"{self._url}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    async def watermark(self) -> bool:
        return (await self._api.get(f"{self._url}/api/v1/status")).json()["watermark"] is not None

    async def leads(self) -> bool:
        found: bool = (await self._api.get(f"{self._url}/api/v1/status")).json()["leading"]
        return found


async def _all(asked: Iterable[Awaitable[bool]]) -> bool:
    return all([await one for one in asked])
