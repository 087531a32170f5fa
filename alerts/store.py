"""Alerts and deliveries as they stand, for people and the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import cast

import msgspec
import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.erasing import without_erased
from opinion.clock import epoch_ms
from opinion.codec import decode, encode
from opinion.erased import ErasedIds
from opinion.errors import RecordError, StoreUnavailable
from opinion.names import Names
from opinion.records import Alert, Marks

log = structlog.get_logger()

KEEP = timedelta(days=30)
"""How long a settled alert can be looked at; the log itself is Kafka."""

CHUNK = 200
"""Alerts that are read at a time while a page is filled."""

Place = tuple[int, str]
"""When an alert last changed (epoch milliseconds), and its id."""

_SAVE = """
local held = redis.call('HGET', KEYS[1], 'sequence')
local newest = tonumber(held or '-1')
if newest > tonumber(ARGV[1]) or (newest == tonumber(ARGV[1]) and newest > 0) then return 0 end
redis.call('HSET', KEYS[1], 'sequence', ARGV[1], 'alert', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


_marks = msgspec.json.Decoder(Marks)


class Wanted(Struct, frozen=True, kw_only=True):
    """Which alerts; what is None does not matter."""

    statuses: frozenset[str] | None = None
    subject: str | None = None
    severity: str | None = None
    since: datetime | None = None  # changed since
    before: Place | None = None  # the last one seen: those changed earlier follow
    limit: int = 50

    def fits(self, alert: Alert) -> bool:
        """Whether an alert is wanted."""
        status = self.statuses is None or alert.status.value in self.statuses
        return status and self.subject in {None, alert.subject} and self.severity in {None, alert.severity.value}


class AlertStore:
    """The newest transition of every alert, read without what is erased by now.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._erased = ErasedIds(redis, names)

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
        (found,) = await self._get_all([alert_id])
        return found

    async def shown(self, data: bytes) -> bytes:
        """A transition out of the log without what is erased by now.

        Errors:
            RecordError: it cannot be read, so nothing says what it quotes.
        """
        alert = decode(data, Alert)
        (shown,) = await without_erased([alert], self._erased)
        return data if shown is alert else encode(shown)

    async def marks(self, alert_id: str) -> Marks:
        """What people left on an alert."""
        try:
            value = cast("bytes | None", await self._redis.hget(self._names.alert(alert_id), "marks"))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the marks of an alert: {error}") from error
        return _marks.decode(value or b"{}")

    async def page(self, wanted: Wanted) -> list[tuple[Place, Alert]]:
        """The alerts that are wanted, those changed last first, each with its place in the list."""
        found: list[tuple[Place, Alert]] = []
        before = wanted.before
        while len(found) < wanted.limit:
            rows = await self._listed(before, since=wanted.since)
            for place, alert in zip(rows, await self._get_all([alert_id for _, alert_id in rows]), strict=True):
                if alert is not None and wanted.fits(alert):
                    found.append((place, alert))
            if len(rows) < CHUNK:
                break
            before = rows[-1]
        return found[: wanted.limit]

    async def newest(self, *, limit: int, status: str | None = None, subject: str | None = None) -> list[Alert]:
        """At most `limit` alerts, those changed last first, of one status or subject where asked."""
        wanted = Wanted(limit=limit, statuses=frozenset({status}) if status else None, subject=subject)
        return [alert for _, alert in await self.page(wanted)]

    async def _listed(self, before: Place | None, *, since: datetime | None) -> list[Place]:
        """Places after one, newest first; those of the same instant by falling id, as Redis has them."""
        top, low = "+inf" if before is None else str(before[0]), "-inf" if since is None else str(epoch_ms(since))
        try:
            skipped = 0 if before is None else await self._redis.zcount(self._names.alerts_index, top, top)
            rows = cast("list[tuple[bytes, float]]", await self._redis.zrevrangebyscore(self._names.alerts_index, top, low, withscores=True, start=0, num=CHUNK + skipped))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not list alerts: {error}") from error
        places = [(int(score), alert_id.decode()) for alert_id, score in rows]
        return [place for place in places if before is None or place < before][:CHUNK]

    async def _get_all(self, alert_ids: Sequence[str]) -> list[Alert | None]:
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for alert_id in alert_ids:
                    pipe.hmget(self._names.alert(alert_id), ["alert", "marks"])
                rows = cast("list[list[bytes | None]]", await pipe.execute())
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give alerts: {error}") from error
        read = {alert_id: _read(alert_id, value, marks) for alert_id, (value, marks) in zip(alert_ids, rows, strict=True) if value is not None}
        held = {alert_id: alert for alert_id, alert in read.items() if alert is not None}
        shown = dict(zip(held, await without_erased(list(held.values()), self._erased), strict=True))
        return [shown.get(alert_id) for alert_id in alert_ids]


def _read(alert_id: str, value: bytes, marks: bytes | None) -> Alert | None:
    """A stored alert; None where it was written by a version whose alerts this one cannot read: the others are shown all the same."""
    try:
        return _marks.decode(marks or b"{}").on(decode(value, Alert))
    except (RecordError, msgspec.MsgspecError) as error:
        log.warning("a stored alert cannot be read and is passed over", alert=alert_id, error=str(error))
        return None
