"""Alerts and deliveries as they stand, for people and the API."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.clock import epoch_ms
from opinion.codec import decode, encode
from opinion.errors import StoreUnavailable
from opinion.names import Names
from opinion.records import Alert, Marks

KEEP = timedelta(days=30)
"""How long a settled alert can be looked at; the log itself is Kafka."""

_SAVE = """
local held = redis.call('HGET', KEYS[1], 'sequence')
if held and tonumber(held) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'alert', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


_marks = msgspec.json.Decoder(Marks)


class AlertStore:
    """The newest transition of every alert.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names

    async def save(self, alert: Alert) -> None:
        """Keep a transition, unless a newer one is kept."""
        keep_s = int(KEEP.total_seconds())
        try:
            await self._redis.eval(_SAVE, 1, self._names.alert(alert.alert_id), alert.sequence, encode(alert), keep_s)
            changed_ms = epoch_ms(alert.updated_at)
            await self._redis.zadd(self._names.alerts_index, {alert.alert_id: changed_ms})
            await self._redis.zremrangebyscore(self._names.alerts_index, "-inf", changed_ms - keep_s * 1000)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take an alert: {error}") from error

    async def get(self, alert_id: str) -> Alert | None:
        """The newest transition of an alert."""
        try:
            value, marks = cast("list[bytes | None]", await self._redis.hmget(self._names.alert(alert_id), ["alert", "marks"]))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give an alert: {error}") from error
        if value is None:
            return None
        return _marks.decode(marks or b"{}").on(decode(value, Alert))

    async def marks(self, alert_id: str) -> Marks:
        """What people left on an alert."""
        try:
            value = cast("bytes | None", await self._redis.hget(self._names.alert(alert_id), "marks"))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the marks of an alert: {error}") from error
        return _marks.decode(value or b"{}")

    async def newest(self, *, limit: int, status: str | None = None, subject: str | None = None) -> list[Alert]:
        """At most `limit` alerts, those changed last first, of one status or subject where asked."""
        try:
            ids = cast("list[bytes]", await self._redis.zrevrange(self._names.alerts_index, 0, -1))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not list alerts: {error}") from error
        found: list[Alert] = []
        for alert_id in ids:
            alert = await self.get(alert_id.decode())
            if alert is not None and status in {None, alert.status.value} and subject in {None, alert.subject}:
                found.append(alert)
            if len(found) == limit:
                break
        return found
