"""Addresses that pages may point at: what others wrote is checked before it becomes a link."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urlencode, urlsplit

MOST_CHARS = 2_000


def outer(url: str | None) -> str | None:
    """An address of the web as it may stand in a link; None for anything else.

    >>> outer("https://news.example/1"), outer("javascript:alert(1)"), outer("//x.example"), outer("https:///x")
    ('https://news.example/1', None, None, None)
    """
    if not url or len(url) > MOST_CHARS or not url.isprintable() or any(char.isspace() or char in "\"'<>\\`" for char in url):
        return None
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None and (parts.port is None or parts.port > 0)
    except ValueError:
        return None
    return url if known else None


def inner(path: str | None, *, otherwise: str = "/") -> str:
    r"""A path of our own to go back to.

    >>> inner("/documents?q=a"), inner("//evil.example"), inner("https://evil.example"), inner("/\\evil.example")
    ('/documents?q=a', '/', '/', '/')
    """
    good = path is not None and path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable() and len(path) <= MOST_CHARS
    return path if path is not None and good else otherwise


def place(*parts: str, **query: object) -> str:
    """A path of our own with its parts quoted, and a query of what is not None.

    >>> place("subjects", "topic:M&A | Investments", hours=24, q=None)
    '/subjects/topic:M%26A%20%7C%20Investments?hours=24'
    """
    path = "/" + "/".join(quote(part, safe=":") for part in parts)
    asked = {name: value for name, value in query.items() if value not in (None, "")}
    return path + ("?" + urlencode(asked) if asked else "")


def changed(path: str, **query: str | None) -> str:
    """The path with parts of its query set, or taken away where None.

    >>> changed("/documents?q=a&lang=en", lang="zh", q=None)
    '/documents?lang=zh'
    """
    base, _, asked = path.partition("?")
    found = {**dict(parse_qsl(asked)), **query}
    kept = {name: value for name, value in found.items() if value is not None}
    return base + ("?" + urlencode(kept) if kept else "")
