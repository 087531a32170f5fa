"""What Redis holds of an installation: copied while everything runs, and written back. The work is done by one Lua script; here is the order of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.erased import sign_of
from opinion.errors import StoreUnavailable
from opinion.evidence import note_quotes
from opinion.names import Names
from opinion.records import AlertEvidence
from yuqing.backup.families import ALERTS, DELIVERIES, ERASED, FAMILIES, LEFT_OUT, SUBJECTS, Family, family_of

SCANNED_AT_ONCE = 1000
COPIED_AT_ONCE = 100
"""Keys of one copy: a hash of what a feed listed on a day can have a megabyte."""
SUBJECTS_AT_ONCE = 100

_SCRIPT = Path(__file__).with_suffix(".lua").read_text(encoding="utf-8")
_evidence = msgspec.json.Decoder(AlertEvidence)


T = TypeVar("T")


class State:
    """The keys of an installation.

    Errors of every method:
        StoreUnavailable: Redis does not answer, or refuses (it may be out of memory).
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._names = names
        self._script = redis.register_script(_SCRIPT)

    async def keys(self) -> dict[Family, list[str]]:
        """The keys there are, by family, without their common beginning; of a large Redis this takes seconds."""
        found: dict[Family, list[str]] = {family: [] for family in (*FAMILIES, LEFT_OUT)}
        start = len(self._names.prefix)
        try:
            async for key in self._redis.scan_iter(match=f"{self._names.prefix}*", count=SCANNED_AT_ONCE):
                name = cast("bytes", key).decode()[start:]
                family = family_of(name)
                if family is not None:
                    found[family].append(name)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not list its keys: {error}") from error
        return found

    async def copies(self, family: Family, keys: Sequence[str]) -> AsyncIterator[bytes]:
        """All of a family, in parts as state.lua has them, while others go on writing. `keys` are those that were there a while ago."""
        if family is DELIVERIES:
            packed, ids = await self._run("copy_delivery_lists", [self._names.delivery_base])
            yield packed
            deliveries = [key for item in ids for key in (self._names.delivery(item.decode()), self._names.delivery_plain(item.decode()))]
            for some in _parts(deliveries, COPIED_AT_ONCE):
                yield await self._run("copy", some)
            return
        listed = family.exact if family is SUBJECTS else sorted({*keys, *family.exact})
        for some in [listed] if family.at_once else _parts(listed, COPIED_AT_ONCE):
            yield await self._run("copy", [self._names.prefix + key for key in some])
        for subject in await self._subjects() if family is SUBJECTS else []:
            yield await self._run("copy_subject", [self._names.subject_base(subject)])

    async def write(self, packed: bytes) -> int:
        """Write a copy, over what is there; how many keys had not run out since."""
        return int(await self._run("write", [], packed))

    async def remove(self, keys: Mapping[Family, Sequence[str]]) -> None:
        """Remove keys, but for what stands for erased documents: that outlives everything."""
        try:
            for family, names in keys.items():
                for some in _parts(names, SCANNED_AT_ONCE):
                    if family is not ERASED:
                        await self._redis.unlink(*[self._names.prefix + name for name in some])
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not remove keys: {error}") from error

    async def counts(self, keys: Mapping[Family, Sequence[str]]) -> dict[str, int]:
        """How much there is of what a person would ask for, by name; empty where there is nothing at all."""
        total = sum(len(keys[family]) for family in FAMILIES)
        if not total:
            return {}
        try:
            receivers = await self._redis.hlen(self._names.subscriptions)
            deliveries = await self._redis.zcard(self._names.deliveries_made())
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say how much it holds: {error}") from error
        alerts = sum(name.startswith(ALERTS.beginnings) for name in keys[ALERTS])
        return {"subscriptions": receivers, "alerts": alerts, "deliveries": deliveries, "subjects": len(subjects_of(keys)), "keys": total}

    async def erased(self) -> frozenset[bytes]:
        """What stands for the ids of erased documents."""
        try:
            return frozenset(cast("list[bytes]", await self._redis.zrange(self._names.erased, 0, -1)))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not say which documents are erased: {error}") from error

    async def remember_erased(self, keep_s: int) -> None:
        """Remember the erased documents that are listed now for so long."""
        try:
            await self._redis.expire(self._names.erased, keep_s)
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not keep the list of erased documents: {error}") from error

    async def tie(self, subjects: Sequence[str]) -> int:
        """Make anew what is not in a copy: when subjects changed, and which of them quote a document; erased documents leave the evidence and the events.

        How many quotes left.
        """
        gone = await self.erased()
        left = 0
        for some in _parts(subjects, SUBJECTS_AT_ONCE):
            left += await self._tie(some, gone)
        parts = [f"d:{sign.hex()}" for sign in gone]
        try:
            for names in _parts(parts, SCANNED_AT_ONCE):
                await self._redis.unlink(*[self._names.event_bucket(part) + part for part in names])
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not forget erased documents: {error}") from error
        return left

    async def _tie(self, subjects: Sequence[str], gone: Collection[bytes]) -> int:
        quotes: dict[str, set[str]] = {}
        left: dict[str, list[bytes]] = {}
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for subject in subjects:
                    pipe.zrange(self._names.evidence(subject), 0, -1)
                rows = cast("list[list[bytes]]", await pipe.execute())
            for subject, lines in zip(subjects, rows, strict=True):
                for line in lines:
                    doc_id = _quoted(line)
                    if doc_id is None or sign_of(doc_id) in gone:
                        left.setdefault(subject, []).append(line)
                    else:
                        quotes.setdefault(doc_id, set()).add(subject)
            seconds, microseconds = await self._redis.time()
            async with self._redis.pipeline(transaction=False) as pipe:
                note_quotes(pipe, self._names, quotes)
                for subject, lines in left.items():
                    pipe.zrem(self._names.evidence(subject), *lines)
                pipe.zadd(self._names.changed, dict.fromkeys(subjects, seconds * 1_000_000 + microseconds))
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take what belongs to {len(subjects)} subjects: {error}") from error
        return sum(map(len, left.values()))

    async def _subjects(self) -> list[str]:
        try:
            return sorted(subject.decode() for subject in cast("list[bytes]", await self._redis.zrange(self._names.changed, 0, -1)))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not name the subjects: {error}") from error

    async def _run(self, step: str, keys: Sequence[str], *arguments: bytes) -> Any:
        try:
            return await self._script(keys=list(keys), args=[step, self._names.prefix, *arguments])
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not {step.replace('_', ' ')}: {str(error)[:200]}") from error


def subjects_of(keys: Mapping[Family, Sequence[str]]) -> list[str]:
    """The subjects that keys belong to.

    >>> subjects_of({SUBJECTS: ["names", "{topic:Macro}:quarters", "{topic:Macro}:evidence"]})
    ['topic:Macro']
    """
    return sorted({name[1 : name.rindex("}:")] for name in keys[SUBJECTS] if name.startswith("{")})


def _quoted(line: bytes) -> str | None:
    """The document that a line of evidence quotes; None where it cannot be read: nobody could erase it later."""
    try:
        return _evidence.decode(line).doc_id
    except msgspec.MsgspecError:
        return None


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
