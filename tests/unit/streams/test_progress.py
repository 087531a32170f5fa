from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from prometheus_client import CollectorRegistry

from opinion.metrics import WorkerMetrics
from opinion.watermark import Mark
from opinion.windows import WindowStore
from streams.batches import Incoming
from streams.progress import Progress

FIRST, SECOND = TopicPartition("documents", 0), TopicPartition("documents", 1)


class Marks:
    """Keeps what was reported."""

    def __init__(self) -> None:
        self.newest: dict[str, Mark] = {}

    async def report(self, marks: Sequence[Mark]) -> None:
        self.newest = {mark.partition: mark for mark in marks}


class Ends:
    """A consumer that knows where partitions begin and end."""

    def __init__(self) -> None:
        self.at = {FIRST: 10, SECOND: 10}

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.at[partition] for partition in partitions}


class Watched(Progress):
    """Progress of a worker whose partitions and group a test sets."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.marks, self.ends = Marks(), Ends()
        self.held: list[TopicPartition] = [FIRST, SECOND]
        self.committed: dict[TopicPartition, int] = {}
        super().__init__(cast("WindowStore", self.marks), kafka="", group="", metrics=WorkerMetrics(self.registry), assigned=self._held)

    def _held(self) -> Iterable[tuple[str, int]]:
        return [(partition.topic, partition.partition) for partition in self.held]

    async def _committed(self) -> dict[TopicPartition, int]:
        return self.committed

    async def look(self) -> dict[str, int]:
        """What a report says is left to do, by partition."""
        await self._report(cast("AIOKafkaConsumer", self.ends))
        return {name: mark.behind for name, mark in self.marks.newest.items()}

    def shown(self) -> dict[str, float]:
        """The lag as Prometheus sees it, by partition."""
        samples: list[Any] = [sample for family in self.registry.collect() for sample in family.samples if sample.name == "yuqing_consumer_lag_records"]
        return {sample.labels["partition"]: sample.value for sample in samples}


def up_to(offset: int, partition: int = 0) -> list[Incoming]:
    return [Incoming("documents", partition, offset - 1, None, b"")]


async def test_the_lag_is_what_was_not_finished_since_the_group_s_offset() -> None:
    progress = Watched()
    progress.committed = {FIRST: 4}
    assert await progress.look() == {"documents-0": 6, "documents-1": 10}
    progress.finished(up_to(9), {0: 1})
    assert await progress.look() == {"documents-0": 1, "documents-1": 10}
    assert progress.shown() == {"0": 1, "1": 10}


async def test_the_lag_of_a_partition_that_another_worker_has_now_is_shown_no_more() -> None:
    progress = Watched()
    await progress.look()
    progress.held = [FIRST]
    assert await progress.look() == {"documents-0": 10}
    assert progress.shown() == {"0": 10}
    progress.held = []
    await progress.look()
    assert progress.shown() == {}


async def test_a_partition_that_comes_back_stands_where_the_other_worker_left_it() -> None:
    progress = Watched()
    await progress.look()
    progress.finished(up_to(5), {})
    progress.held = [SECOND]
    await progress.look()
    progress.held, progress.committed = [FIRST, SECOND], {FIRST: 10}
    assert await progress.look() == {"documents-0": 0, "documents-1": 10}


async def test_what_was_finished_but_not_acknowledged_yet_is_not_forgotten_over_a_new_share() -> None:
    progress = Watched()
    await progress.look()
    progress.finished(up_to(8), {})
    progress.held = []
    await progress.look()
    progress.held, progress.committed = [FIRST, SECOND], {FIRST: 3}
    assert (await progress.look())["documents-0"] == 2
