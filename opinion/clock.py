"""What time it is, as a value that is passed in: the wall clock, a scaled one for replays, a manual one for tests."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH, _MS = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)


class Clock(Protocol):
    """Something that knows the time."""

    speed: float
    """Seconds of our time per second of wall time; 1 outside replays."""

    def now(self) -> datetime:
        """Aware UTC instant."""
        ...


class SystemClock:
    """The wall clock."""

    speed: float = 1.0

    def now(self) -> datetime:
        """Aware UTC instant of the machine."""
        return datetime.now(UTC)


class ScaledClock:
    """A clock that stood at `starts_at` when the wall clock stood at `wall_at`, and has run `speed` times as fast since.

    Several processes given the same three values agree, which is what a replay needs.
    """

    def __init__(self, *, wall_at: datetime, starts_at: datetime, speed: float) -> None:
        self.wall_at = wall_at
        self.starts_at = starts_at
        self.speed = speed

    def now(self) -> datetime:
        """Aware UTC instant of the replay."""
        return self.starts_at + (datetime.now(UTC) - self.wall_at) * self.speed


class ManualClock:
    """A clock that moves only when told to. For tests."""

    speed: float = 1.0

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        """The instant it was last set to."""
        return self._at

    def advance(self, delta: timedelta) -> None:
        """Move forward by `delta`."""
        self._at += delta


def monotonic_s() -> float:
    """Seconds on a clock that never steps back; only differences mean something."""
    return time.monotonic()


def epoch_ms(at: datetime) -> int:
    """Milliseconds since 1970, rounded down.

    >>> epoch_ms(datetime(1970, 1, 1, 0, 0, 1, 999, tzinfo=UTC))
    1000
    """
    return (at - _EPOCH) // _MS


def from_epoch_ms(ms: int) -> datetime:
    """The aware UTC instant `ms` milliseconds after 1970.

    >>> from_epoch_ms(1000).isoformat()
    '1970-01-01T00:00:01+00:00'
    """
    return _EPOCH + timedelta(milliseconds=ms)
