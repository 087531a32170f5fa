from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from opinion.errors import BusUnavailable, InvalidRecord, Reason
from streams.batches import Incoming, Newest, see_through


class FakeStep:
    """Fails as told: passing errors a number of times, and on certain records always."""

    def __init__(self, *, poison: set[int] | None = None, outages: int = 0, bury_outages: int = 0, error: Exception | None = None) -> None:
        self.poison = poison or set()
        self.outages = outages
        self.bury_outages = bury_outages
        self.error = error or ValueError("no")
        self.done: list[int] = []
        self.buried: dict[int, Reason] = {}

    async def run(self, batch: Sequence[Incoming]) -> Newest:
        if self.outages:
            self.outages -= 1
            raise BusUnavailable("down")
        if self.poison & {record.offset for record in batch}:
            raise self.error
        self.done += [record.offset for record in batch]
        return {record.partition: record.offset for record in batch}

    async def bury(self, record: Incoming, *, reason: Reason, detail: str) -> None:
        if self.bury_outages:
            self.bury_outages -= 1
            raise BusUnavailable(detail)
        self.buried[record.offset] = reason


def batch_of(size: int) -> list[Incoming]:
    return [Incoming("t", 0, offset, None, b"") for offset in range(size)]


async def no_wait(_: float) -> None:
    return None


async def test_passing_errors_are_retried_in_place() -> None:
    step, retries = FakeStep(outages=3), list[Reason]()
    newest = await see_through(step, batch_of(4), on_retry=retries.append, sleep=no_wait)
    assert step.done == [0, 1, 2, 3]
    assert retries == [Reason.BUS_UNAVAILABLE] * 3
    assert newest == {0: 3}


async def test_known_bad_record_keeps_its_reason() -> None:
    step = FakeStep(poison={2}, error=InvalidRecord("bad"))
    await see_through(step, batch_of(4), on_retry=lambda _: None, sleep=no_wait)
    assert step.buried == {2: Reason.INVALID_RECORD}


async def test_burying_waits_for_the_bus() -> None:
    step, retries = FakeStep(poison={0}, bury_outages=2), list[Reason]()
    await see_through(step, batch_of(1), on_retry=retries.append, sleep=no_wait)
    assert step.buried == {0: Reason.UNEXPECTED}
    assert retries == [Reason.BUS_UNAVAILABLE] * 2


@given(size=st.integers(1, 40), poison=st.sets(st.integers(0, 39)), outages=st.integers(0, 3))
async def test_every_record_is_done_or_buried_exactly_once_and_in_order(size: int, poison: set[int], outages: int) -> None:
    step = FakeStep(poison=poison, outages=outages)
    await see_through(step, batch_of(size), on_retry=lambda _: None, sleep=no_wait)
    assert step.done == sorted(set(range(size)) - poison)
    assert set(step.buried) == set(range(size)) & poison
