"""Addresses: one form for one page, hosts, and what may be shown of an address in a log."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import can_ada

from opinion.codec import clean_text

_TRACKERS = frozenset(
    [
        "spm",
        "scm",
        "fbclid",
        "gclid",
        "dclid",
        "gbraid",
        "wbraid",
        "msclkid",
        "yclid",
        "twclid",
        "ttclid",
        "igshid",
        "mc_cid",
        "mc_eid",
        "mkt_tok",
        "_hsenc",
        "_hsmi",
        "vero_id",
        "oly_anon_id",
        "oly_enc_id",
        "wickedid",
        "s_cid",
        "ncid",
        "cmpid",
        "guccounter",
        "guce_referrer",
        "guce_referrer_sig",
        "share_token",
        "from_source",
        "isappinstalled",
    ]
)
"""Query parameters that say how a reader came, never which page it is."""
_TRACKER_PREFIXES = ("utm_", "hmsr", "hmpl", "hmcu", "hmkw", "hmci")


def canonical_url(url: str) -> str | None:
    """The address without trackers, fragment, default port and credentials, query sorted; None where it is no web address.

    Only known trackers go: on many Chinese sites the query alone names the page. Parsed by WHATWG rules.

    >>> canonical_url("HTTPS://Mp.Weixin.QQ.com:443/s?sn=3&__biz=M&utm_source=a#top")
    'https://mp.weixin.qq.com/s?__biz=M&sn=3'
    """
    try:
        parsed = can_ada.parse(url.strip())
    except (ValueError, TypeError):  # the latter for lone surrogates
        return None
    if parsed.protocol not in ("http:", "https:") or not parsed.hostname:
        return None
    kept = sorted(part for part in parsed.search.removeprefix("?").split("&") if part and not _is_tracker(part))
    query = "?" + "&".join(kept) if kept else ""
    return f"{parsed.protocol}//{parsed.host}{parsed.pathname}{query}"


def _is_tracker(part: str) -> bool:
    name = part.partition("=")[0].lower()
    return name in _TRACKERS or name.startswith(_TRACKER_PREFIXES)


def absolute_url(url: str, *, base: str) -> str | None:
    """The address as given, made absolute; None where it is no http or https address, or none but the base itself.

    >>> absolute_url("/a", base="https://x.example/feed"), absolute_url("javascript:x", base="https://x.example/")
    ('https://x.example/a', None)
    """
    try:
        joined = urljoin(base, clean_text(url).strip())
    except ValueError:
        return None
    canonical = canonical_url(joined)
    return None if canonical is None or (canonical == canonical_url(base) and joined != url.strip()) else joined


def host_of(url: str) -> str:
    """The host of an address, lower case, without port; empty where there is none.

    >>> host_of("https://News.Example:8443/a")
    'news.example'
    """
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def masked(url: str) -> str:
    """The address fit for a log line: no credentials, no query.

    >>> masked("https://u:p@x.example/feed?key=secret#f")
    'https://x.example/feed?..'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that cannot be read"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" + ("?.." if parts.query else "")
