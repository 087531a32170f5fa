from __future__ import annotations

import pytest

from opinion.settings import Settings
from yuqing.sight import is_blind, read_health, why_of


def test_why_is_the_example_of_a_source_in_the_commonest_state_without_its_address() -> None:
    rows = {
        "a": {"state": "walled", "last_error": "https://a.example/rss?..: answered 403"},
        "c": {"state": "waiting", "last_error": "https://c.example/rss: ConnectError: c.example does not resolve"},
        "b": {"state": "waiting", "last_error": "wss://b.example: OSError: b.example does not resolve"},
        "d": {"state": "ok", "last_error": ""},
        "e": {"state": "ok"},
        "f": {"state": "ok"},
    }
    assert why_of(rows) == "b: OSError: b.example does not resolve"


@pytest.mark.parametrize(
    ("error", "said"),
    [("no room: none left", "x: no room: none left"), ("KeyError (see the log)", "x: KeyError (see the log)"), ("https://x.example/a", "x: https://x.example/a"), ("", "")],
)
def test_why_keeps_an_error_without_an_address_whole(error: str, said: str) -> None:
    assert why_of({"x": {"state": "broken", "last_error": error}}) == said


def test_without_sources_nobody_is_called_blind() -> None:
    assert not is_blind({})
    assert not is_blind({"ok": 0.0, "silent": 0.0})
    assert is_blind({"ok": 0.0, "silent": 1.0})
    assert not is_blind({"partial": 1.0, "silent": 1.0})


async def test_health_is_empty_where_redis_does_not_answer(unused_tcp_port: int) -> None:
    assert await read_health(Settings(kafka=f"127.0.0.1:{unused_tcp_port}", redis=f"redis://127.0.0.1:{unused_tcp_port}/0")) == {}
