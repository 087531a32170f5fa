from __future__ import annotations

import asyncio

from streams.app import Acks
from streams.batches import MOST_HELD


class Event:
    """A record, and what became of it."""

    def __init__(self, number: int, acked: list[int]) -> None:
        self._number, self._acked = number, acked

    def ack(self) -> None:
        self._acked.append(self._number)


async def test_batches_are_acknowledged_in_order_a_while_after_they_were_worked_on() -> None:
    acked: list[int] = []
    acks = Acks(0.05)
    for first in (0, 3, 6):
        acks.take([Event(number, acked) for number in range(first, first + 3)])
    assert acked == []
    await asyncio.sleep(0.15)
    assert acked == list(range(9))


async def test_what_is_not_held_is_acknowledged_at_once() -> None:
    acked: list[int] = []
    Acks(0.0).take([Event(1, acked)])
    assert acked == [1]


async def test_more_than_may_be_held_are_acknowledged_before_their_time() -> None:
    acked: list[int] = []
    acks = Acks(30.0)
    for first in range(0, MOST_HELD + 3_000, 1_000):
        acks.take([Event(number, acked) for number in range(first, first + 1_000)])
    assert acked == list(range(3_000))
