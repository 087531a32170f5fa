"""ScoredDocuments in, panes out: the step behind agent `aggregate`. Knows nothing of Faust."""

from __future__ import annotations

from collections.abc import Sequence

from opinion.clock import Clock, epoch_ms
from opinion.codec import decode
from opinion.erased import ErasedIds
from opinion.errors import Reason, RecordError
from opinion.metrics import WorkerMetrics
from opinion.records import Op, ScoredDocument
from opinion.windows import Applied, WindowStore
from streams.batches import Incoming, Newest
from streams.dead import DeadLetters


class AggregateStep:
    """Decode and count, one pipeline of scripts per batch; take deleted documents out of the evidence."""

    def __init__(self, store: WindowStore, *, erased: ErasedIds, dead: DeadLetters, clock: Clock, metrics: WorkerMetrics) -> None:
        self._store = store
        self._erased = erased
        self._dead = dead
        self._clock = clock
        self._metrics = metrics

    async def run(self, batch: Sequence[Incoming]) -> Newest:
        """Count every scored document in the panes of its subjects, exactly once however often this runs; what a deletion names is quoted no more.

        Errors:
            StoreUnavailable, BusUnavailable (retryable).
        """
        partitions: dict[str, list[Applied]] = {}
        newest: Newest = {}
        letters: list[tuple[Incoming, Reason, str]] = []
        deleted: list[str] = []
        for record in batch:
            try:
                scored = decode(record.value, ScoredDocument)
            except RecordError as error:
                letters.append((record, error.reason, str(error)))
                continue
            if scored.document.op is Op.DELETE:
                deleted.append(scored.document.doc_id)
                continue
            partitions.setdefault(f"{record.topic}-{record.partition}", []).append(Applied(record.offset, scored))
            newest[record.partition] = max(newest.get(record.partition, 0), epoch_ms(scored.event_at))
        if partitions:
            with self._metrics.window_script.time():
                await self._store.apply_all(partitions)
        if deleted:
            await self._store.erase(deleted)
            await self._erased.add(deleted)  # here too: a copy that `score` had in hand meanwhile comes after it
            self._metrics.not_counted.labels("deleted").inc(len(deleted))
        await self._dead.bury(letters)
        self._count([item.scored for items in partitions.values() for item in items])
        return newest

    async def bury(self, record: Incoming, *, reason: Reason, detail: str) -> None:
        """Put one record aside."""
        await self._dead.bury([(record, reason, detail)])

    def _count(self, scored: Sequence[ScoredDocument]) -> None:
        age, now = self._metrics.document_age.labels("counted"), self._clock.now()
        for item in scored:
            if not item.counted:
                self._metrics.not_counted.labels("stale").inc()
            age.observe(max(0.0, (now - item.document.fetched_at).total_seconds() / self._clock.speed))
