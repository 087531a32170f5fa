"""Dead letters: records that cannot be worked on, kept whole with the reason."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from opinion.bus import Producer
from opinion.clock import Clock
from opinion.codec import encode
from opinion.errors import Reason
from opinion.metrics import WorkerMetrics
from opinion.names import Names
from opinion.records import DeadLetter
from streams.batches import Incoming


class DeadLetters:
    """Writes dead letters to Kafka and counts them."""

    def __init__(self, producer: Producer, names: Names, *, clock: Clock, metrics: WorkerMetrics) -> None:
        self._producer = producer
        self._names = names
        self._clock = clock
        self._metrics = metrics

    async def bury(self, letters: Sequence[tuple[Incoming, Reason, str]]) -> None:
        """Write the letters; returns when Kafka has them.

        Errors:
            BusUnavailable: not acknowledged (retryable; copies have the same key).
        """
        if not letters:
            return
        records = [letter_of(record, reason, detail, clock=self._clock) for record, reason, detail in letters]
        await self._producer.send_all(self._names.dead, [(letter_key(letter), encode(letter)) for letter in records])
        for letter in records:
            self._metrics.dead_letters.labels(letter.reason).inc()


def letter_of(record: Incoming, reason: Reason, detail: str, *, clock: Clock) -> DeadLetter:
    """The dead letter of a record, its bytes kept whole."""
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        reason=reason.value,
        detail=detail[:500],
        value_base64=base64.b64encode(record.value or b"").decode(),
        key_base64=None if record.key is None else base64.b64encode(record.key).decode(),
        at=clock.now(),
    )


def letter_key(letter: DeadLetter) -> bytes:
    """The Kafka key of a letter: the same for the same record."""
    return f"{letter.topic}/{letter.partition}/{letter.offset}".encode()
