from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from alerts.notify.quiet import QuietHours, check, quiet_until
from opinion.errors import ConfigError
from opinion.records import Severity

NIGHT = QuietHours(start="22:00", end="07:00", timezone="Asia/Shanghai")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-23T13:59", None),  # 21:59 in Shanghai
        ("2026-11-23T14:00", "2026-11-23T23:00"),
        ("2026-11-23T20:00", "2026-11-23T23:00"),
        ("2026-11-23T23:00", None),
    ],
)
def test_quiet_is_local_time_and_runs_over_midnight(now: str, until: str | None) -> None:
    assert quiet_until(NIGHT, at=at(now), severity=Severity.HIGH) == (None if until is None else at(until))


def test_the_worst_alerts_wake_unless_nothing_may() -> None:
    assert quiet_until(NIGHT, at=at("2026-11-23T14:00"), severity=Severity.CRITICAL) is None
    deaf = QuietHours(start="22:00", end="07:00", wake_for=None)
    assert quiet_until(deaf, at=at("2026-11-23T23:00"), severity=Severity.CRITICAL) == at("2026-11-24T07:00")
    assert quiet_until(None, at=at("2026-11-23T14:00"), severity=Severity.WARNING) is None


def test_a_quiet_weekend_ends_on_monday() -> None:
    weekend = QuietHours(start="00:00", end="00:00", days=[6, 7])
    assert quiet_until(weekend, at=at("2026-11-28T10:00"), severity=Severity.HIGH) == at("2026-11-30T00:00")
    assert quiet_until(weekend, at=at("2026-11-30T00:00"), severity=Severity.HIGH) is None


def test_clocks_that_change_do_not_make_a_night_longer_than_its_hours() -> None:
    london = QuietHours(start="22:00", end="07:00", timezone="Europe/London")
    assert quiet_until(london, at=at("2026-10-24T22:00"), severity=Severity.HIGH) == at("2026-10-25T07:00")  # summer time ends: 07:00 is 07:00 UTC
    assert quiet_until(london, at=at("2026-10-23T22:00"), severity=Severity.HIGH) == at("2026-10-24T06:00")


@pytest.mark.parametrize("changes", [{"start": "25:00"}, {"end": "7"}, {"timezone": "Mars/Base"}, {"timezone": "../etc"}, {"days": []}, {"days": [0]}])
def test_hours_that_there_are_not_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        check(QuietHours(**({"start": "22:00", "end": "07:00"} | changes)))
