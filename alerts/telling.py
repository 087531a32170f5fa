"""What a leader does beside looking at the windows: transitions become deliveries, and these reach their receivers."""

from __future__ import annotations

import asyncio

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from alerts.announce import announce
from alerts.deliver import Deliverer
from alerts.notifier import Notifier
from opinion.errors import StoreUnavailable
from opinion.names import Names
from opinion.tasks import together

log = structlog.get_logger()

RETRY_S = 2.0
RESTART_LOOK_S = 1.0
"""How often Redis is asked whether it is still the one that it was."""


class _BeganAnew(Exception):
    """Redis is another one, or was restarted."""


class Telling:
    """Transitions from Kafka to receivers.

    run() until cancelled: groups restored ──▶ transitions taken, groups looked at ──Redis began anew──▶ groups restored, last transitions taken again

    A Redis that was killed may have lost the last second or two, and a replica that took its place too: what is remembered here would be ahead of it.
    """

    def __init__(self, redis: Redis, names: Names, *, kafka: str, notifier: Notifier, deliverer: Deliverer) -> None:
        self._redis = redis
        self._names = names
        self._kafka = kafka
        self._notifier = notifier
        self._deliverer = deliverer
        self._known: set[str] = set()  # runs of Redis that were heard of: behind some proxies there are several, and that is no restart

    async def run(self) -> None:
        """Tell until cancelled; unreachable servers are waited for."""
        await together([("deliver", self._deliverer.run()), ("notify", self._notify())])

    async def _notify(self) -> None:
        while True:
            try:
                self._known.add(await self._server())
                await self._notifier.restore()
                await together([("announce", announce(self._kafka, self._names, enqueue=self._notifier.take)), ("groups", self._notifier.run()), ("redis-watch", self._watch())])
            except _BeganAnew:
                log.warning("Redis began anew: the last transitions are taken once more")
            except StoreUnavailable as error:
                log.warning("deliveries wait for Redis", error=str(error))
                await asyncio.sleep(RETRY_S)

    async def _watch(self) -> None:
        """Raise when Redis is one that was not heard of before."""
        while True:
            await asyncio.sleep(RESTART_LOOK_S)
            try:
                found = await self._server()
            except StoreUnavailable:
                continue
            if found not in self._known:
                raise _BeganAnew

    async def _server(self) -> str:
        """What names this run of this server; nothing where it does not say."""
        try:
            return str((await self._redis.info("server")).get("run_id", ""))
        except ResponseError:
            return ""  # INFO is forbidden to us
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say who it is: {error}") from error
