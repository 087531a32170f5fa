"""How every process reaches Redis."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis

POOL_SIZE = 32
"""Connections of one process; callers wait for a free one instead of failing."""
TIMEOUT_S = 5.0
"""Longest wait for an answer. Scripts here take milliseconds."""


def connect(url: str) -> Redis:
    """A client of the server at `url` that answers bytes; nothing is sent before the first command."""
    pool = BlockingConnectionPool.from_url(url, max_connections=POOL_SIZE, timeout=TIMEOUT_S, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
    return Redis.from_pool(pool)  # the client owns the pool, and closes it
