"""The model's own rate: `Judge.judge` on the benchmark's documents and nothing else, in this process.

`python -m tests.bench.model_alone COUNT SEED`, settings from the environment; prints one JSON object. The first batch is not timed.
"""

from __future__ import annotations

import json
import sys
import time

from models.registry import load_judge
from opinion.settings import load_settings
from tests.bench.corpus import documents
from tests.bench.report import say


def documents_per_s(count: int, *, seed: int) -> float:
    """Documents a second, in batches as large as a worker's."""
    settings = load_settings()
    judge = load_judge(settings)
    texts = documents(count, seed=seed)
    size = min(settings.batch_documents, count // 2)
    judge.judge(texts[:size])
    began = time.perf_counter()
    for start in range(size, count, size):
        judge.judge(texts[start : start + size])
    return (count - size) / (time.perf_counter() - began)


if __name__ == "__main__":
    say(json.dumps({"per_s": documents_per_s(int(sys.argv[1]), seed=int(sys.argv[2]))}))
