"""Connections to Kafka topics: every partition from where the feed stands. Without a consumer group: the place is kept by whoever listens."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    OffsetOutOfRangeError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from opinion.bus import stop_consumer
from opinion.clock import Clock, epoch_ms, from_epoch_ms, monotonic_s
from opinion.errors import SourceError, SourceUnavailable, SourceWalled
from scrapers.listen import MOST_FRAME_BYTES, Batch, Pace
from scrapers.source import Ask, Frame, Gap
from scrapers.sources.kafka import STARTS, Places, places_of
from scrapers.urls import masked

REQUEST_MS = 10_000
"""Brokers that do not answer for so long are away."""
PARTITIONS_MS = 60_000
"""How often it is looked whether the topic has more partitions."""
FETCH_BYTES = 8 << 20
"""Most that one broker gives at once, before decompression; a longer message comes alone."""

_REFUSALS = (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    ClusterAuthorizationFailedError,
    IllegalSaslStateError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)


async def open_topic(ask: Ask, *, clock: Clock) -> TopicConnection:
    """A connection to `kafka://servers/topic`; the Ask's headers are those that `scrapers/sources/kafka.py` makes.

    Whom the brokers send us to is theirs to say: the operator named them, so that private addresses are no surprise.

    Errors:
        SourceUnavailable (retryable): no broker answers, there is no such topic, or the certificates cannot be read.
        SourceWalled: the login is refused, or the topic is not for us.
    """
    parts = urlsplit(ask.url)
    security = _security(ask)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=parts.netloc, group_id=None, enable_auto_commit=False, auto_offset_reset="none", isolation_level="read_committed",
        fetch_max_bytes=FETCH_BYTES, request_timeout_ms=REQUEST_MS, metadata_max_age_ms=PARTITIONS_MS, **security,
    )  # fmt: skip
    connection = TopicConnection(consumer, ask, topic=parts.path.strip("/"), clock=clock)
    try:
        try:
            await consumer.start()
            await connection.begin()
        except KafkaConnectionError as error:
            raise _refused(ask, await _why(parts.netloc, security) or error) from error
        except (KafkaError, OSError) as error:
            raise _refused(ask, error) from error
    except BaseException:
        await connection.close()
        raise
    return connection


class TopicConnection:
    """All partitions of one topic.

    A partition that no longer goes back to its place is read from its beginning, and what lay between is a gap; one that is new from its beginning too.
    """

    def __init__(self, consumer: AIOKafkaConsumer, ask: Ask, *, topic: str, clock: Clock) -> None:
        self._consumer = consumer
        self._ask = ask
        self._topic = topic
        self._clock = clock
        self._places: Places = places_of(ask.headers["place"])
        self._latest = ask.headers["start"] == STARTS[0] and not self._places
        self._partitions: list[TopicPartition] = []
        self._moved: set[int] = set()  # partitions whose place was not told yet
        self._lost: dict[int, int] = {}  # partition -> when the last message before a gap was written (epoch ms), until one behind it is read
        self._gap: Gap | None = None

    async def begin(self) -> None:
        """Look where every partition begins and ends, and read on from the places."""
        if self._topic not in await self._consumer.topics():  # to ask for one topic by its name makes it, on brokers that are set so
            raise self._missing()
        await self._consumer.end_offsets([TopicPartition(self._topic, 0)])  # from here on all partitions are known
        await self._assign()
        self._latest = False  # a partition that is added later is read from its beginning

    async def take(self, pace: Pace) -> Batch:
        """The next messages, those of one partition in order; an idle topic is asked whether it is still there."""
        try:
            if self._found() != self._partitions:
                await self._assign()
            records = await self._gathered(pace)
            if not records:
                await self._consumer.end_offsets(self._partitions)
                self._close_gaps()
        except (KafkaError, OSError) as error:
            raise _refused(self._ask, error) from error
        frames = [self._frame(record) for record in records] + [Frame(b"", self._place(number)) for number in sorted(self._moved - self._lost.keys())]
        self._moved &= self._lost.keys()  # while it is not known how much is gone, the place stays before it
        gap, self._gap = self._gap, None
        return Batch(frames, over_cap=sum(map(_is_long, records)), gap=gap)

    async def close(self) -> None:
        """Close it."""
        await stop_consumer(self._consumer)

    def _found(self) -> list[TopicPartition]:
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            raise self._missing()
        return [TopicPartition(self._topic, number) for number in sorted(numbers)]

    async def _assign(self) -> None:
        """Read every partition of the topic from its place."""
        found = self._found()
        firsts, ends = await self._consumer.beginning_offsets(found), await self._consumer.end_offsets(found)
        for partition in found:
            number, first, end = partition.partition, firsts[partition], ends[partition]
            offset, at_ms = self._places.get(number, (end if self._latest else first, self._now_ms()))
            if not first <= offset <= end:
                self._lost.setdefault(number, at_ms)
                offset = first
            if self._places.get(number) != (offset, at_ms):
                self._places[number] = offset, at_ms
                self._moved.add(number)
        self._consumer.assign(found)
        for partition in found:
            self._consumer.seek(partition, self._places[partition.partition][0])
        self._partitions = found

    async def _gathered(self, pace: Pace) -> list[ConsumerRecord]:
        records: list[ConsumerRecord] = []
        size = 0
        until_s = monotonic_s() + pace.idle_s
        while len(records) < pace.most_frames and size < pace.most_bytes and (left_s := until_s - monotonic_s()) > 0:
            try:
                found = await self._consumer.getmany(timeout_ms=int(left_s * 1000), max_records=pace.most_frames - len(records))
            except OffsetOutOfRangeError:
                await self._assign()
                continue
            for record in (record for part in found.values() for record in part):
                if not records:
                    until_s = monotonic_s() + pace.gather_s
                records.append(record)
                size += len(record.value or b"")
                self._pass(record)
        return records

    def _pass(self, record: ConsumerRecord) -> None:
        """Move the place of the partition behind a message."""
        at_ms = min(record.timestamp if record.timestamp > 0 else self._now_ms(), self._now_ms())  # the clock of whoever wrote it may be any
        since_ms = self._lost.pop(record.partition, None)
        if since_ms is not None:
            self._widen(since_ms, at_ms)
        self._places[record.partition] = record.offset + 1, at_ms

    def _close_gaps(self) -> None:
        """Nothing lies behind what is gone."""
        while self._lost:
            _, since_ms = self._lost.popitem()
            self._widen(since_ms, self._now_ms())

    def _widen(self, since_ms: int, until_ms: int) -> None:
        since, until = from_epoch_ms(since_ms), from_epoch_ms(max(since_ms, until_ms))
        self._gap = Gap(since, until) if self._gap is None else Gap(min(self._gap.since, since), max(self._gap.until, until))

    def _frame(self, record: ConsumerRecord) -> Frame:
        """A message and the place behind it; of a longer one than is read the place alone."""
        place = f"{record.partition}:{record.offset + 1}:{self._places[record.partition][1]}"
        if record.value is None:
            return Frame(self._erasure(record.key), place)
        return Frame(b"" if _is_long(record) else record.value.replace(b"\n", b" ").strip(), place)  # between the tokens of JSON a line break is a space

    def _erasure(self, key: bytes | None) -> bytes:
        """The row that deletes the document whose id is the key."""
        row: dict[str, Any] = {}
        for path, value in ((self._ask.headers["deleted"], True), (self._ask.headers["id"], (key or b"").decode("utf-8", "replace"))):
            *names, last = path.split(".")
            held = row
            for name in names:
                held = held.setdefault(name, {})
            held[last] = value
        return json.dumps(row).encode() if key else b""

    def _place(self, number: int) -> str:
        offset, at_ms = self._places[number]
        return f"{number}:{offset}:{at_ms}"

    def _missing(self) -> SourceUnavailable:
        return SourceUnavailable(f"{masked(self._ask.url)}: there is no such topic, or it is not for us to see")

    def _now_ms(self) -> int:
        return epoch_ms(self._clock.now())


def _is_long(record: ConsumerRecord) -> bool:
    return len(record.value or b"") > MOST_FRAME_BYTES


def _security(ask: Ask) -> dict[str, Any]:
    """What the client is to know of login and encryption."""
    login, tls = ask.headers.get("username"), ask.headers.get("tls")
    found: dict[str, Any] = {"security_protocol": ("SASL_" if login else "") + ("SSL" if tls else "PLAINTEXT")}
    if login:
        found |= {"sasl_mechanism": ask.headers["mechanism"], "sasl_plain_username": login, "sasl_plain_password": ask.headers["password"]}
    if tls:
        try:
            found["ssl_context"] = ssl.create_default_context(cafile=None if tls == "yes" else tls)
        except OSError as error:  # among them those of ssl
            raise SourceUnavailable(f"{masked(ask.url)}: the certificates that `tls` names cannot be read: {type(error).__name__}") from error
    return found


async def _why(servers: str, security: Mapping[str, Any]) -> Exception | None:
    """Why the first of the brokers lets nobody in: the client keeps that to itself."""
    host, _, port = servers.partition(",")[0].partition(":")
    try:
        connection = await create_conn(host, int(port), request_timeout_ms=REQUEST_MS, **security)
    except (KafkaError, OSError) as error:
        return error
    connection.close()
    return None


def _refused(ask: Ask, error: Exception) -> SourceError:
    """The error of ours; of the client's, which may name users, the kind alone."""
    where, kind = masked(ask.url), type(error).__name__
    if isinstance(error, _REFUSALS):
        return SourceWalled(f"{where}: the login is refused, or the topic is not for us: {kind}")
    return SourceUnavailable(f"{where}: no broker answers: {kind}")
