"""Which weekday an hour is like: an exchange's holidays are like Sundays for the companies listed there."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np

from alerts.detect.series import Ints

MARKETS = {
    **dict.fromkeys(("XNYS", "XNAS", "XASE", "ARCX", "BATS"), "XNYS"),
    **dict.fromkeys(("XSHG", "XSHE", "XBSE", "BJSE"), "XSHG"),
    **{mic: mic for mic in ("XHKG", "XLON", "XTKS", "XPAR", "XETR", "XSWX", "XAMS", "XTSE", "XASX", "XKRX", "XTAI", "XSES")},
}
"""Calendars by market (ISO 10383), where they are kept."""
SLOTS, DAY_H, SUNDAY = 168, 24, 6
_EPOCH_WEEKDAY = 3
"""1970 began on a Thursday; Monday is 0."""


def market_of(subject: str) -> str:
    """The calendar that a subject lives by, or "" for none: a company's by the market in its id.

    >>> market_of("entity:XSHE:000001"), market_of("topic:Macro")
    ('XSHG', '')
    """
    kind, _, rest = subject.partition(":")
    return MARKETS.get(rest.partition(":")[0], "") if kind == "entity" else ""


def slots_of(hours: Ints, market: str) -> Ints:
    """The hour of the week (0 is Monday, 0 h UTC) that each hour since 1970 is like."""
    days = hours // DAY_H
    weekday = (days + _EPOCH_WEEKDAY) % 7
    if market and len(hours):
        unique, where = np.unique(days, return_inverse=True)
        off = np.array([day in holidays(market, _year(day)) for day in unique.tolist()])
        weekday = np.where(off[where].reshape(days.shape), SUNDAY, weekday)
    slots: Ints = weekday * DAY_H + hours % DAY_H
    return slots


@lru_cache(maxsize=256)
def holidays(market: str, year: int) -> frozenset[int]:
    """Weekdays of a year (days since 1970) on which the market was or will be closed; none for years that the calendar does not cover.

    Source: the calendars of the package exchange_calendars, whose own zone is of the day meant; UTC days stand in for it here.
    """
    import exchange_calendars  # noqa: PLC0415 - a second and 60 MB: only who judges counts of companies waits for it

    first, last = np.datetime64(f"{year}-01-01", "D"), np.datetime64(f"{year}-12-31", "D")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it still calls what pandas 4 will not have
        calendar = exchange_calendars.get_calendar(market)
    covered = np.datetime64(calendar.first_session.date(), "D"), np.datetime64(calendar.last_session.date(), "D")
    first, last = max(first, covered[0]), min(last, covered[1])
    if last < first:
        return frozenset()
    days = np.arange(first, last + 1).astype(np.int64)
    open_days = set(calendar.sessions_in_range(str(first), str(last)).to_numpy().astype("datetime64[D]").astype(np.int64).tolist())
    return frozenset(day for day in days.tolist() if (day + _EPOCH_WEEKDAY) % 7 < SUNDAY - 1 and day not in open_days)


def _year(day: int) -> int:
    return int(np.datetime64(day, "D").astype("datetime64[Y]").astype(np.int64)) + 1970
