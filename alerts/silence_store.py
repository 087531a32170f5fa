"""Silences in Redis, kept for a while after they end so that people can see who silenced what."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.notify.silences import Silence
from opinion.clock import Clock
from opinion.errors import StoreUnavailable
from opinion.names import Names

log = structlog.get_logger()

KEEP = timedelta(days=5)
"""As long as Alertmanager keeps expired ones."""

_silence = msgspec.json.Decoder(Silence)


class SilenceStore:
    """All silences of an installation.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names, *, clock: Clock) -> None:
        self._redis = redis
        self._names = names
        self._clock = clock

    async def all(self) -> list[Silence]:
        """Every silence that is on, to come, or ended lately; by when they end."""
        try:
            values = cast("dict[bytes, bytes]", await self._redis.hgetall(self._names.silences))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the silences: {error}") from error
        read = [_read(key.decode(), value) for key, value in values.items()]
        found = sorted((silence for silence in read if silence is not None), key=lambda silence: (silence.ends_at, silence.id))
        gone = [silence.id for silence in found if silence.ends_at < self._clock.now() - KEEP]
        if gone:
            await self._drop(gone)
        return [silence for silence in found if silence.id not in gone]

    async def get(self, wanted: str) -> Silence | None:
        """The silence of this id."""
        return next((silence for silence in await self.all() if silence.id == wanted), None)

    async def put(self, silence: Silence) -> None:
        """Add or replace."""
        try:
            await self._redis.hset(self._names.silences, silence.id, msgspec.json.encode(silence))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take a silence: {error}") from error

    async def expire(self, wanted: str) -> Silence | None:
        """End a silence now; as it is then, None where there is none."""
        found = await self.get(wanted)
        now = self._clock.now()
        if found is None or found.ends_at <= now:
            return found
        ended = msgspec.structs.replace(found, ends_at=now, starts_at=min(found.starts_at, now))
        await self.put(ended)
        return ended

    async def _drop(self, ids: list[str]) -> None:
        try:
            await self._redis.hdel(self._names.silences, *ids)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not forget old silences: {error}") from error


def _read(wanted: str, value: bytes) -> Silence | None:
    """A stored silence; None where it is of a newer version: what it silences is told, rather than nothing."""
    try:
        return _silence.decode(value)
    except msgspec.MsgspecError as error:
        log.warning("a silence cannot be read and silences nothing", silence=wanted, error=str(error))
        return None
