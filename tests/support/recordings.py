"""Count rows and scored documents of some weeks, as a backtest reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np

from opinion.codec import encode
from tests.support.records import NEGATIVE, NEUTRAL, scored
from tests.support.surges import COMPANY, MONDAY_S


def count_line(at_s: int, *, total: int, negative: int, subject: str = COMPANY, **breadth: int) -> bytes:
    """One count row."""
    row = {"at": datetime.fromtimestamp(at_s, UTC).isoformat(), "subject": subject, "total": total, "negative": negative, **breadth}
    return json.dumps(row).encode() + b"\n"


def weeks_of_counts(*, days: int, step_s: int = 3600, per_hour: float = 20, subject: str = COMPANY, seed: int = 1, spoken: bool = False) -> list[bytes]:
    """Poisson totals, a fifth of them negative; with `spoken` each negative is a story and an author of its own."""
    random = np.random.default_rng(seed)
    total = random.poisson(per_hour * step_s / 3600, days * 86400 // step_s)
    pairs = zip(total.tolist(), random.binomial(total, 0.2).tolist(), strict=True)
    return [count_line(MONDAY_S + i * step_s, total=n, negative=bad, subject=subject, **({"stories": bad, "authors": bad} if spoken else {})) for i, (n, bad) in enumerate(pairs)]


def weeks_of_documents(*, days: int, every_s: int = 1200, negative_every: int = 5, **changes: Any) -> list[bytes]:
    """Scored documents at even distances, every fifth negative, each its own story."""
    numbers: Iterable[int] = range(0, days * 86400, every_s)
    return [encode(scored(at_s, sentiment=NEGATIVE if i % negative_every == 0 else NEUTRAL, **changes)) + b"\n" for i, at_s in enumerate(numbers)]
