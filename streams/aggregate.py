"""ScoredDocuments in, panes out: the step behind agent `aggregate`. Knows nothing of Faust."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from opinion.clock import Clock, epoch_ms, monotonic_s
from opinion.codec import decode
from opinion.erased import ErasedIds
from opinion.errors import Reason, RecordError, StoreUnavailable
from opinion.metrics import WorkerMetrics
from opinion.records import Op, ScoredDocument
from opinion.redis_client import FORGETS_S, Runs
from opinion.windows import Applied, WindowStore
from streams.batches import MOST_HELD, Incoming, Newest
from streams.dead import DeadLetters

log = structlog.get_logger()

Letter = tuple[Incoming, Reason, str]
"""What cannot be counted, why, and in words."""
LOOK_S = 1.0
"""How often Redis is asked whether it is still the one that it was, while nothing comes."""


class _Decoded:
    """A batch as it is counted."""

    def __init__(self) -> None:
        self.partitions: dict[str, list[Applied]] = {}
        self.deleted: list[str] = []
        self.newest: Newest = {}
        self.letters: list[Letter] = []


class AggregateStep:
    """Decode and count, one pipeline of scripts per batch; take deleted documents out of the evidence.

    What was counted in the last seconds is remembered: a Redis that began anew may have forgotten it, and is told of it again before anything newer.
    `runs` are those of the client of `store`, which nobody else uses.
    """

    def __init__(self, store: WindowStore, *, erased: ErasedIds, dead: DeadLetters, clock: Clock, metrics: WorkerMetrics, runs: Runs | None = None) -> None:
        self._store = store
        self._erased = erased
        self._dead = dead
        self._clock = clock
        self._metrics = metrics
        self._runs = runs or Runs()
        self._anew = 0  # of these, those after which Redis was told again
        self._recent: deque[tuple[float, Sequence[Incoming]]] = deque()
        self._records = 0  # in these
        self._one = asyncio.Lock()

    async def run(self, batch: Sequence[Incoming]) -> Newest:
        """Count every scored document in the panes of its subjects, exactly once however often this runs; what a deletion names is quoted no more.

        Errors:
            StoreUnavailable, BusUnavailable (retryable).
        """
        decoded = _decoded(batch)
        async with self._one:
            await self._tell_again()
            await self._count(decoded)
            self._remember(batch)
        self._metrics.not_counted.labels("deleted").inc(len(decoded.deleted))
        await self._dead.bury(decoded.letters)
        self._show([item.scored for items in decoded.partitions.values() for item in items])
        return decoded.newest

    async def watch(self) -> None:
        """Tell a Redis that began anew while nothing came, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                async with self._one:
                    await self._tell_again()
                    await self._store.marks()  # any command: a connection of before is found to be dead
            except StoreUnavailable as error:
                log.debug("Redis is away, or began anew", error=str(error))

    async def _tell_again(self) -> None:
        """What was counted last, where Redis began anew since. The fences tell what it still knows."""
        while self._anew != self._runs.anew:
            anew = self._runs.anew
            log.warning("Redis began anew: it is told again what was counted last", batches=len(self._recent))
            for _, batch in self._recent:
                await self._count(_decoded(batch))
            self._anew = anew

    def _remember(self, batch: Sequence[Incoming]) -> None:
        now_s = monotonic_s()
        self._recent.append((now_s, batch))
        self._records += len(batch)
        while self._recent[0][0] < now_s - FORGETS_S or (self._records > MOST_HELD and len(self._recent) > 1):
            self._records -= len(self._recent.popleft()[1])

    async def _count(self, decoded: _Decoded) -> None:
        if decoded.partitions:
            with self._metrics.window_script.time():
                await self._store.apply_all(decoded.partitions)
        if decoded.deleted:
            await self._store.erase(decoded.deleted)
            await self._erased.add(decoded.deleted)  # here too: a copy that `score` had in hand meanwhile comes after it

    async def bury(self, record: Incoming, *, reason: Reason, detail: str) -> None:
        """Put one record aside."""
        await self._dead.bury([(record, reason, detail)])

    def _show(self, scored: Sequence[ScoredDocument]) -> None:
        age, now = self._metrics.document_age.labels("counted"), self._clock.now()
        for item in scored:
            if not item.counted:
                self._metrics.not_counted.labels("stale").inc()
            age.observe(max(0.0, (now - item.document.fetched_at).total_seconds() / self._clock.speed))


def _decoded(batch: Sequence[Incoming]) -> _Decoded:
    """The scored documents of a batch by partition, the deletions, and what is neither."""
    found = _Decoded()
    for record in batch:
        try:
            scored = decode(record.value, ScoredDocument)
        except RecordError as error:
            found.letters.append((record, error.reason, str(error)))
            continue
        if scored.document.op is Op.DELETE:
            found.deleted.append(scored.document.doc_id)
            continue
        found.partitions.setdefault(f"{record.topic}-{record.partition}", []).append(Applied(record.offset, scored))
        found.newest[record.partition] = max(found.newest.get(record.partition, 0), epoch_ms(scored.event_at))
    return found
