"""Parsing in a process of its own: a body that hangs, blows up or kills the parser costs that process, not the scraper."""

from __future__ import annotations

import asyncio
import math
import random
import resource

from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from opinion.errors import PageChanged
from opinion.settings import Feed
from scrapers.source import Parsed, Response, find_source

PARSE_WITHIN_S = 20.0
"""2,000 items, the most that are read, take 0.1 s; this is for bodies made to hang."""
LONG_BYTES = 250_000
"""Longer bodies have a process of their own: they take up to ten seconds (measured, 15 MB made to be slow), and the longest real feeds have 190 kB."""
MOST_WAITING = 16
"""Bodies that wait for their turn while others are fetched: each is in memory, and those of 500 feeds that begin together were 30 MB (measured)."""
PARSE_S = 0.05
"""What a body takes as a rule: half of it for 70 kB on an idle core (measured)."""
MEMORY_BYTES = 1 << 30
"""Address space of the parsing process: real bodies need 150 MB of it."""


class Parser:
    """Parses one body at a time in a child process, and a long one beside it in another; each is made anew when it had to be killed."""

    def __init__(self) -> None:
        self._short, self._long = CapacityLimiter(1), CapacityLimiter(1)
        self._any = CapacityLimiter(math.inf)  # the library's own limit would let parsers wait for each other on the clock
        self._held = 0

    async def room(self) -> None:
        """Return when few bodies wait: asked before another is fetched. Those held back look again at random, all together about as often as a body is parsed."""
        self._held += 1
        try:
            while self._short.statistics().tasks_waiting >= MOST_WAITING:  # noqa: ASYNC110 - an event would let in all at once, before the first of them has a body
                await asyncio.sleep(random.uniform(0, self._held * PARSE_S))  # noqa: S311 - not a secret
        finally:
            self._held -= 1

    async def parse(self, source: str, response: Response, *, feed: Feed, author_key: bytes = b"") -> Parsed:
        """The Documents of a response.

        Errors:
            PageChanged: the body is of another form, or the parser could not cope with it.
            SourceWalled: it is a challenge or login page.
        """
        try:
            async with self._long if len(response.body) > LONG_BYTES else self._short, asyncio.timeout(PARSE_WITHIN_S):
                return await to_process.run_sync(_parse, source, response, feed, author_key, cancellable=True, limiter=self._any)
        except TimeoutError as error:
            raise PageChanged(f"the body was not parsed within {PARSE_WITHIN_S:g} s") from error
        except (BrokenWorkerProcess, MemoryError, RecursionError) as error:
            raise PageChanged("the body broke the parser") from error


def _parse(source: str, response: Response, feed: Feed, author_key: bytes) -> Parsed:
    """Runs in the child."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES if most == resource.RLIM_INFINITY else min(MEMORY_BYTES, most), most))
    return find_source(source).read(response, feed=feed, author_key=author_key)
