"""Our scorer against two `transformers` pipelines and against the bare forward pass: `python -m tests.bench.models`; the last line is one JSON object.

Each contender runs in a process of its own, one after the other, in rounds; ratios are taken within a round and the median round is given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from typing import Any

from tests.bench.report import commit, machine, say

CONTENDERS = ("ours", "bare", "pipelines")


def one(which: str, *, count: int, seed: int) -> dict[str, Any]:
    """The report of one contender."""
    command = [sys.executable, "-m", "tests.bench.models_one", which, str(count), str(seed)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    if found.returncode:
        sys.exit(f"{which} failed:\n{found.stderr[-2000:]}")
    report: dict[str, Any] = json.loads(found.stdout.splitlines()[-1])
    return report


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="texts per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=20261124)
    arguments = parser.parse_args()
    rounds = []
    for number in range(arguments.rounds):
        found = {which: one(which, count=arguments.count, seed=arguments.seed + number) for which in CONTENDERS}
        rounds.append(found)
        say(f"round {number + 1}: " + ", ".join(f"{which} {report['per_s']:.1f}/s" for which, report in found.items()))
    say(json.dumps(summary(rounds, count=arguments.count)))


def summary(rounds: list[dict[str, dict[str, Any]]], *, count: int) -> dict[str, Any]:
    """The medians, and each ratio as the median of those of the rounds."""

    def median(which: str) -> float:
        return round(statistics.median(float(one[which]["per_s"]) for one in rounds), 1)

    def ratio(which: str) -> float:
        return round(statistics.median(float(one["ours"]["per_s"]) / float(one[which]["per_s"]) for one in rounds), 3)

    ours = rounds[0]["ours"]
    return {
        "bench": "models",
        "ours_per_s": median("ours"),
        "pipelines_per_s": median("pipelines"),
        "bare_forward_per_s": median("bare"),
        "over_pipelines": ratio("pipelines"),
        "over_bare": ratio("bare"),
        "rss_mb": max(one["ours"]["rss_mb"] for one in rounds),
        "backend": ours["backend"],
        "device": ours["device"],
        "pipelines_batch_size": rounds[0]["pipelines"]["batch_size"],
        "n": count,
        "rounds": len(rounds),
        "machine": machine(),
        "commit": commit(),
    }


if __name__ == "__main__":
    main()
