from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from opinion.clock import monotonic_s
from opinion.errors import PageChanged, SourceWalled
from opinion.records import Precision
from scrapers.build import exchange_symbol
from scrapers.source import Response
from scrapers.wire import beijing, epoch, json_of
from tests.support.records import NOON

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)


def body(text: str, **headers: str) -> Response:
    return Response(url="https://a.example/x", headers=headers, body=text.encode(), fetched_at=NOON)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        ' \ufeff{"a": 1} ',
        'cb({"a": 1});',
        'jQuery1.2_3( {"a": 1} )',
        'try{cb({"a": 1});}catch(e){};',
        'var newest = {"a": 1};',
        'window.__x={"a":1}',
    ],
)
def test_json_is_taken_out_of_what_it_is_wrapped_in(text: str) -> None:
    assert json_of(body(text), dict[str, int]) == {"a": 1}


def test_bad_escapes_are_read_as_they_stand() -> None:
    assert json_of(body(r'{"a": "50\% of \u12 it"}'), dict[str, Any]) == {"a": r"50\% of \u12 it"}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", PageChanged),
        ("nothing", PageChanged),
        ('{"a": ', PageChanged),
        ('{"a": "x"}', PageChanged),
        ("[" * 100_000, PageChanged),
        ("<!DOCTYPE html><title>Login</title>", SourceWalled),
        ("<html>", SourceWalled),
    ],
)
def test_anything_else_is_an_error_of_the_source(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        json_of(body(text), dict[str, int])


def test_a_challenge_is_a_wall_whatever_it_says() -> None:
    with pytest.raises(SourceWalled):
        json_of(body('{"a": 1}', **{"cf-mitigated": "challenge"}), dict[str, int])


@pytest.mark.parametrize("text", ["a({})" + " " * 100_000 + "x", "a(" + "{" * 100_000, "var a = {}" + ";" * 100_000 + "x", "try{a({});}catch(e){" + " " * 100_000, "a" * 100_000])
def test_what_is_made_to_cost_time_costs_none(text: str) -> None:
    began_s = monotonic_s()
    with pytest.raises(PageChanged):
        json_of(body(text), dict[str, int])
    assert monotonic_s() - began_s < 1


@pytest.mark.parametrize(
    ("raw", "instant", "precision"),
    [
        ("2026-11-20 09:30:00", "2026-11-20T01:30:00+00:00", Precision.SECOND),
        ("2026-11-20T09:30", "2026-11-20T01:30:00+00:00", Precision.MINUTE),
        ("2026年11月20日 09:30", "2026-11-20T01:30:00+00:00", Precision.MINUTE),
        ("2026年11月20日09:30", "2026-11-20T01:30:00+00:00", Precision.MINUTE),
        ("2026/1/2 00:05:09", "2026-01-01T16:05:09+00:00", Precision.SECOND),
        ("2026-11-20", "2026-11-19T16:00:00+00:00", Precision.DAY),
    ],
)
def test_a_clock_in_china_is_eight_hours_ahead(raw: str, instant: str, precision: Precision) -> None:
    at, found = beijing(raw, fetched_at=AT)
    assert at is not None
    assert (at.isoformat(), found) == (instant, precision)


@pytest.mark.parametrize("raw", ["", "2026-1-123:45", "2026-13-20 09:30", "2026-11-20 25:00", "1983-01-01", "2026-11-25 09:30:00", "2026-11-20 09:30 CST"])
def test_what_is_no_clock_is_no_instant(raw: str) -> None:
    assert beijing(raw, fetched_at=AT) == (None, None)


@pytest.mark.parametrize(("raw", "unit_s"), [("1795405800", 1.0), (1795405800000, 1e-3), ("1795405800000000", 1e-6)])
def test_epochs_are_counted_in_their_unit(raw: float | str, unit_s: float) -> None:
    at, _ = epoch(raw, fetched_at=AT, unit_s=unit_s)
    assert at == datetime(2026, 11, 23, 3, 50, tzinfo=UTC)


@pytest.mark.parametrize("raw", [None, "", "soon", "nan", "inf", 1e300, -5, 0, 4e9])
def test_what_is_no_epoch_is_no_instant(raw: float | str | None) -> None:
    assert epoch(raw, fetched_at=AT) == (None, None)


@pytest.mark.parametrize(
    ("raw", "symbol"),
    [("sh600519", "XSHG:600519"), ("600519.SS", "XSHG:600519"), ("sz.000001", "XSHE:000001"), ("bj430047", "XBSE:430047"), ("00700.hk", "XHKG:00700")],
)
def test_a_listing_is_written_our_way(raw: str, symbol: str) -> None:
    assert exchange_symbol(raw) == symbol


@pytest.mark.parametrize("raw", ["", "600519", "sh60051", "hk600519", "sh６００５１９", "us.AAPL", "sh600519x"])
def test_what_names_no_listing_is_left_out(raw: str) -> None:
    assert exchange_symbol(raw) is None
