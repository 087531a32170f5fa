"""What one receiver is spared: tries at once, tries a minute, tries while it fails or asked for a pause. Rules on times that are passed in."""

from __future__ import annotations

from enum import Enum

from alerts.breaker import OPEN_S, Breaker
from alerts.pace import Pace

MOST_AT_ONCE = 8
"""Tries at the same time of a receiver that has shown to be quick."""
FEW_AT_ONCE = 2
"""The same of one that is slow, or of which nothing is known yet: should it hang, it holds no more."""
SLOW_S = 1.0
"""A receiver whose last answer took longer, or one of whose tries is under way for longer, is slow. Usual answers take tenths of a second."""
RECHECK_S = 1.0
"""Who has no room until a try ends is looked at again after this long at the latest."""


class Answer(Enum):
    """What a try said about the receiver."""

    WORKS = "works"
    FAILS = "fails"
    LIMITED = "limited"  # it works, and wants less
    NOTHING = "nothing"  # the try was cut off, or the fault is ours


class Endpoint:
    """One receiver, as this process has seen it. A new process knows nothing and begins with care.

    At once: FEW ──each quick answer adds one──▶ MOST; a slow or failed one halves it, down to FEW or one.
    """

    def __init__(self) -> None:
        self.breaker = Breaker()
        self._at_once = FEW_AT_ONCE
        self._running: dict[str, float] = {}  # delivery id -> when its try began
        self._last_took_s = 0.0
        self._paused_until_s = 0.0
        self._pace = Pace()

    @property
    def running(self) -> int:
        """Tries under way."""
        return len(self._running)

    def is_slow(self, now_s: float) -> bool:
        """Whether its tries are to be counted among those that take long."""
        return self._last_took_s > SLOW_S or any(now_s - began_s > SLOW_S for began_s in self._running.values())

    def room(self, now_s: float, *, rate_per_min: float | None) -> int:
        """How many tries may begin now."""
        if now_s < self._paused_until_s or self.breaker.is_open(now_s):
            return 0
        if not self.breaker.closed:
            return 0 if self._running else 1
        at_once = min(self._at_once, FEW_AT_ONCE) if self.is_slow(now_s) else self._at_once
        room = at_once - self.running
        return max(0, room if rate_per_min is None else min(room, self._pace.room(rate_per_min, now_s=now_s)))

    def wait_s(self, now_s: float, *, rate_per_min: float | None) -> float:
        """How long there is no room for certain, where there is none."""
        paced_s = 0.0 if rate_per_min is None else self._pace.wait_s(rate_per_min, now_s=now_s)
        waits_s = max(self._paused_until_s - now_s, self.breaker.open_until_s - now_s, paced_s)
        return waits_s if waits_s > 0 else RECHECK_S

    def began(self, delivery_id: str, *, now_s: float, rate_per_min: float | None) -> None:
        """A try has begun."""
        self._running[delivery_id] = now_s
        if rate_per_min is not None:
            self._pace.started(now_s=now_s)

    def ended(self, delivery_id: str, answer: Answer, *, now_s: float, pause_s: float | None = None, open_s: float = OPEN_S) -> None:
        """A try has ended. `pause_s`: the receiver asked to be left alone for so long; `open_s`: how long an open breaker refuses."""
        took_s = now_s - self._running.pop(delivery_id)
        if answer is Answer.NOTHING:
            return
        self._last_took_s = took_s
        if answer is not Answer.LIMITED:
            self.breaker = self.breaker.after(succeeded=answer is Answer.WORKS, now_s=now_s, open_s=open_s)
        if answer is Answer.WORKS and took_s <= SLOW_S:
            self._at_once = min(self._at_once + 1, MOST_AT_ONCE)
        else:
            self._at_once = max(FEW_AT_ONCE if answer is Answer.WORKS else 1, self._at_once // 2)
        if pause_s:
            self._paused_until_s = max(self._paused_until_s, now_s + pause_s)
