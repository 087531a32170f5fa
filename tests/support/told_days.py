"""Days of scored documents, as a worker writes them to the windows: both registers, three moods, reprints, and texts that come late."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from opinion.clock import epoch_ms
from opinion.names import doc_id_of
from opinion.records import DocumentKind, ScoredDocument
from opinion.watermark import Mark
from opinion.windows import Applied, WindowStore
from tests.support.records import NEGATIVE, NEUTRAL, POSITIVE, scored

PARTITION = "scored-0"
AT_ONCE = 500
"""Documents that are counted in one journey, as in a worker's batch."""
PUBLISHERS = 30
SOCIAL, REPRINTED = 0.3, 0.08
"""Part of the texts that are posts; that another publisher tells again, word for word."""
MOST_LATE, PUNCTUAL = timedelta(minutes=14), timedelta(seconds=1)
"""Texts come at most so long after their event: later ones count at the time they came."""


def told(subject: str, start: datetime, *, hours: float, per_hour: float, share: float, seed: int = 1, among: Sequence[str] = (), late: bool = True) -> list[ScoredDocument]:
    """What is told of a subject at random instants from `start` on: `share` of it negative, the rest half and half; it counts for `among` too."""
    random = np.random.default_rng(seed)
    made: list[ScoredDocument] = []
    for number, second in enumerate(np.sort(random.uniform(0, hours * 3600, int(random.poisson(per_hour * hours)))).tolist()):
        chance, delay, at, text = random.random(), random.random(), start + timedelta(seconds=int(second)), f"{subject} {seed} {number}"
        author = f"{int(random.integers(10_000)):x}" if random.random() < SOCIAL else None
        fields: dict[str, Any] = {
            "sentiment": NEGATIVE if chance < share else NEUTRAL if chance < (1 + share) / 2 else POSITIVE,
            "subjects": (subject, *among),
            "story": f"st_{text}",
            "kind": DocumentKind.NEWS if author is None else DocumentKind.SOCIAL,
            "author_hash": author,
            "published_at": at,
            "fetched_at": at + (MOST_LATE * delay if late else PUNCTUAL),
        }
        publishers = random.permutation(PUBLISHERS)[: 1 + (random.random() < REPRINTED)].tolist()
        made += [scored(number, doc_id=doc_id_of("feed", f"{text} {one}"), title=f"{text}, as told by {one}", publisher=f"p{one}.example", **fields) for one in publishers]
    return made


class Worker:
    """Counts documents as they come, and reports how far it is: what the tick hears of the world."""

    def __init__(self, store: WindowStore, documents: Iterable[ScoredDocument]) -> None:
        self._store = store
        self._waiting = sorted(documents, key=lambda item: (item.document.fetched_at, item.document.doc_id))
        self._offset = 0

    def hears(self, documents: Iterable[ScoredDocument]) -> None:
        """Further documents, none fetched before those that were counted."""
        self._waiting = sorted([*self._waiting, *documents], key=lambda item: (item.document.fetched_at, item.document.doc_id))

    async def work(self, until: datetime, *, wall: datetime) -> int:
        """Count all that was fetched before an instant, and report being done with everything up to it; how many they were."""
        count = sum(item.document.fetched_at <= until for item in self._waiting)
        due, self._waiting = self._waiting[:count], self._waiting[count:]
        for at in range(0, count, AT_ONCE):
            batch = [Applied(self._offset + n, item) for n, item in enumerate(due[at : at + AT_ONCE])]
            self._offset += len(batch)
            await self._store.apply_all({PARTITION: batch})
        event_ms, wall_ms = epoch_ms(until), epoch_ms(wall)
        await self._store.report(Mark(partition, event_ms, 0, wall_ms, wall_ms) for partition in ("documents-0", PARTITION))
        return count
