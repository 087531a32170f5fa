"""At most so many a minute, whichever minute one looks at."""

from __future__ import annotations

from collections import deque


class Pace:
    """Remembers the starts of the last period. A token bucket would let twice the rate pass in one minute, for which some chats shut a sender out."""

    def __init__(self) -> None:
        self._starts: deque[float] = deque()

    def room(self, rate_per_min: float, *, now_s: float) -> int:
        """How many may start now.

        >>> Pace().room(20, now_s=0.0), Pace().room(0.5, now_s=0.0)
        (20, 1)
        """
        most, period_s = _period(rate_per_min)
        while self._starts and self._starts[0] <= now_s - period_s:
            self._starts.popleft()
        return max(0, most - len(self._starts))

    def wait_s(self, rate_per_min: float, *, now_s: float) -> float:
        """How long until one may start; 0 where one may."""
        if self.room(rate_per_min, now_s=now_s):
            return 0.0
        most, period_s = _period(rate_per_min)
        return self._starts[-most] + period_s - now_s

    def started(self, *, now_s: float) -> None:
        """One has started."""
        self._starts.append(now_s)


def _period(rate_per_min: float) -> tuple[int, float]:
    """A whole number of starts, and the seconds they are for: below one a minute, one in a longer time."""
    most = max(1, int(rate_per_min))
    return most, 60.0 * most / rate_per_min
