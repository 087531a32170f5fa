from __future__ import annotations

from datetime import UTC, datetime

import pytest

from alerts.console.look import Look, look_of


@pytest.mark.parametrize(
    ("query", "cookies", "accept", "lang"),
    [
        ({}, {}, "", "en"),
        ({}, {}, "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ({}, {}, "fr, de;q=0.9", "en"),
        ({}, {}, "en;q=0.4, zh-TW;q=0.6", "zh"),
        ({}, {}, "zh;q=nonsense", "en"),
        ({}, {"yuqing_lang": "zh"}, "en", "zh"),
        ({"lang": "en"}, {"yuqing_lang": "zh"}, "zh", "en"),
        ({"lang": "tlh"}, {"yuqing_lang": "tlh"}, "zh", "zh"),
    ],
)
def test_the_address_goes_before_the_cookie_and_the_cookie_before_the_browser(query: dict[str, str], cookies: dict[str, str], accept: str, lang: str) -> None:
    assert look_of(query, cookies, accept_language=accept).lang == lang


@pytest.mark.parametrize("zone", ["", "Mars/Base", "../../etc/passwd", "/etc/passwd", "x" * 500, "\x00", "Asia"])
def test_a_time_zone_that_is_none_is_utc(zone: str) -> None:
    assert look_of({}, {"yuqing_zone": zone}, accept_language="").zone == "UTC"


def test_instants_are_shown_and_read_in_the_readers_time_zone() -> None:
    look = Look(zone="Asia/Shanghai")
    at = datetime(2026, 11, 23, 20, 30, tzinfo=UTC)
    assert f"{look.local(at):%m-%d %H:%M}" == "11-24 04:30"
    assert look.aware(datetime(2026, 11, 24, 4, 30)) == at  # noqa: DTZ001 - as a form says it
    assert look.aware(at) == at
