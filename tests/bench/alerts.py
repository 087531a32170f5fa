"""How quickly receivers are told: `python -m tests.bench.alerts`, last line JSON.

Part one (deliveries.py): a real alerter process tells many receivers, some of which hang; from a transition's writing to its arrival. Part two (delays.py):
from the fetch of a document, through the shipped model and the detection, to the webhook that it sets off. Both on embedded Kafka and Redis in a
temporary directory, with receivers in a process of their own, on the cores that are there: what else runs on the machine slows both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from typing import Any

from tests.bench import delays, deliveries
from tests.bench.report import commit, machine, say
from tests.bench.stand import stand
from yuqing.logs import configure_logs


async def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """Everything measured, by name."""
    found: dict[str, Any] = {}
    async with stand() as place:
        if chosen.minutes:
            found |= await deliveries.measured(place, endpoints=chosen.endpoints, hanging=chosen.hanging, per_min=chosen.per_min, minutes=chosen.minutes)
            say(f"alerter: {found['rss_mb']} MB, {found['cpu_cores']} cores")
        if chosen.documents_per_s:
            found |= await delays.measured(place, per_s=chosen.documents_per_s, surges=chosen.surges)
    return found


def main() -> None:
    """Measure, print the figures, then one JSON object."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--endpoints", type=int, default=200, help="receivers")
    options.add_argument("--hanging", type=int, default=20, help="those that never answer; a twentieth of the receivers, or a multiple of it")
    options.add_argument("--per-min", type=int, default=5_200, help="deliveries a minute meant for receivers that answer")
    options.add_argument("--minutes", type=float, default=2.0, help="length of part one; 0 leaves it out")
    options.add_argument("--documents-per-s", type=float, default=50.0, help="rate of part two; 0 leaves it out")
    options.add_argument("--surges", type=int, default=25, help="surges of part two, one every 6 s")
    chosen = options.parse_args()
    if chosen.endpoints % deliveries.SUBJECTS or chosen.hanging % deliveries.SUBJECTS or chosen.hanging >= chosen.endpoints:
        options.error(f"receivers, and those that hang, come in twenties: give multiples of {deliveries.SUBJECTS}, fewer of the hanging")
    configure_logs("error")
    load = os.getloadavg()[0]
    found = asyncio.run(measured(chosen))
    head = {"bench": "alerts", "machine": machine(), "commit": commit(), "n": found.get("delivered", 0) + found.get("alerts", 0), "load_before": round(load, 1)}
    say(json.dumps(head | {"endpoints": chosen.endpoints, "hanging": chosen.hanging} | found))


if __name__ == "__main__":
    main()
