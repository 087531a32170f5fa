"""How far the windows are complete, and whether the eyes are open: pure rules over the workers' progress marks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from msgspec import Struct

from opinion.clock import epoch_ms, from_epoch_ms

DEAD_AFTER_S = 20.0
"""A partition nobody has reported on for this long has no worker: what it holds back is unknown."""
REPLAY_IDLE_S = 6.0
"""In a replay a partition is idle only after this much wall time without a record: polls come in bursts."""


class Mark(Struct, frozen=True):
    """Progress of one partition of one topic, as its worker last reported it."""

    partition: str  # `topic-partition`
    event_ms: int | None  # newest event time worked on; None before the first record
    behind: int  # records not yet worked on
    moved_ms: int  # wall time of the last progress, or of the first look
    reported_ms: int  # wall time of the report


class Watermark(Struct, frozen=True):
    """Event time up to which the windows are complete. `at` is None until every partition has spoken."""

    at: datetime | None
    blind: tuple[str, ...] = ()  # partitions without a live worker
    behind: int = 0  # records not yet worked on, all partitions


def watermark(marks: Iterable[Mark], *, now: datetime, wall: datetime, speed: float = 1.0, expected: int = 0) -> Watermark:
    """The minimum over partitions of the newest event time; caught-up partitions follow the clock.

    Live (`speed` 1) a partition that has nothing waiting is complete up to its worker's last report. In a replay, where
    documents come in bursts, it holds at its newest event until it has been idle for REPLAY_IDLE_S of wall time.
    `expected` is how many partitions there are; fewer reports leave the watermark unknown.
    """
    instants: list[datetime] = []
    blind: list[str] = []
    behind = 0
    unknown = False
    seen = 0
    for mark in marks:
        seen += 1
        behind += mark.behind
        silent_s = (epoch_ms(wall) - mark.reported_ms) / 1000
        if silent_s > DEAD_AFTER_S:
            blind.append(mark.partition)
        at = _complete_until(mark, now=now, wall=wall, speed=speed, dead=silent_s > DEAD_AFTER_S)
        if at is None:
            unknown = True
        else:
            instants.append(at)
    if unknown or not instants or seen < expected:
        return Watermark(None, tuple(sorted(blind)), behind)
    return Watermark(min(instants), tuple(sorted(blind)), behind)


def _complete_until(mark: Mark, *, now: datetime, wall: datetime, speed: float, dead: bool) -> datetime | None:
    newest = None if mark.event_ms is None else from_epoch_ms(mark.event_ms)
    if dead or mark.behind > 0:
        return newest
    reported = now - timedelta(milliseconds=max(0, epoch_ms(wall) - mark.reported_ms)) * speed
    if speed == 1.0:
        return reported if newest is None else max(newest, reported)
    idle_ms = mark.reported_ms - mark.moved_ms
    if idle_ms < REPLAY_IDLE_S * 1000:
        return newest
    safe = reported - timedelta(seconds=REPLAY_IDLE_S) * speed
    return safe if newest is None else max(newest, safe)
