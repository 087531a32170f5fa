"""What sources cost: `make bench-sources`, last line one JSON object.

Feeds: one `yuqing scrape` polls 520 feeds that a server in a process of its own serves (made_feeds.py says what they look like, and how often they
change), on embedded Kafka and Redis. After a first round, in which every item is new, the polls, the processor time and the memory of the scraper and
of its parsing child are measured for some minutes. Then the feeds stop to change, and every item that was offered is looked for in Kafka. No TLS and no
names to resolve: both cost a real scraper more.

Jetstream: what jetstream.py measures, on the same servers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.bench import jetstream as bluesky
from tests.bench import sources_feeds
from tests.bench.report import commit, machine, say
from tests.bench.stand import Stand, stand
from yuqing.logs import configure_logs

FEEDS = 520
"""Over 500 polls a minute: each feed is polled once in a minute, give or take a fifth, and a poll has a length of its own."""

Part = Callable[[Stand, argparse.Namespace], Awaitable[dict[str, Any]]]
"""The figures of one part by name, among them `n`, how many things were measured."""


async def feeds(place: Stand, chosen: argparse.Namespace) -> dict[str, Any]:
    """One scraper and many feeds."""
    return await sources_feeds.measured(place, feeds=chosen.feeds, seconds=chosen.seconds, interval_s=chosen.interval)


async def jetstream(place: Stand, chosen: argparse.Namespace) -> dict[str, Any]:
    """One scraper and Bluesky's whole network."""
    return await bluesky.measured(place, seconds=chosen.posts_seconds, flat_out=chosen.posts_flat_out)


PARTS: dict[str, Part] = {"feeds": feeds, "jetstream": jetstream}
"""What is measured, one after the other, on the same servers."""


async def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of the chosen parts, all in one."""
    found: dict[str, Any] = {"n": 0}
    async with stand() as place:
        for name in chosen.parts:
            figures = await PARTS[name](place, chosen)
            found |= figures | {"n": found["n"] + figures["n"]}
    return found


def options() -> argparse.ArgumentParser:
    """What may be chosen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="what to measure")
    parser.add_argument("--feeds", type=int, default=FEEDS)
    parser.add_argument("--seconds", type=float, default=180, help="how long the feeds are measured after the first round")
    parser.add_argument("--interval", type=float, default=60, help="seconds between two polls of a feed")
    parser.add_argument("--posts-seconds", type=float, default=60, help="how long posts come at a steady rate")
    parser.add_argument("--posts-flat-out", type=int, default=bluesky.FLAT_OUT, help="posts that are sent as fast as they are taken")
    return parser


def main() -> None:
    """Print one JSON object."""
    chosen = options().parse_args()
    configure_logs("error")
    found = asyncio.run(measured(chosen))
    say(json.dumps({"bench": "sources", "machine": machine(), "commit": commit(), **found}))


if __name__ == "__main__":
    main()
