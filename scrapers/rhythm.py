"""How often a source brings something new, by the hour of day on weekdays and weekends: what makes its silence strange. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

SLOTS = 48
"""Hours of the day (UTC) of weekdays, then of weekends."""
MOST_HOURS = 40.0
"""A slot remembers so many watched hours: eight weeks of weekdays."""
UNSURE_H = 1.0
"""Silent hours that each slot is given beside those watched: what was hardly watched promises little."""
KNOWN_H = 24.0
"""Hours that a source must have been watched before its silence can be strange."""
STRANGE = 8.0
"""Documents that should have come meanwhile: as many usual gaps without one. Texts come in bursts, so three prove nothing."""
LONGEST = timedelta(days=7)
"""A silence is counted no further back."""
_NONE = (0.0,) * SLOTS


class Rhythm(Struct, frozen=True):
    """New documents and watched hours by slot."""

    told: tuple[float, ...] = _NONE
    heard_h: tuple[float, ...] = _NONE


def watched(rhythm: Rhythm, *, since: datetime, until: datetime, documents: int) -> Rhythm:
    """The rhythm after a stretch in which the source was watched and brought so many new documents; they count where the stretch ends."""
    hours = max(0.0, (until - since).total_seconds() / 3600)
    at = _slot(until)
    told, heard = list(rhythm.told), list(rhythm.heard_h)
    told[at], heard[at] = told[at] + documents, heard[at] + hours
    if heard[at] > MOST_HOURS:
        told[at], heard[at] = told[at] * MOST_HOURS / heard[at], MOST_HOURS
    return replace(rhythm, told=tuple(told), heard_h=tuple(heard))


def expected(rhythm: Rhythm, *, since: datetime, until: datetime) -> float:
    """New documents that usually come in a stretch of time, at least."""
    at, found = max(since, until - LONGEST), 0.0
    while at < until:
        end = min(until, at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1))
        slot = _slot(at)
        rate = rhythm.told[slot] / (rhythm.heard_h[slot] + UNSURE_H)
        found += rate * (end - at).total_seconds() / 3600
        at = end
    return found


def is_strange(rhythm: Rhythm, *, since: datetime, until: datetime) -> bool:
    """Whether a source that brought nothing new since then has fallen silent, as far as its past tells."""
    return sum(rhythm.heard_h) >= KNOWN_H and expected(rhythm, since=since, until=until) >= STRANGE


def _slot(at: datetime) -> int:
    return at.hour + (SLOTS // 2 if at.weekday() >= 5 else 0)
