"""A circuit breaker per endpoint, as a pure value."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

OPENS_AFTER = 5
"""Failures in a row that open it."""
OPEN_S = 60.0
"""How long an open breaker refuses before one try is let through."""


class Breaker(Struct, frozen=True):
    """closed ──failures in a row──▶ open ──time passes──▶ half-open ──success──▶ closed, ──failure──▶ open."""

    failures: int = 0
    open_until_s: float = 0.0

    @property
    def closed(self) -> bool:
        """Whether tries are made freely."""
        return self.failures < OPENS_AFTER

    def is_open(self, now_s: float) -> bool:
        """Whether it refuses now (monotonic seconds); neither closed nor open, it is half-open: one try shall tell."""
        return not self.closed and now_s < self.open_until_s

    def after(self, *, succeeded: bool, now_s: float, open_s: float = OPEN_S) -> Breaker:
        """The breaker after a try."""
        if succeeded:
            return Breaker()
        failures = self.failures + 1
        return replace(self, failures=failures, open_until_s=now_s + open_s if failures >= OPENS_AFTER else 0.0)
