"""How long the console's pages take and how much they weigh, with 100 alerts on: `make bench-console`, last line one JSON object.

100 subjects with 30 days of 20 texts an hour in a Redis of its own (as `make bench-windows` fills it), an alert on each, and the console served as the
alerter serves it. Times are those of a client on the same machine, from request to last byte, each page asked for in turn; the median and the worst.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from alerts.api.parts import Parts
from opinion.names import Names
from opinion.records import Severity
from opinion.redis_client import connect
from tests.bench.report import commit, machine, say
from tests.bench.windows import Filled, fill
from tests.support.api import api_parts, bearer, served
from tests.support.console import BROWSER, open_alert, sign_in
from tests.support.console import fill as keep
from tests.support.records import scored
from yuqing.embedded.redis import EmbeddedRedis

ALERTS, DAYS, ROUNDS, SUBJECTS = 100, 30, 20, 20
CONNECTIONS = httpx.Limits(max_connections=6, max_keepalive_connections=6)
"""As a browser has them to one host."""
LIMIT_MS, LIMIT_BYTES = 300, 200_000
"""Of the page of open alerts, and of 30 days of 20 subjects from the API."""
_SEVERITIES = list(Severity)


async def furnish(parts: Parts, filled: Filled) -> None:
    """An alert on every subject, and some documents."""
    for number, subject in enumerate(filled.subjects):
        at = filled.now - timedelta(minutes=number)
        await parts.alerts.save(open_alert(number, at=at, severity=_SEVERITIES[number % len(_SEVERITIES)], subject=subject))
    await keep(parts, [scored(number, subjects=(filled.subjects[0],)) for number in range(500)])


async def timed(ask: Callable[[], Awaitable[list[httpx.Response]]], *, rounds: int) -> dict[str, float]:
    """Milliseconds and bytes of what is asked for."""
    spent, weight, plain = [], 0, 0
    for _ in range(rounds):
        begun = time.perf_counter()
        answers = await ask()
        spent.append((time.perf_counter() - begun) * 1000)
        assert all(answer.status_code == 200 for answer in answers), answers
        weight = sum(int(answer.headers["content-length"]) for answer in answers)
        plain = sum(len(answer.content) for answer in answers)
    return {"ms": round(statistics.median(spent), 1), "worst_ms": round(max(spent), 1), "bytes": weight, "plain_bytes": plain}


async def measured(folder: Path, *, rounds: int) -> dict[str, Any]:
    """All figures."""
    server, names = EmbeddedRedis(folder), Names("bench-console")
    url = await server.start()
    redis = connect(url)
    try:
        await redis.config_set("appendonly", "no")
        filled = await fill(redis, names, subjects=ALERTS, days=DAYS)
        async with api_parts(url, names, folder) as parts:
            await furnish(parts, filled)
            async with served(parts) as address, httpx.AsyncClient(base_url=address, headers=BROWSER, trust_env=False, timeout=30, limits=CONNECTIONS) as client:
                return await asked(client, filled, rounds=rounds)
    finally:
        await redis.aclose()
        await server.stop()


async def asked(client: httpx.AsyncClient, filled: Filled, *, rounds: int) -> dict[str, Any]:
    """What each page takes."""
    await sign_in(client)
    subject, since = filled.subjects[0], (filled.now - timedelta(days=DAYS)).isoformat()
    pages = {"now": "/", "subject_24h": f"/subjects/{subject}", "subject_30d": f"/subjects/{subject}?span=30d", "documents": "/documents", "subjects": "/subjects"}
    found: dict[str, Any] = {}
    for name, path in pages.items():
        found[name] = await timed(partial(_page, client, path), rounds=rounds)
        took = found[name]
        say(f"{name:<14} {took['ms']:>7.1f} ms, worst {took['worst_ms']:>7.1f} ms, {took['bytes'] / 1000:>6.1f} kB ({took['plain_bytes'] / 1000:.0f} before compression)")

    def windows() -> Awaitable[list[httpx.Response]]:
        paths = [f"/api/v1/subjects/{item}/windows" for item in filled.subjects[:SUBJECTS]]
        return asyncio.gather(*(client.get(path, params={"from": since}, headers=bearer()) for path in paths))

    found["windows"] = await timed(windows, rounds=rounds)
    say(f"{SUBJECTS} subjects x {DAYS} days: {found['windows']['ms']:.1f} ms, worst {found['windows']['worst_ms']:.1f} ms")
    assets = [len((await client.get(f"/static/{name}")).content) for name in ("console.css", "console.js", "icon.svg")]
    return {"pages": found, "assets_bytes": sum(assets)}


async def _page(client: httpx.AsyncClient, path: str) -> list[httpx.Response]:
    return [await client.get(path)]


def main() -> None:
    """Print one JSON object."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="yuqing-bench-") as folder:
        found = asyncio.run(measured(Path(folder), rounds=chosen.rounds))
    now, windows = found["pages"]["now"], found["pages"]["windows"]
    result = {
        "bench": "console",
        "machine": machine(),
        "commit": commit(),
        "n": ALERTS,
        "now_ms": now["ms"],
        "now_bytes": now["bytes"] + found["assets_bytes"],
        "now_plain_bytes": now["plain_bytes"],
        "windows_30d_x_20_ms": windows["ms"],
        "within": now["ms"] < LIMIT_MS and now["bytes"] + found["assets_bytes"] < LIMIT_BYTES and windows["ms"] < LIMIT_MS,
        **found,
    }
    say(json.dumps(result))


if __name__ == "__main__":
    main()
