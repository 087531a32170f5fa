from __future__ import annotations

import pytest

from alerts.console.addresses import changed, inner, outer, place


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", " https://a.example", "https://a.example/ b", "data:text/html,x", "vbscript:x", "//a.example", "/a",
        "https://", "https:///a", "http://user:word@a.example", 'https://a.example/"onmouseover="x', "https://a.example/<b>", "https://a.example:port/", "https://[::1/", "file:///etc",
        "https://a.example\\@b.example", "https://a.example/\u202egpj", "https://a.example/" + "a" * 2000, "", None,
    ],
)  # fmt: skip
def test_what_is_no_plain_address_of_the_web_becomes_no_link(url: str | None) -> None:
    assert outer(url) is None


@pytest.mark.parametrize("url", ["http://a.example", "https://a.example:8443/p?q=1&r=%20#f", "https://例子.example/新闻"])
def test_addresses_of_the_web_do(url: str) -> None:
    assert outer(url) == url


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "evil", "/a\nset-cookie: x", "", None, "/" + "a" * 3000])
def test_nobody_is_sent_elsewhere(path: str | None) -> None:
    assert inner(path, otherwise="/here") == "/here"


def test_parts_of_a_path_cannot_become_another_path() -> None:
    assert place("subjects", "topic:a/../../x?y#z") == "/subjects/topic:a%2F..%2F..%2Fx%3Fy%23z"
    assert place("documents", subject="a&b=c", q=None, kind="") == "/documents?subject=a%26b%3Dc"


def test_a_query_is_changed_and_the_rest_stays() -> None:
    assert changed("/a?x=1&y=2&y=3", y="4", z="5", x=None) == "/a?y=4&z=5"
    assert changed("/a", x=None) == "/a"
