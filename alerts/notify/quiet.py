"""Hours in which a receiver wants to be left alone. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct, field

from opinion.errors import ConfigError
from opinion.records import Severity

ALL_DAYS = [1, 2, 3, 4, 5, 6, 7]
_RANK = list(Severity)


class QuietHours(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From `start` to `end` of every named day, local time; an end before the start is the next morning's."""

    start: str  # HH:MM
    end: str  # HH:MM; the same as the start: the whole day
    timezone: str = "UTC"  # IANA name
    days: list[int] = field(default_factory=lambda: list(ALL_DAYS))  # ISO weekdays on which quiet begins, Monday 1
    wake_for: Severity | None = Severity.CRITICAL  # at least so severe is told all the same; None: nothing is


def check(quiet: QuietHours) -> None:
    """Raise ConfigError for hours, days or a zone that there are not."""
    _zone(quiet)
    for text in (quiet.start, quiet.end):
        _time(text)
    if not quiet.days or any(day not in ALL_DAYS for day in quiet.days):
        raise ConfigError("quiet hours: days are numbers from 1 (Monday) to 7")


def quiet_until(quiet: QuietHours | None, *, at: datetime, severity: Severity) -> datetime | None:
    """When the quiet ends that an alert of this severity would break; None where it may be told now."""
    if quiet is None or (quiet.wake_for is not None and _RANK.index(severity) >= _RANK.index(quiet.wake_for)):
        return None
    zone = _zone(quiet)
    local = at.astimezone(zone)
    start, end = _time(quiet.start), _time(quiet.end)
    for back in (1, 0):
        day = local.date() - timedelta(days=back)
        if day.isoweekday() not in quiet.days:
            continue
        begins = datetime.combine(day, start, zone)
        ends = datetime.combine(day + timedelta(days=int(end <= start)), end, zone)
        if begins <= local < ends:
            return _chained(quiet, ends.astimezone(at.tzinfo))
    return None


def _chained(quiet: QuietHours, ends: datetime) -> datetime:
    """Where one quiet night runs into the next day, its end is the last one's: at most a week on."""
    for _ in range(len(ALL_DAYS)):
        local = ends.astimezone(_zone(quiet))
        if local.isoweekday() not in quiet.days or local.time() != _time(quiet.start):
            return ends
        day = local.date() + timedelta(days=int(_time(quiet.end) <= _time(quiet.start)))
        ends = datetime.combine(day, _time(quiet.end), local.tzinfo).astimezone(ends.tzinfo)
    return ends


def _time(text: str) -> time:
    try:
        return datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of day has no zone
    except ValueError as error:
        raise ConfigError(f"quiet hours: {text!r} is no time of day like 22:30") from error


def _zone(quiet: QuietHours) -> ZoneInfo:
    try:
        return ZoneInfo(quiet.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"quiet hours: there is no time zone {quiet.timezone!r}") from error
