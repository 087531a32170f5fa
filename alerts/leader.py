"""Which of several alerters decides: a lease in Redis with a fencing token."""

from __future__ import annotations

import uuid

from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.clock import monotonic_s
from opinion.errors import StoreUnavailable
from opinion.names import Names

LEASE_S = 12.0
"""A dead leader is replaced after this long; renewed at every tick, which is 5 s."""

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

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._me = uuid.uuid4().hex
        self._until_s = 0.0
        self.token = 0

    async def hold(self) -> bool:
        """Take or renew the lease; False while another process holds it.

        Errors:
            StoreUnavailable: Redis does not answer (retryable).
        """
        asked_s = monotonic_s()
        was_leading = self.leading
        try:
            taken = await self._redis.eval(_TAKE, 1, self._names.leader, self._me, int(LEASE_S * 1000))
            if taken and not was_leading:
                self.token = int(await self._redis.incr(self._names.leader_token))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not answer about the leader: {error}") from error
        self._until_s = asked_s + LEASE_S if taken else 0.0
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
