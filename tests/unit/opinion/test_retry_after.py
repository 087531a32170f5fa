from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest

from opinion.retry_after import LONGEST_WAIT_S, retry_after_s, until_s
from tests.support.records import NOON


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("120", 120),
        ("1.5", 1.5),
        ("-5", 0),
        ("999999999", LONGEST_WAIT_S),
        ("9" * 400, LONGEST_WAIT_S),
        ("soon", None),
        ("1e3", None),
        (format_datetime(NOON + timedelta(seconds=60), usegmt=True), 60),
        ("Monday, 23-Nov-26 12:01:00 GMT", 60),
        ("Mon Nov 23 12:01:00 2026", 60),
        ("Mon, 23 Nov 2020 12:01:00 GMT", 0),
        ("Mon, 99 Nov 2026 12:01:00 GMT", None),
    ],
)
def test_retry_after_in_every_form(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, now=NOON) == seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (str(int(NOON.timestamp()) + 60), 60),
        (str(int(NOON.timestamp()) - 60), 0),
        ("9" * 400, LONGEST_WAIT_S),
        ("60", 0),
        ("soon", None),
        ("²", None),
        ("", None),
        (None, None),
    ],
)
def test_a_reset_is_an_instant(value: str | None, seconds: float | None) -> None:
    assert until_s(value, now=NOON) == seconds
