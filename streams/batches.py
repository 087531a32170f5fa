"""What an agent is handed and how a batch is seen through: plain records, no Faust."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog
from msgspec import Struct

from opinion.errors import Reason, YuqingError

log = structlog.get_logger()

FIRST_WAIT_S = 0.2
LONGEST_WAIT_S = 10.0
"""Waits between tries of a batch double from the first to the longest, with full jitter."""
MOST_HELD = 20_000
"""Records that were worked on and are kept for a while: 50 MB of them. A worker that catches up at full speed keeps those of two seconds."""


class Incoming(Struct, frozen=True):
    """One Kafka record as it came."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


Newest = dict[int, int]
"""Partition -> newest event time (epoch milliseconds) worked on."""


class Step(Protocol):
    """One step of the stream. Its effects are idempotent, so that a batch may be seen through more than once."""

    async def run(self, batch: Sequence[Incoming]) -> Newest:
        """Do the work; when it returns, the effects of the whole batch are durable.

        Errors:
            YuqingError with `retryable`: nothing is wrong with the records; the same batch passes later.
            anything else: some record is to blame.
        """
        ...

    async def bury(self, record: Incoming, *, reason: Reason, detail: str) -> None:
        """Put a record aside for ever, durably."""
        ...


Retried = Callable[[Reason], None]
Sleep = Callable[[float], Awaitable[None]]


async def see_through(step: Step, batch: Sequence[Incoming], *, on_retry: Retried, sleep: Sleep = asyncio.sleep) -> Newest:
    """The newest event times, once every record of the batch has had its effect or is a dead letter. Raises nothing but cancellation.

    An exception that leaves a Faust agent acknowledges records unseen (streaming notes, 1.1), so none may.
    """
    try:
        return await _retrying(lambda: step.run(batch), on_retry=on_retry, sleep=sleep)
    except Exception as error:  # noqa: BLE001 - the record to blame is found by halving; see above why nothing may escape
        if len(batch) > 1:
            middle = len(batch) // 2
            first = await see_through(step, batch[:middle], on_retry=on_retry, sleep=sleep)
            second = await see_through(step, batch[middle:], on_retry=on_retry, sleep=sleep)
            return merged(first, second)
        await _bury_for_ever(step, batch[0], error, on_retry=on_retry, sleep=sleep)
        return {}


def merged(first: Newest, second: Newest) -> Newest:
    """Both, the newer where they speak of one partition.

    >>> merged({0: 5}, {0: 3, 1: 1})
    {0: 5, 1: 1}
    """
    return {partition: max(first.get(partition, 0), second.get(partition, 0)) for partition in first | second}


async def _bury_for_ever(step: Step, record: Incoming, error: Exception, *, on_retry: Retried, sleep: Sleep) -> None:
    reason = error.reason if isinstance(error, YuqingError) else Reason.UNEXPECTED
    log.error("record put aside", topic=record.topic, partition=record.partition, offset=record.offset, reason=reason.value, error=repr(error))
    wait_s = FIRST_WAIT_S
    while True:
        try:
            await step.bury(record, reason=reason, detail=str(error)[:500])
        except Exception as again:  # noqa: BLE001 - a record that can be neither judged nor buried must wait, not vanish
            on_retry(again.reason if isinstance(again, YuqingError) else Reason.UNEXPECTED)
            log.warning("dead letter not written, trying again", error=repr(again))
            await sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        else:
            return


async def _retrying(work: Callable[[], Awaitable[Newest]], *, on_retry: Retried, sleep: Sleep) -> Newest:
    """What `work` gives, repeated while its error is a passing one."""
    wait_s = FIRST_WAIT_S
    while True:
        try:
            return await work()
        except YuqingError as error:
            if not error.retryable:
                raise
            on_retry(error.reason)
            log.warning("batch failed, trying again", reason=error.reason.value, error=str(error), wait_s=wait_s)
            await sleep(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
