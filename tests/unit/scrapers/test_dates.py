from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from opinion.records import Precision
from scrapers.dates import read_date
from tests.support.records import NOON


def read(raw: str, *, fetched_at: datetime = NOON) -> str | None:
    at, precision = read_date(raw, fetched_at=fetched_at)
    assert (at is None) == (precision is None)
    if at is None:
        return None
    assert at.tzinfo is UTC
    return at.isoformat()


@pytest.mark.parametrize(
    "raw",
    [
        "Mon, 23 Nov 2026 09:30:00 GMT",
        "Mon, 23 Nov 2026 09:30:00 UT",
        "Mon, 23 Nov 2026 09:30:00 UTC",
        "Mon, 23 Nov 2026 09:30:00 Z",
        "Mon, 23 Nov 2026 17:30:00 +0800",
        "Mon, 23 Nov 2026 17:30:00 +08:00",
        "Mon, 23 Nov 2026 04:30:00 EST",
        "Mon, 23 Nov 2026 05:30:00 edt",
        "Mon, 23 Nov 2026 01:30:00 PST",
        "Mon, 23 Nov 2026 09:30:00.5 GMT",
        "mon, 23 nov 2026 09:30:00 gmt",
        "Monday, 23 November 2026 09:30:00 GMT",
        "Fri, 23 Nov 2026 09:30:00 GMT",  # on a Monday: the date is believed
        "23 Nov 2026 09:30:00 -0000",
        "23-Nov-2026 09:30:00 GMT",
        "\n  Mon,  23 Nov 2026 09:30:00 GMT\t",
        "Mon, 23 Nov 2026 09:30:00 +0000 (UTC)",
        "Mon, 23 Nov 2026 17:30:00 +0800 (China Standard Time)",
        "2026-11-23T09:30:00Z",
        "2026-11-23t09:30:00z",
        "2026-11-23 09:30:00Z",
        "2026-11-23 17:30:00 +0800",
        "2026-11-23T17:30:00+08:00",
        "2026-11-23T04:30:00.000-05:00",
        "2026-11-22T23:00:00-10:30",
    ],
)
def test_what_names_an_instant_is_read(raw: str) -> None:
    assert read(raw) == "2026-11-23T09:30:00+00:00"


@pytest.mark.parametrize(
    "raw",
    [
        "Mon, 23 Nov 2026 09:30:00 CST",  # Chicago or Shanghai
        "Mon, 23 Nov 2026 09:30:00 cst",
        "Mon, 23 Nov 2026 09:30:00 IST",  # Israel, India, Ireland
        "Mon, 23 Nov 2026 09:30:00 BST",
        "Mon, 23 Nov 2026 09:30:00 A",
        "Mon, 23 Nov 2026 09:30:00",
        "2026-11-23T09:30:00",
        "2026-11-23 09:30:00",
        "2026-11-23 09:30",
        "2026/11/23 09:30:00",
        "2026-11-23",
        "2026-11",
        "20260918T031500Z",
        "20260918031500",
        "1795431900",
        "1795431900.5",
        "1795431900000",
        "2026年11月20日 09:30",
        "11月20日 09:30",
        "今天 09:30",
        "5分钟前",
        "刚刚",
        "yesterday",
        "Tue Feb 23 12:28:47 +0800 2021",
        "Mon, 23 Nov 26 09:30:00 GMT",
        "2013-xx-27T09:30:00Z",
        "Mon, 23 Nov 2026 09:30:00 GMT Mon, 23 Nov 2026 09:30:00 GMT",
        "２０２６-11-23T09:30:00Z",
        "",
        " ",
        "0",
        "null",
        "x" * 100_000,
        "1" * 100_000,
    ],
)
def test_what_may_mean_another_instant_is_not_guessed(raw: str) -> None:
    assert read(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        "0000-00-00T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T09:30:60Z",
        "2026-11-23T09:30:00+99:99",
        "Mon, 00 Nov 2026 09:30:00 GMT",
        "Mon, 31 Nov 2026 09:30:00 GMT",
        "Mon, 23 Foo 2026 09:30:00 GMT",
        "Mon, 23 Nov 0000 09:30:00 GMT",
        "Mon, 23 Nov 2026 25:30:00 GMT",
    ],
)
def test_what_no_calendar_holds_is_no_date(raw: str) -> None:
    assert read(raw) is None


@pytest.mark.parametrize(("raw", "trusted"), [("1989-12-31T23:59:59Z", False), ("1990-01-01T00:00:00Z", True), ("1970-01-01T00:00:00Z", False), ("2015-06-01T08:00:00Z", True)])
def test_before_1990_nothing_was_published(raw: str, *, trusted: bool) -> None:
    assert (read(raw) is not None) == trusted


def test_a_clock_may_be_ten_minutes_ahead_and_no_more() -> None:
    assert read("2026-11-23T12:10:00Z") == "2026-11-23T12:10:00+00:00"
    assert read("2026-11-23T12:10:01Z") is None
    assert read("2027-11-23T12:00:00Z") is None


def test_the_future_is_counted_from_the_fetch() -> None:
    assert read("2026-11-23T12:10:01Z", fetched_at=NOON + timedelta(minutes=1)) is not None


@pytest.mark.parametrize(
    ("raw", "precision"),
    [
        ("Mon, 23 Nov 2026 09:30:00 GMT", Precision.SECOND),
        ("Mon, 23 Nov 2026 09:30 GMT", Precision.MINUTE),
        ("2026-11-23T09:30Z", Precision.MINUTE),
        ("2026-11-23T09:30:00.000000001Z", Precision.SECOND),
    ],
)
def test_the_precision_is_what_was_written(raw: str, precision: Precision) -> None:
    assert read_date(raw, fetched_at=NOON)[1] is precision


@pytest.mark.parametrize(("fraction", "microsecond"), [("5", 500_000), ("050", 50_000), ("123456", 123_456), ("999999999", 999_999)])
def test_fractions_of_a_second_are_kept_to_the_microsecond(fraction: str, microsecond: int) -> None:
    at, _ = read_date(f"2026-11-23T09:30:00.{fraction}Z", fetched_at=NOON)
    assert at is not None
    assert at.microsecond == microsecond
