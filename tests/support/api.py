"""The API of an alerter on real Redis, without the rest of the alerter; in the test's loop, or served from a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from alerts.acts import ActStore
from alerts.api.access import Access
from alerts.api.app import build_api
from alerts.api.parts import Parts
from alerts.archive import Archive
from alerts.delivery_queue import DeliveryQueue
from alerts.live import Live
from alerts.notifier import Notifier
from alerts.rank_store import RankStore
from alerts.silence_store import SilenceStore
from alerts.store import AlertStore
from alerts.subscriptions import SubscriptionStore
from opinion.clock import SystemClock
from opinion.metrics import AlerterMetrics
from opinion.names import Names
from opinion.redis_client import connect
from opinion.telling_settings import TokenSetting
from opinion.windows import WindowStore

TOKENS = {"admin": "hush", "operate": "hush-hush-hush-operate", "read": "hush-hush-hush-read"}


def bearer(scope: str = "admin") -> dict[str, str]:
    """The header of a token."""
    return {"authorization": f"Bearer {TOKENS[scope]}"}


@asynccontextmanager
async def api_parts(redis_url: str, names: Names, folder: Path, *, rate_per_min: int = 100_000) -> AsyncIterator[Parts]:
    """What an API speaks for, with an empty archive."""
    redis, registry, clock = connect(redis_url), CollectorRegistry(), SystemClock()
    AlerterMetrics(registry)
    queue, subscriptions = DeliveryQueue(redis, names, clock=clock), SubscriptionStore(redis, names)
    silences, alerts = SilenceStore(redis, names, clock=clock), AlertStore(redis, names)
    archive = Archive(folder / "documents.db", keep=timedelta(days=30))
    await archive.open()
    others = [TokenSetting(name=scope, token=SecretStr(TOKENS[scope]), scope=scope) for scope in ("read", "operate")]
    yield Parts(
        alerts=alerts,
        acts=ActStore(redis, names, alerts=alerts),
        archive=archive,
        live=Live(),
        subscriptions=subscriptions,
        silences=silences,
        queue=queue,
        notifier=Notifier(redis, names, queue=queue, subscriptions=subscriptions, silences=silences, inhibitions=[], clock=clock),
        ranks=RankStore(redis, names),
        windows=WindowStore(redis, names),
        redis=redis,
        names=names,
        registry=registry,
        access=Access(TOKENS["admin"], others, rate_per_min=rate_per_min),
        status=_nothing,
        sources=_nothing,
        ready=lambda: True,
        clock=clock,
        wall=clock,
    )
    archive.close()
    await redis.aclose()


@asynccontextmanager
async def served(parts: Parts, *, port: int = 0) -> AsyncIterator[str]:
    """The address of an API and its console, served in this loop."""
    server = uvicorn.Server(uvicorn.Config(build_api(parts), host="127.0.0.1", port=port, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


@contextmanager
def served_api(redis_url: str, names: Names, folder: Path) -> Iterator[str]:
    """The address of an API that runs in a thread, for clients that wait."""
    ready, address = threading.Event(), list[str]()
    servers = list[uvicorn.Server]()

    async def serve() -> None:
        async with api_parts(redis_url, names, folder) as parts:
            server = uvicorn.Server(uvicorn.Config(build_api(parts), host="127.0.0.1", port=0, log_level="warning", lifespan="off"))
            servers.append(server)
            serving = asyncio.create_task(server.serve())
            while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells nobody
                await asyncio.sleep(0.01)
            address.append(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
            ready.set()
            await serving

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="api")
    thread.start()
    try:
        assert ready.wait(20)
        yield address[0]
    finally:
        servers[0].should_exit = True
        thread.join(timeout=20)


async def _nothing() -> dict[str, Any]:
    return {}
