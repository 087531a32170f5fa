"""How the sources stand, in one line: how many are well, what the others are, and why, by the example of one. For `up` and `status`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from redis.exceptions import RedisError

from opinion.metrics import BRINGING, SOURCE_STATES
from opinion.redis_client import connect
from opinion.settings import Settings

ANSWER_WITHIN_S = 2.0
UNWATCHED = "unwatched"
"""Nobody has polled it for long: its scraper is dead."""
_ORDER = (*SOURCE_STATES, UNWATCHED)


def line_of(states: Mapping[str, float], *, n_sources: int, why: str = "", tried: bool = True) -> str:
    """How `n_sources` sources stand, given how many are in which state; `why` is what one of them failed with, `tried` whether any has been polled.

    >>> line_of({"ok": 2, "walled": 1}, n_sources=3, why="a.example: answered 403")
    '2 of 3 sources well (1 walled, e.g. a.example: answered 403)'
    >>> line_of({"waiting": 3}, n_sources=3, why="a.example does not resolve")
    'BLIND: none of 3 sources brings anything (3 waiting, e.g. a.example does not resolve)'
    """
    others = ", ".join(f"{states[state]:.0f} {state}" for state in _ORDER if state != "ok" and states.get(state))
    if not tried and not any(states.get(state) for state in BRINGING):
        return f"no source has answered yet ({n_sources} waiting)"
    told = f" ({others}{f', e.g. {why}' if why else ''})" if others else ""
    if is_blind(states):
        return f"BLIND: none of {n_sources} sources brings anything{told}"
    return f"{states.get('ok', 0):.0f} of {n_sources} sources well{told}"


def is_blind(states: Mapping[str, float]) -> bool:
    """Whether there are sources, and none in a state in which it brings anything."""
    return any(states.values()) and not any(states.get(state) for state in BRINGING)


def states_of(rows: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    """How many sources are in which state, from the health of each."""
    return Counter(str(row["state"]) for row in rows.values())


def why_of(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What one of the sources failed with, of the state that most are in: its name and its error without the address; empty where none failed."""
    failed = {name: row for name, row in rows.items() if row.get("last_error")}
    if not failed:
        return ""
    commonest = states_of(failed).most_common(1)[0][0]
    name = min(name for name, row in failed.items() if row["state"] == commonest)
    error = str(failed[name]["last_error"])
    address, colon, said = error.partition(": ")
    return f"{name}: {said if colon and '://' in address else error}"


async def read_health(settings: Settings) -> dict[str, Mapping[str, Any]]:
    """The health of every source as its scraper left it, by name; empty where Redis does not answer."""
    _, url = settings.require_servers()
    redis = connect(url)
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):  # the client tries again by itself
            rows = cast("dict[bytes, bytes]", await redis.hgetall(settings.names.sources))
        return {name.decode(): msgspec.json.decode(value) for name, value in rows.items()}
    except (RedisError, OSError, msgspec.MsgspecError):  # a timeout is an OSError
        return {}
    finally:
        await redis.aclose()
