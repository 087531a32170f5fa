"""A worker process whose judge costs nothing and shows its passes as the real ones do: `python -m tests.support.measured_worker`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from unittest.mock import patch

from models.backends.base import BatchStats
from models.registry import _counting
from opinion.errors import PoisonText
from opinion.metrics import WorkerMetrics
from opinion.records import Document, Judgement
from opinion.settings import Settings, load_settings
from streams import worker
from tests.support.null_judge import NullJudge
from yuqing.logs import configure_logs


class MeasuredJudge(NullJudge):
    """The null judge with the metrics of a model."""

    def __init__(self, metrics: WorkerMetrics) -> None:
        super().__init__()
        metrics.model_info.labels("null", "0", "null", "cpu").set(1)
        self._count = _counting(metrics)

    def judge(self, documents: Sequence[Document]) -> list[Judgement | PoisonText]:
        """The answers of the null judge."""
        self._count(BatchStats(documents=len(documents), tokens=40 * len(documents), tokenise_s=0.001, forward_s=0.01))
        return super().judge(documents)


def configured(_: Settings, metrics: WorkerMetrics) -> MeasuredJudge:
    """What stands for the model of the settings."""
    return MeasuredJudge(metrics)


if __name__ == "__main__":
    settings = load_settings()
    configure_logs(settings.log_level)
    with patch.object(worker, "_configured_judge", configured):
        sys.exit(asyncio.run(worker.run_worker(settings)))
