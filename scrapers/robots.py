"""What the robots.txt of a host allows us, asked once a day: for pages made for people; feeds and APIs are made for programs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from protego import Protego

from opinion.errors import BodyTooLarge, SourceError, SourceGone, SourceWalled
from scrapers.charset import decode_body
from scrapers.source import Response
from scrapers.urls import masked

KEPT, KEPT_UNREACHABLE = timedelta(hours=24), timedelta(minutes=10)
"""How long an answer holds: RFC 9309 says at most a day; where there was none, all is disallowed until it is asked again."""
MOST_HOSTS = 1000
_TOKEN = re.compile(r"[A-Za-z_-]+")

Get = Callable[[str], Awaitable[Response]]


class _Known(NamedTuple):
    rules: Protego | None  # None: unreachable
    until: datetime


class Robots:
    """The rules of the hosts that were asked."""

    def __init__(self, user_agent: str, get: Get) -> None:
        found = _TOKEN.match(user_agent)
        self._token = found[0] if found else "yuqing"
        self._get = get
        self._known: dict[str, _Known] = {}

    async def check(self, url: str, *, now: datetime) -> None:
        """Return if the page may be read.

        Errors:
            SourceWalled: robots.txt disallows it, or could not be read.
        """
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc}"
        known = self._known.get(origin)
        if known is None or known.until <= now:
            known = await self._ask(origin, now=now)
            if len(self._known) >= MOST_HOSTS:
                self._known.clear()
            self._known[origin] = known
        if known.rules is None:
            raise SourceWalled(f"{masked(url)}: robots.txt cannot be read, so nothing may be")
        if not known.rules.can_fetch(url, self._token):
            raise SourceWalled(f"{masked(url)}: robots.txt does not allow it")

    async def _ask(self, origin: str, *, now: datetime) -> _Known:
        """RFC 9309: no such file, or none for us, allows all; a server that fails allows nothing for the time being."""
        try:
            response = await self._get(f"{origin}/robots.txt")
        except (SourceGone, SourceWalled, BodyTooLarge):
            return _Known(Protego.parse(""), now + KEPT)
        except SourceError:
            return _Known(None, now + KEPT_UNREACHABLE)
        text = decode_body(response.body, content_type=response.headers.get("content-type", "")).text
        return _Known(Protego.parse(text), now + KEPT)
