"""How many documents Redis has counted, and when: read from the windows themselves, so that the worker is not disturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

from redis.asyncio import Redis

from opinion.names import Names
from opinion.records import TOPICS

FIRST_EVERY_S, LATER_EVERY_S = 0.1, 0.4
"""Waits between two looks: until something is counted, and then."""


class Counted(NamedTuple):
    """A state of the windows."""

    documents: int
    at_s: float  # when they last changed, by the server's clock


async def counted(redis: Redis, names: Names) -> Counted:
    """Documents counted so far. Every document counts for a topic, and the fences of the topics say up to which offset of each partition."""
    async with redis.pipeline(transaction=True) as pipe:
        for topic in TOPICS:
            pipe.hgetall(names.fence(f"topic:{topic}"))
        pipe.zrevrange(names.changed, 0, 0, withscores=True)
        *fences, newest = await pipe.execute()
    reached: dict[bytes, int] = {}
    for fence in cast("list[dict[bytes, bytes]]", fences):
        for partition, offset in fence.items():
            reached[partition] = max(reached.get(partition, 0), int(offset) + 1)
    return Counted(sum(reached.values()), float(newest[0][1]) / 1e6 if newest else 0.0)


async def documents_per_s(redis: Redis, names: Names, *, count: int, within_s: float, watch: Callable[[], None]) -> float:
    """The rate from the change that the first look at a counted document sees to the change that counts the last of `count`.

    The instants are Redis' own stamps of the changes, not those of the looks, so the looks may be few. `watch` is called at each.

    Errors:
        TimeoutError: not all were counted in time.
    """
    async with asyncio.timeout(within_s):
        while not (first := await counted(redis, names)).documents:
            watch()
            await asyncio.sleep(FIRST_EVERY_S)
        last = first
        while last.documents < count or last != await counted(redis, names):  # the stamp is written a moment after the counts
            watch()
            await asyncio.sleep(LATER_EVERY_S)
            last = await counted(redis, names)
    if last.at_s <= first.at_s:
        raise RuntimeError(f"all {count} documents were counted at one stroke: too few to measure")
    return (last.documents - first.documents) / (last.at_s - first.at_s)
