from __future__ import annotations

import pytest

from scrapers.urls import absolute_url, canonical_url, host_of, masked

BASE = "https://news.example/feeds/all.xml"


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://x.example/a?utm_source=a&utm_medium=b&UTM_Campaign=c", "https://x.example/a"),
        ("https://x.example/a?spm=a1.b2&id=7&fbclid=x&gclid=y&msclkid=z", "https://x.example/a?id=7"),
        ("https://x.example/a?hmsr=toutiao.io&hmpl=&id=7&isappinstalled=0", "https://x.example/a?id=7"),
        ("https://x.example/a?id=7&utm_source", "https://x.example/a?id=7"),
        ("https://x.example/a?utm=7&spmx=1&refid=2", "https://x.example/a?refid=2&spmx=1&utm=7"),
        ("https://mp.weixin.qq.com/s?__biz=MzA%3D%3D&mid=26&idx=1&sn=ab&chksm=cd#rd", "https://mp.weixin.qq.com/s?__biz=MzA%3D%3D&chksm=cd&idx=1&mid=26&sn=ab"),
        ("https://x.example/a?b=2&a=1&&", "https://x.example/a?a=1&b=2"),
        ("https://x.example/a?", "https://x.example/a"),
        ("https://x.example/a#top", "https://x.example/a"),
        ("HTTPS://X.Example/A/b", "https://x.example/A/b"),
        ("https://x.example:443/", "https://x.example/"),
        ("http://x.example:80", "http://x.example/"),
        ("http://x.example:443/", "http://x.example:443/"),
        ("https://user:secret@x.example/a", "https://x.example/a"),
        ("https://x.example/a/../b/./c", "https://x.example/b/c"),
        ("  https://x.example/a b\n", "https://x.example/a%20b"),
        ("https://x.example/股票?q=茅台", "https://x.example/%E8%82%A1%E7%A5%A8?q=%E8%8C%85%E5%8F%B0"),
        ("https://例え.example/", "https://xn--r8jz45g.example/"),
        ("https://x.example\\a", "https://x.example/a"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
    ],
)
def test_one_page_has_one_address(url: str, canonical: str) -> None:
    assert canonical_url(url) == canonical
    assert canonical_url(canonical) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "",
        " ",
        "/a",
        "x.example/a",
        "ftp://x.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "mailto:a@x.example",
        "data:text/html,x",
        "urn:uuid:1",
        "http://",
        "https://[::1",
        "http://a b/",
        "http://x.example:99999/",
        "https://x.example/\ud800",
    ],
)
def test_what_is_no_web_address_has_none(url: str) -> None:
    assert canonical_url(url) is None


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("https://x.example/a?utm_source=b#c", "https://x.example/a?utm_source=b#c"),
        ("/a", "https://news.example/a"),
        ("a", "https://news.example/feeds/a"),
        ("../a", "https://news.example/a"),
        ("?id=1", "https://news.example/feeds/all.xml?id=1"),
        ("//cdn.example/a", "https://cdn.example/a"),
        ("\n /a\t", "https://news.example/a"),
        ("/a\x00b\ud800", "https://news.example/ab"),
    ],
)
def test_a_relative_address_is_joined_to_its_base(url: str, absolute: str) -> None:
    assert absolute_url(url, base=BASE) == absolute


@pytest.mark.parametrize("url", ["", "  ", "javascript:alert(1)", "ftp://x.example/a", "mailto:a@x.example", "http://[bad", "https://", "data:,x"])
def test_what_leads_to_no_page_is_no_address(url: str) -> None:
    assert absolute_url(url, base=BASE) is None


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://News.Example:8443/a", "news.example"),
        ("https://u:p@x.example/", "x.example"),
        ("http://[::1]:80/", "::1"),
        ("urn:uuid:1", ""),
        ("", ""),
        ("http://[bad", ""),
    ],
)
def test_the_host_is_lower_case_and_alone(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.example/feed?key=secret", "https://x.example/feed?.."),
        ("https://user:secret@x.example/feed", "https://x.example/feed"),
        ("https://user:se@cret@x.example/feed", "https://x.example/feed"),
        ("https://x.example/feed#secret", "https://x.example/feed"),
        ("https://x.example:8443/feed", "https://x.example:8443/feed"),
        ("http://[secret", "an address that cannot be read"),
    ],
)
def test_a_log_line_shows_no_secret_of_an_address(url: str, shown: str) -> None:
    assert masked(url) == shown
