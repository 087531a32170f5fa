"""What Faust itself does, as our metrics: its own exporters name and measure things in ways that Prometheus refuses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import faust

from opinion.clock import monotonic_s
from opinion.metrics import WorkerMetrics


class Monitor(faust.Monitor):
    """Counts records as they come, shares of partitions, and the length of acknowledgements."""

    def __init__(self, metrics: WorkerMetrics, *, topics: Iterable[str]) -> None:
        super().__init__()
        self._metrics = metrics
        self._records = {topic: metrics.records.labels(topic) for topic in topics}

    def on_message_in(self, tp: Any, offset: int, message: Any) -> None:
        """Count a record, where it is of one of the topics: an error here would end the consumption without a word."""
        super().on_message_in(tp, offset, message)
        if (records := self._records.get(tp.topic)) is not None:
            records.inc()

    def on_commit_initiated(self, consumer: Any) -> Any:
        """Note when an acknowledgement began."""
        return super().on_commit_initiated(consumer), monotonic_s()

    def on_commit_completed(self, consumer: Any, state: Any) -> None:
        """Time an acknowledgement."""
        theirs, began_s = state
        super().on_commit_completed(consumer, theirs)
        self._metrics.commit_duration.observe(monotonic_s() - began_s)

    def on_rebalance_start(self, app: Any) -> Any:
        """Count that partitions are shared out anew."""
        self._metrics.rebalances.inc()
        return super().on_rebalance_start(app)
