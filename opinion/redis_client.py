"""How every process reaches Redis."""

from __future__ import annotations

from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import ResponseError

POOL_SIZE = 32
"""Connections of one process; callers wait for a free one instead of failing."""
TIMEOUT_S = 5.0
"""Longest wait for an answer. Scripts here take milliseconds."""
FORGETS_S = 5.0
"""A Redis that dies may forget what it was told in the last second or two (`appendfsync everysec`), and a replica that takes its place, too."""


class BeganAnew(ResponseError):
    """The command was not sent: it would have reached a Redis that was not met before, restarted or another one, which may have forgotten the last seconds."""


class Runs:
    """The runs of Redis that a client has met. The first command to reach a new one fails, so that nothing is built on what it may have forgotten."""

    def __init__(self) -> None:
        self._known: set[str] = set()  # behind some proxies there are several
        self.anew = 0
        """How often a new one was met, the first not counted."""

    async def meet(self, connection: Any) -> None:
        """Prepare a new connection.

        Errors:
            BeganAnew: it leads to a run that was not met before.
        """
        await connection.on_connect()
        await connection.send_command("INFO", "server")
        try:
            said = await connection.read_response()
        except ResponseError:
            return  # INFO is forbidden to us
        run = next((line.partition(":")[2].strip() for line in _text(said).splitlines() if line.startswith("run_id:")), "")
        if run in self._known:
            return
        first = not self._known
        self._known.add(run)
        if not first:
            self.anew += 1
            raise BeganAnew("Redis began anew: what it was told last is told again first")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def connect(url: str, *, runs: Runs | None = None) -> Redis:
    """A client of the server at `url` that answers bytes; nothing is sent before the first command. `runs` is told of each connection."""
    pool = BlockingConnectionPool.from_url(
        url, max_connections=POOL_SIZE, timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, redis_connect_func=None if runs is None else runs.meet
    )
    return Redis.from_pool(pool)  # the client owns the pool, and closes it
