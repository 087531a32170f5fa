"""What people do to an alert: take it on, give it to somebody, write on it, have it muted. Seen at once, told by the leader as a transition.

act ──▶ marks on the stored alert, and a place in the list ──next tick of the leader──▶ transition in Kafka ──▶ told
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import cast

import msgspec
import structlog
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.store import AlertStore
from opinion.errors import ConfigError, StoreUnavailable
from opinion.names import Names, digest
from opinion.records import Alert, AlertNote, AlertStatus, Instant, Marks, TransitionReason

log = structlog.get_logger()

MOST_NOTES = 20
MOST_TEXT_CHARS = 1_000
MOST_NAME_CHARS = 100


class ActKind(StrEnum):
    """What can be done."""

    ACKNOWLEDGE = "acknowledge"
    ASSIGN = "assign"
    NOTE = "note"
    MUTE = "mute"
    UNMUTE = "unmute"


_REASONS = {
    ActKind.ACKNOWLEDGE: TransitionReason.ACKNOWLEDGED,
    ActKind.ASSIGN: TransitionReason.ASSIGNED,
    ActKind.NOTE: TransitionReason.NOTED,
    ActKind.MUTE: TransitionReason.MUTED,
    ActKind.UNMUTE: TransitionReason.UNMUTED,
}


class Act(Struct, frozen=True, kw_only=True):
    """One of them."""

    alert_id: str
    kind: ActKind
    by: str
    at: Instant
    to: str = ""  # to whom it is assigned
    text: str = ""  # a note, with any act

    @property
    def id(self) -> str:
        """What tells it from others."""
        return "act_" + digest(msgspec.json.encode(self).decode(), chars=16)

    @property
    def reason(self) -> TransitionReason:
        """Why the alert is told again."""
        return _REASONS[self.kind]


class AlertOver(ConfigError):
    """The alert has ended: there is nothing to take on any more."""


def act_of(alert_id: str, kind: ActKind, *, by: str, at: datetime, to: str = "", text: str = "") -> Act:
    """An act, checked.

    Errors:
        ConfigError: nobody did it, it is assigned to nobody, or a note says nothing.
    """
    by, to, text = by.strip()[:MOST_NAME_CHARS], to.strip()[:MOST_NAME_CHARS], text.strip()[:MOST_TEXT_CHARS]
    if not by:
        raise ConfigError("who does this? `by` is empty")
    if kind is ActKind.ASSIGN and not to:
        raise ConfigError("to whom? `to` is empty")
    if kind is ActKind.NOTE and not text:
        raise ConfigError("a note says something: `text` is empty")
    return Act(alert_id=alert_id, kind=kind, by=by, at=at, to=to, text=text)


def marked(marks: Marks, act: Act) -> Marks:
    """The marks after an act; doing the same again changes nothing."""
    replace = msgspec.structs.replace
    if act.text and (note := AlertNote(by=act.by, at=act.at, text=act.text)) not in marks.notes:
        marks = replace(marks, notes=[*marks.notes, note][-MOST_NOTES:])
    if act.kind is ActKind.ACKNOWLEDGE and marks.acknowledged_by is None:
        return replace(marks, acknowledged_by=act.by, acknowledged_at=act.at)
    if act.kind is ActKind.ASSIGN:
        return replace(marks, assigned_to=act.to)
    if act.kind in (ActKind.MUTE, ActKind.UNMUTE):
        return replace(marks, muted=act.kind is ActKind.MUTE)
    return marks


class ActStore:
    """Acts in Redis.

    Errors of every method:
        StoreUnavailable: Redis does not answer (retryable; doing it again changes nothing).
    """

    def __init__(self, redis: Redis, names: Names, *, alerts: AlertStore) -> None:
        self._redis = redis
        self._names = names
        self._alerts = alerts

    async def do(self, act: Act) -> Alert | None:
        """The alert as it is after the act; None where there is none.

        Errors:
            AlertOver: it has ended; a note may still be written.
        """
        alert = await self._alerts.get(act.alert_id)
        if alert is None:
            return None
        over = alert.status == AlertStatus.RESOLVED
        if over and act.kind is not ActKind.NOTE:
            raise AlertOver(f"alert {act.alert_id} ended at {alert.ended_at:%Y-%m-%d %H:%M} UTC")
        told = not over and alert.sequence > 0  # while an alert is pending nobody heard of it: its first transition will carry the marks
        before = await self._alerts.marks(act.alert_id)
        marks = marked(before, act)
        if marks == before:
            return marks.on(alert)
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.hset(self._names.alert(act.alert_id), "marks", msgspec.json.encode(marks))
                if told:
                    pipe.rpush(self._names.acts, msgspec.json.encode(act))
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take what was done to an alert: {error}") from error
        return marks.on(alert)

    async def waiting(self) -> list[Act | None]:
        """What the leader has not told of yet, oldest first; None for what a newer version did that this one does not know."""
        try:
            values = cast("list[bytes]", await self._redis.lrange(self._names.acts, 0, -1))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say what was done to alerts: {error}") from error
        return [_read(value) for value in values]

    async def told(self, count: int) -> None:
        """Take the oldest so many off the list."""
        try:
            await self._redis.ltrim(self._names.acts, count, -1)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take acts off its list: {error}") from error


def _read(value: bytes) -> Act | None:
    try:
        return msgspec.json.decode(value, type=Act)
    except msgspec.MsgspecError as error:
        log.warning("what was done to an alert cannot be read and is not told", error=str(error))
        return None
