from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scrapers.rhythm import KNOWN_H, MOST_HOURS, SLOTS, STRANGE, Rhythm, expected, is_strange, watched

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)


def learned(*, days: int, per_hour: dict[str, int]) -> Rhythm:
    """Watched from Monday on: so many new documents in each hour of the office (weekdays, 1 to 9 h UTC), of the night, of weekends."""
    found, at = Rhythm(), MONDAY
    while at < MONDAY + timedelta(days=days):
        part = "weekend" if at.weekday() >= 5 else "office" if 1 <= at.hour < 9 else "night"
        found = watched(found, since=at, until=at + HOUR - timedelta(seconds=1), documents=per_hour[part])
        at += HOUR
    return found


OFFICE = learned(days=21, per_hour={"office": 12, "night": 0, "weekend": 0})


@pytest.mark.parametrize(
    ("since_h", "until_h", "strange"),
    [
        (21 * 24 + 2, 21 * 24 + 2.25, False),  # a quarter of an hour on a Monday morning
        (21 * 24 + 2, 21 * 24 + 3.5, True),  # an hour and a half
        (21 * 24 + 9, 21 * 24 + 24, False),  # a night
        (18 * 24 + 9, 21 * 24, False),  # a weekend
        (18 * 24 + 9, 21 * 24 + 3, True),  # a weekend, and Monday morning too
    ],
)
def test_silence_is_strange_when_the_source_always_spoke(since_h: float, until_h: float, strange: bool) -> None:
    assert is_strange(OFFICE, since=MONDAY + since_h * HOUR, until=MONDAY + until_h * HOUR) == strange


def test_expected_documents_are_those_of_the_hours() -> None:
    assert expected(OFFICE, since=MONDAY + 21 * 24 * HOUR + HOUR, until=MONDAY + 21 * 24 * HOUR + 9 * HOUR) == pytest.approx(8 * 12, rel=0.2)
    assert expected(OFFICE, since=MONDAY + 21 * 24 * HOUR + 10 * HOUR, until=MONDAY + 21 * 24 * HOUR + 20 * HOUR) < STRANGE


def test_what_is_hardly_known_is_never_strange() -> None:
    found = Rhythm()
    for minute in range(0, int(KNOWN_H * 60) - 60, 30):
        found = watched(found, since=MONDAY + timedelta(minutes=minute), until=MONDAY + timedelta(minutes=minute + 30), documents=50)
    assert not is_strange(found, since=MONDAY + timedelta(days=1), until=MONDAY + timedelta(days=3))


def test_a_source_of_few_documents_may_be_quiet_for_days() -> None:
    rare = learned(days=28, per_hour={"office": 0, "night": 0, "weekend": 0})
    for day in range(28):
        rare = watched(rare, since=MONDAY + timedelta(days=day), until=MONDAY + timedelta(days=day), documents=1)
    assert not is_strange(rare, since=MONDAY + timedelta(days=28), until=MONDAY + timedelta(days=32))


@given(st.lists(st.tuples(st.integers(0, 400), st.floats(0, 50), st.integers(0, 500)), max_size=60))
def test_memory_is_bounded_and_rates_are_kept(stretches: list[tuple[int, float, int]]) -> None:
    found = Rhythm()
    for hour, length_h, documents in stretches:
        found = watched(found, since=MONDAY + hour * HOUR, until=MONDAY + (hour + length_h) * HOUR, documents=documents)
    assert len(found.told) == len(found.heard_h) == SLOTS
    assert max(found.heard_h) <= MOST_HOURS
    assert min(found.told) >= 0


@given(st.integers(0, 500), st.integers(0, 300), st.integers(0, 300))
def test_what_is_expected_adds_up(first: int, middle: int, last: int) -> None:
    at = MONDAY + timedelta(days=21, minutes=first)
    inner, end = at + timedelta(minutes=middle), at + timedelta(minutes=middle + last)
    whole = expected(OFFICE, since=at, until=end)
    assert whole == pytest.approx(expected(OFFICE, since=at, until=inner) + expected(OFFICE, since=inner, until=end), abs=1e-9)
