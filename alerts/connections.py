"""Connections to receivers: each host has its own, so that one that takes long takes nobody's."""

from __future__ import annotations

from collections import OrderedDict

import httpx

from opinion.addresses import GuardedTransport
from opinion.clock import monotonic_s

FORGOTTEN_AFTER_S = 60.0
"""Hosts not called for so long, longer than any call takes, keep no connection."""

_Origin = tuple[str, str, int | None]


class Connections(httpx.AsyncBaseTransport):
    """A transport with a pool for each scheme, host and port; to public addresses only, unless `allow_private`.

    httpcore 1.0 walks through all connections of a pool for each idle one at each request: in one pool, two hundred idle ones cost 6 ms a request
    (measured, 2026-11-28).
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._tls = httpx.create_ssl_context(trust_env=allow_private)
        self._pools: OrderedDict[_Origin, tuple[GuardedTransport, float]] = OrderedDict()  # least recently called first, and when

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The answer to a request; errors are those of httpx, and AddressRefused."""
        origin = (request.url.scheme, request.url.host, request.url.port)
        now_s = monotonic_s()
        pool, _ = self._pools.pop(origin, (None, 0.0))
        if pool is None:
            pool = GuardedTransport(allow_private=self._allow_private, most_connections=None, tls=self._tls)  # who calls bounds them: nobody waits here
        self._pools[origin] = (pool, now_s)
        await self._forget(now_s - FORGOTTEN_AFTER_S)
        return await pool.handle_async_request(request)

    async def aclose(self) -> None:
        """Close all connections."""
        while self._pools:
            _, (pool, _) = self._pools.popitem()
            await pool.aclose()

    async def _forget(self, before_s: float) -> None:
        while self._pools and next(iter(self._pools.values()))[1] < before_s:
            _, (pool, _) = self._pools.popitem(last=False)
            await pool.aclose()
