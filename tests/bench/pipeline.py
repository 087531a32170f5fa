"""Documents a second through the pipeline, beside the model alone and bare Faust: `python -m tests.bench.pipeline`, last line JSON.

Each round measures four rates one after another, on embedded Kafka and Redis in a temporary directory:

- real: documents wait in Kafka; one worker with both agents and the shipped model judges, publishes and counts them;
- model: `Judge.judge` on the same documents in batches as large, in a process of its own, while no worker runs;
- null: the same worker with a judge that links companies but runs no model, on more documents;
- bare: a Faust loop that only acknowledges, on the documents of `null`, with the same batch size, buffer and consumer settings.

The time of `real` and `null` runs from the moment Redis had counted the first batch to the moment it had counted the last document (see
counting.py), that of the others from the end of their first batch: starting, loading, joining the group and warming up are left out of all
four. Ratios are of the rates of one round; every figure given is the median of the rounds. Afterwards a worker, an alerter and a scraper run
together, and the most memory that each process was seen to use is noted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from statistics import median
from typing import Any, NamedTuple

from tests.bench.counting import documents_per_s
from tests.bench.memory import most_rss_mb
from tests.bench.processes import answer, running
from tests.bench.report import commit, machine, say
from tests.bench.stand import Stand, stand
from yuqing.logs import configure_logs

SEED = 20261123
REAL_WORKER = ["-m", "yuqing", "work"]
NULL_WORKER = ["-m", "tests.support.null_worker", "linking"]
WITHIN_S = 600.0
LEAST = 300


class Round(NamedTuple):
    """Rates of one round, a second."""

    documents_per_s_real: float
    model_alone_per_s: float
    documents_per_s_null: float
    faust_bare_per_s: float

    def figures(self) -> dict[str, float]:
        """Rates and their ratios by name."""
        rates = {name: round(value, 1) for name, value in self._asdict().items()}
        ratios = {"real_over_model": self.documents_per_s_real / self.model_alone_per_s, "null_over_faust": self.documents_per_s_null / self.faust_bare_per_s}
        return rates | {name: round(value, 3) for name, value in ratios.items()}


async def worker_per_s(place: Stand, worker: list[str], *, name: str, count: int, seed: int) -> float:
    """Documents a second through a worker with both agents, in an installation of its own."""
    settings = place.installation(name)
    await place.publish(settings.names, count=count, seed=seed)
    async with running(worker, settings=settings, log_path=place.folder / f"{name}.log") as process:
        return await documents_per_s(place.redis, settings.names, count=count, within_s=WITHIN_S, watch=process.check)


async def alone_per_s(place: Stand, command: list[str], *, name: str) -> float:
    """What a process finds that measures by itself."""
    found = await answer(["-m", *command], settings=place.installation(name), log_path=place.folder / f"{name}.log")
    return float(found["per_s"])


async def one_round(place: Stand, number: int, *, real: int, null: int) -> Round:
    """Four rates, on documents of this round's own."""
    seed = SEED + number
    real_per_s = await worker_per_s(place, REAL_WORKER, name=f"real-{number}", count=real, seed=seed)
    say(f"round {number}: real {real_per_s:.1f} documents/s")
    model_per_s = await alone_per_s(place, ["tests.bench.model_alone", str(real), str(seed)], name=f"model-{number}")
    say(f"round {number}: model alone {model_per_s:.1f} documents/s")
    null_per_s = await worker_per_s(place, NULL_WORKER, name=f"null-{number}", count=null, seed=seed)
    say(f"round {number}: null {null_per_s:.0f} documents/s")
    topic = place.installation(f"null-{number}").names.documents
    bare_per_s = await alone_per_s(place, ["tests.bench.faust_bare", topic, str(null)], name=f"bare-{number}")
    say(f"round {number}: bare Faust {bare_per_s:.0f} records/s")
    return Round(real_per_s, model_per_s, null_per_s, bare_per_s)


async def measured(*, rounds: int, real: int, null: int) -> dict[str, Any]:
    """Everything measured, by name."""
    each: list[dict[str, float]] = []
    async with stand() as place:
        for number in range(1, rounds + 1):
            each.append((await one_round(place, number, real=real, null=null)).figures())
            say(f"round {number}: real over model {each[-1]['real_over_model']}, null over Faust {each[-1]['null_over_faust']}")
        rss_mb, silent = await most_rss_mb(place, count=real, seed=SEED)
        batch = place.settings.batch_documents
    say("resident MB: " + "  ".join(f"{name} {'-' if value is None else value}" for name, value in rss_mb.items()))
    for why in silent.values():
        say(why)
    middle = {name: median(figures[name] for figures in each) for name in each[0]}
    return {**middle, "rss_mb": rss_mb, "rss_missing": silent, "batch_documents": batch, "each_round": each}


def main() -> None:
    """Measure, print a line for each round, then one JSON object."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--real", type=int, default=1500, help="documents a round through the shipped model")
    options.add_argument("--null", type=int, default=20000, help="documents a round through the judge without a model")
    chosen = options.parse_args()
    if min(chosen.real, chosen.null) < LEAST:
        options.error(f"fewer than {LEAST} documents are too few batches to measure")
    configure_logs("error")
    found = asyncio.run(measured(rounds=chosen.rounds, real=chosen.real, null=chosen.null))
    head = {"bench": "pipeline", "machine": machine(), "commit": commit(), "n": chosen.rounds * (chosen.real + chosen.null), "rounds": chosen.rounds}
    say(json.dumps({**head, "documents_real": chosen.real, "documents_null": chosen.null, **found}))


if __name__ == "__main__":
    main()
