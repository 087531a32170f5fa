"""Which of several alerters decides: a lease in Redis with a fencing token."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.clock import monotonic_s
from opinion.errors import StoreUnavailable
from opinion.names import Names
from opinion.tasks import end, together

log = structlog.get_logger()

LEASE_S = 12.0
"""A dead leader is replaced after this long."""
RENEWALS = 3
"""How often a lease is renewed before it would run out."""

_TAKE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_GIVE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Leadership:
    """A lease that one process holds at a time.

    standby ──hold() True──▶ leading ──lease runs out or another took it──▶ standby
    """

    def __init__(self, redis: Redis, names: Names, *, lease_s: float = LEASE_S) -> None:
        self._redis = redis
        self._names = names
        self.lease_s = lease_s
        self._me = uuid.uuid4().hex
        self._until_s = 0.0
        self.token = 0
        self.stands_by = False
        """Whether another process led when the lease was last asked for."""

    async def hold(self) -> bool:
        """Take or renew the lease; False while another process holds it.

        Errors:
            StoreUnavailable: Redis does not answer (retryable).
        """
        asked_s = monotonic_s()
        was_leading = self.leading
        try:
            taken = await self._redis.eval(_TAKE, 1, self._names.leader, self._me, int(self.lease_s * 1000))
            if taken and not was_leading:
                self.token = int(await self._redis.incr(self._names.leader_token))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not answer about the leader: {error}") from error
        self._until_s = asked_s + self.lease_s if taken else 0.0
        self.stands_by = not taken
        return bool(taken)

    @property
    def leading(self) -> bool:
        """Whether the lease is held for certain: counted from before it was asked for."""
        return monotonic_s() < self._until_s

    async def release(self) -> None:
        """Give the lease up at once, so that a standby need not wait for it to run out."""
        self._until_s = 0.0
        try:
            await self._redis.eval(_GIVE, 1, self._names.leader, self._me)
        except RedisError:
            return  # it runs out by itself


async def lead(leadership: Leadership, work: Callable[[], list[tuple[str, Coroutine[Any, Any, Any]]]]) -> None:
    """Hold the lease, and do a leader's work, by name, while it is held, until cancelled. Work that ends by itself is begun anew.

    A Redis that is silent for less than the lease interrupts nothing.
    """
    working: asyncio.Task[None] | None = None
    try:
        while True:
            try:
                await leadership.hold()
            except StoreUnavailable as error:
                log.warning("the lease was not renewed, trying again", error=str(error))
            if working is not None and (working.done() or not leadership.leading):
                log.warning("the leader's work has ended, beginning it anew" if leadership.leading else "no longer leading")
                await end(working)
                working = None
            if leadership.leading and working is None:
                log.info("leading", token=leadership.token)
                working = asyncio.create_task(_logged(work), name="leading")
            await asyncio.sleep(leadership.lease_s / RENEWALS)
    finally:
        if working is not None:
            await end(working)


async def _logged(work: Callable[[], list[tuple[str, Coroutine[Any, Any, Any]]]]) -> None:
    try:
        await together(work())
    except Exception:
        log.exception("a leader's work failed in a way nobody thought of")
