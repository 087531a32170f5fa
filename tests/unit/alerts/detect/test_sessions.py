from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.detect.series import Ints
from alerts.detect.sessions import MARKETS, holidays, market_of, slots_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what exchange_calendars uses of pandas is on its way out

NATIONAL_DAY, THANKSGIVING = "2026-10-01", "2025-11-27"  # both Thursdays
THURSDAY, SUNDAY = 3, 6


def hours_of(day: str) -> Ints:
    begin = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) // 3600
    return np.arange(begin, begin + 24)


def weekdays(day: str, subject: str) -> set[int]:
    return set((slots_of(hours_of(day), market_of(subject)) // 24).tolist())


@pytest.mark.parametrize("subject", ["entity:XSHG:600519", "entity:XSHE:000001", "entity:XBSE:430047"])
def test_national_day_is_like_a_sunday_for_companies_listed_in_china(subject: str) -> None:
    assert weekdays(NATIONAL_DAY, subject) == {SUNDAY}
    assert weekdays(THANKSGIVING, subject) == {THURSDAY}


@pytest.mark.parametrize("subject", ["entity:XNYS:KO", "entity:XNAS:AAPL", "entity:XASE:IMO"])
def test_thanksgiving_is_like_a_sunday_for_companies_listed_in_america(subject: str) -> None:
    assert weekdays(THANKSGIVING, subject) == {SUNDAY}
    assert weekdays(NATIONAL_DAY, subject) == {THURSDAY}


@pytest.mark.parametrize("subject", ["topic:Macro", "topic:XSHG:600519", "entity:XDEM:HSRY", "entity:", "entity", "", "watch:XNYS:KO"])
def test_topics_and_companies_of_no_known_market_keep_plain_weekdays(subject: str) -> None:
    assert market_of(subject) == ""
    assert weekdays(NATIONAL_DAY, subject) == weekdays(THANKSGIVING, subject) == {THURSDAY}


def test_trading_days_and_weekends_keep_their_weekday() -> None:
    assert weekdays("2025-11-26", "entity:XNYS:KO") == {2}
    assert weekdays("2025-11-29", "entity:XNYS:KO") == {5}
    assert weekdays("2025-11-30", "entity:XNYS:KO") == {SUNDAY}


def test_a_holiday_s_hours_stay_in_their_order() -> None:
    assert slots_of(hours_of(NATIONAL_DAY), "XSHG").tolist() == list(range(SUNDAY * 24, 7 * 24))


def test_all_of_golden_week_is_closed_but_the_weekend_is_none_of_its_holidays() -> None:
    found = {str(np.datetime64(day, "D")) for day in holidays("XSHG", 2026)}
    assert {"2026-10-01", "2026-10-02", "2026-10-05", "2026-10-06", "2026-10-07"} <= found
    assert not {"2026-10-03", "2026-10-04", "2026-10-08"} & found


@pytest.mark.parametrize("year", [1971, 2100])
def test_years_beyond_the_calendar_have_no_holidays(year: int) -> None:
    assert holidays("XNYS", year) == frozenset()
    assert weekdays(f"{year}-01-01", "entity:XNYS:KO") == weekdays(f"{year}-01-01", "topic:Macro")


def test_every_market_has_a_calendar() -> None:
    for market in sorted(set(MARKETS.values())):
        assert 3 <= len(holidays(market, 2025)) <= 30, market


def test_a_week_has_a_slot_an_hour_from_monday_on() -> None:
    monday = int(datetime(2026, 11, 16, tzinfo=UTC).timestamp()) // 3600
    assert slots_of(np.arange(monday, monday + 168), "").tolist() == list(range(168))


@given(st.lists(st.integers(0, 1_000_000), max_size=20))
def test_slots_are_hours_of_a_week_whatever_the_hour(hours: list[int]) -> None:
    found = slots_of(np.array(hours, np.int64), "")
    assert [(int(slot) // 24, int(slot) % 24) for slot in found] == [(at.weekday(), at.hour) for at in (datetime.fromtimestamp(3600 * hour, UTC) for hour in hours)]
    assert all(0 <= slot < 168 for slot in slots_of(np.array(hours, np.int64), "XNYS").tolist())


def test_hours_given_in_any_order_keep_their_places() -> None:
    hours = np.concatenate([hours_of(THANKSGIVING), hours_of("2025-11-26")])
    assert (slots_of(hours, "XNYS") // 24).tolist() == [SUNDAY] * 24 + [2] * 24
