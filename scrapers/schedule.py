"""When a feed is polled next: pure rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

from opinion.errors import Reason
from opinion.names import digest

JITTER = 0.2
"""Polls come up to this share early or late, so that the feeds of one host drift apart."""
FIRST_SPREAD_S = 5.0
"""First polls are spread over this long by the feed's address."""
HINT_CAP_S = 900.0
"""A `max-age` longer than this would cost a desk its minutes; longer ones count as this."""
BACKOFF_CAP_S = 300.0
"""Longest wait after failures that pass by themselves, unless the interval or the server asks for more."""
REFUSED_CAP_S = 24 * 3600.0
REFUSED_FIRST_S = 900.0
"""A server that said no is asked again after a quarter of an hour, then half as often each time, at least daily."""
MOST_DOUBLINGS = 16

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_REFUSALS = frozenset({Reason.SOURCE_WALLED, Reason.SOURCE_GONE, Reason.ADDRESS_REFUSED})


def first_wait_s(url: str, interval_s: float) -> float:
    """Wait before the first poll: a share of the interval, at most FIRST_SPREAD_S, the same for the same address."""
    return int(digest(url, chars=4), 16) / 0x10000 * min(interval_s, FIRST_SPREAD_S)


def next_wait_s(interval_s: float, *, jitter: float, failures: int = 0, reason: Reason | None = None, asked_s: float | None = None, hinted_s: float = 0.0) -> float:
    """Wait before the next poll, in seconds.

    `jitter` in [-1, 1] is the share of JITTER used; `failures` in a row, the last for `reason`; `asked_s` from Retry-After;
    `hinted_s` from the last good answer. What a server says can slow us down, never speed us up.

    >>> next_wait_s(60, jitter=0.0), next_wait_s(60, jitter=0.5, hinted_s=120.0), next_wait_s(60, jitter=0.0, failures=2, reason=Reason.SOURCE_UNAVAILABLE)
    (60.0, 132.0, 240.0)
    """
    wait_s = max(interval_s, hinted_s)
    if failures and reason in _REFUSALS:
        wait_s = max(wait_s, min(REFUSED_FIRST_S * 2.0 ** min(failures - 1, MOST_DOUBLINGS), REFUSED_CAP_S))
    elif failures:
        wait_s = max(wait_s, min(interval_s * 2.0 ** min(failures, MOST_DOUBLINGS), BACKOFF_CAP_S))
    return max(wait_s * (1 + JITTER * jitter), asked_s or 0.0)


def hinted_s(headers: Mapping[str, str]) -> float:
    """Seconds for which the server says its answer stays fresh (`Cache-Control: max-age`), at most HINT_CAP_S; 0 where it says nothing.

    >>> hinted_s({"cache-control": "public, max-age=300"}), hinted_s({"cache-control": "s-maxage=60, no-cache"})
    (300.0, 0.0)
    """
    value = headers.get("cache-control", "")
    found = _MAX_AGE.search(value)
    if found is None or "no-cache" in value.lower():
        return 0.0
    return min(float(found[1]), HINT_CAP_S)
