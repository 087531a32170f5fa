"""`yuqing restore`: a backup becomes the state of an installation whose processes stand still, beside the Kafka that is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.archive import Archive
from alerts.catching_up import catch_up
from alerts.delivery_queue import DeliveryQueue
from alerts.leader import LEASE_S
from alerts.notifier import Notifier
from alerts.silence_store import SilenceStore
from alerts.store import AlertStore
from alerts.subscriptions import SubscriptionStore
from opinion.bus import create_topics
from opinion.clock import SystemClock, monotonic_s
from opinion.codec import decode
from opinion.errors import ConfigError, RecordError, StoreUnavailable, YuqingError
from opinion.records import Alert
from opinion.redis_client import connect
from opinion.settings import Settings
from yuqing.backup.form import Backup, described, opened
from yuqing.backup.making import ARCHIVE, RULES, SHELF, Echo, Files, on_servers
from yuqing.backup.places import Offsets, commit, committed, offsets_at, readers, records_from, wait_until_alone
from yuqing.backup.state import State, subjects_of

SLACK_S = 5.0
"""Beyond the term after which a process that was killed counts as dead."""
LOOK_S = 0.5
FIRST = datetime(1970, 1, 1, tzinfo=UTC)


class _Plan(NamedTuple):
    """Where everything goes on in Kafka."""

    documents: Offsets
    scored: Offsets
    alerts: Offsets
    archive: Offsets
    told: list[Alert]  # transitions that are not in the backup, and whose messages another Redis had
    whole: bool  # whether Kafka reaches back to before the backup


async def check_backup(path: Path, *, echo: Echo) -> int:
    """Read a backup to its end; 0 when every byte is as it was written.

    Errors:
        ConfigError: it is none, or is damaged, cut off, or of a newer version.
    """
    with opened(path) as backup:
        echo(f"{path} is whole: {described(backup.manifest)}")
    return 0


async def restore_backup(path: Path, *, settings: Settings, replace: bool, echo: Echo) -> int:
    """Put the state of a backup in place; 0. What is there already is only replaced when asked to, but for its list of erased documents.

    Errors:
        ConfigError: the backup cannot be used, processes run, or there is state already; nothing was changed.
        StoreUnavailable, BusUnavailable, ServerFailed: a server does not answer; the message says whether something was changed.
    """
    with opened(path) as backup:
        echo(described(backup.manifest))
        async with on_servers(settings, echo=echo) as running:
            redis = connect(running.require_servers()[1])
            try:
                await Restoring(backup, running, redis=redis, echo=echo).run(replace=replace)
            finally:
                await redis.aclose()
    return 0


class Restoring:
    """One restore.

    run(): nobody works ──▶ nothing is lost, or asked to ──▶ planned ──▶ Redis ──▶ files ──▶ places in Kafka ──▶ what was told since
    """

    def __init__(self, backup: Backup, settings: Settings, *, redis: Redis, echo: Echo) -> None:
        self._backup = backup
        self._settings = settings
        self._kafka = settings.require_servers()[0]
        self._names = settings.names
        self._redis = redis
        self._echo = echo
        self._files = Files.of(settings)
        self._state = State(redis, self._names)
        self._wall = SystemClock()

    async def run(self, *, replace: bool) -> None:
        """Do it; see `restore_backup`."""
        settings = self._settings
        await create_topics(self._kafka, self._names, partitions=settings.partitions, replication=settings.replication, retention=settings.retention)
        await self._alone()
        keys = await self._state.keys()
        counts = await self._state.counts(keys)
        if (counts or await self._archived()) and not replace:
            held = ", ".join(f"{name} {count}" for name, count in counts.items()) or "an archive of documents"
            raise ConfigError(f"this installation holds state already ({held}): --replace puts the backup in its place")
        plan = await self._plan()
        with _half_way():
            await self._state.remove(keys)
            written = await self._write_state()
            gone = await self._write_archive(plan)
            self._write_files()
            for reader, offsets in zip(readers(self._names), (plan.documents, plan.scored, plan.alerts), strict=True):
                await commit(self._kafka, reader, offsets)
            await self._catch_up(plan.told)
        self._echo(f"restored: keys {written}, transitions of alerts since then that stay told {len(plan.told)}, documents left out because they are erased {gone}")
        if not plan.whole:
            self._echo("Kafka does not reach back to this backup: documents that were erased after it was made have to be erased again (`yuqing erase`)")

    async def _alone(self) -> None:
        """Return when nobody works on the state."""
        until_s = monotonic_s() + LEASE_S + SLACK_S
        while await self._led():
            if monotonic_s() > until_s:
                raise ConfigError("an alerter runs: stop all processes first, then restore")
            await asyncio.sleep(LOOK_S)
        await wait_until_alone(self._kafka, self._names, within_s=self._settings.session_timeout_s + SLACK_S, echo=self._echo)

    async def _led(self) -> bool:
        try:
            return bool(await self._redis.exists(self._names.leader))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not answer about the leader: {error}") from error

    async def _archived(self) -> bool:
        archive = self._archive(self._files.archive)
        try:
            return await archive.stands() is not None
        finally:
            archive.close()

    async def _plan(self) -> _Plan:
        since = self._backup.manifest.since
        documents, scored, alerts = readers(self._names)
        read = await committed(self._kafka, documents)
        scored_from = await offsets_at(self._kafka, scored, since.scored)
        alerts_from = await offsets_at(self._kafka, alerts, since.alerts)
        return _Plan(
            documents={partition: offset for partition, offset in (await offsets_at(self._kafka, documents, since.documents)).items() if partition not in read},
            scored=scored_from,
            alerts=alerts_from,
            archive=await offsets_at(self._kafka, scored, since.archive or since.scored),
            told=await self._told(alerts_from),
            whole=scored_from != await offsets_at(self._kafka, scored, FIRST),
        )

    async def _told(self, offsets: Offsets) -> list[Alert]:
        """Transitions from these offsets on that were made into messages; those behind are told by who leads next."""
        reader = readers(self._names)[2]
        done = await committed(self._kafka, reader)
        found = []
        for partition, offset, value in await records_from(self._kafka, reader, offsets):
            try:
                alert = decode(value, Alert)
            except RecordError as error:
                self._echo(f"a transition in Kafka cannot be read and is passed over: {error}")
                continue
            if alert.sequence and offset < done.get(partition, offset + 1):
                found.append(alert)
        return found

    async def _write_state(self) -> int:
        count = 0
        for part in self._backup.parts("redis/"):
            for packed in self._backup.frames(part):
                count += await self._state.write(packed)
        await DeliveryQueue(self._redis, self._names, clock=self._wall).mend()
        await self._state.remember_erased(int(self._settings.erased_for.total_seconds()))
        await self._state.tie(subjects_of(await self._state.keys()))
        return count

    async def _write_archive(self, plan: _Plan) -> int:
        """How many of its documents are erased."""
        path = self._files.archive
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.restored")
        if self._backup.parts(ARCHIVE):
            self._backup.extract(ARCHIVE, fresh)
            for old in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
                old.unlink(missing_ok=True)
            fresh.replace(path)
        if not path.exists():
            return 0
        archive = self._archive(path)
        try:
            return await archive.take_up(plan.archive, erased=await self._state.erased())
        finally:
            archive.close()

    def _archive(self, path: Path) -> Archive:
        return Archive(path, keep=timedelta(days=self._settings.archive_days))

    def _write_files(self) -> None:
        for name, path in self._files.tokens.items():
            if self._backup.parts(name):
                self._backup.extract(name, path)
        for part in self._backup.parts(f"{SHELF}/"):
            target = self._files.shelf / part.removeprefix(f"{SHELF}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._backup.extract(part, target)
        if self._backup.parts(RULES):
            self._write_rules(self._backup.read(RULES))

    def _write_rules(self, rules: bytes) -> None:
        """Put the rules where the setting wants them; other ones that are there are newer, or meant."""
        path = self._files.rules or self._settings.data_dir / self._backup.manifest.rules
        if path.exists() and path.read_bytes() != rules:
            self._echo(f"{path} is left as it is: the rules in the backup are others")
            return
        path.write_bytes(rules)
        if self._files.rules is None:
            self._echo(f"the rules of the backup are at {path}: name them in the setting `rules`")

    async def _catch_up(self, told: list[Alert]) -> None:
        queue, subscriptions = DeliveryQueue(self._redis, self._names, clock=self._wall), SubscriptionStore(self._redis, self._names)
        silences, alerts = SilenceStore(self._redis, self._names, clock=self._wall), AlertStore(self._redis, self._names)
        notifier = Notifier(self._redis, self._names, queue=queue, subscriptions=subscriptions, silences=silences, inhibitions=[], clock=self._wall)
        await catch_up(told, redis=self._redis, names=self._names, alerts=alerts, notifier=notifier)


@contextmanager
def _half_way() -> Iterator[None]:
    """Say, when something fails, that the state is half written."""
    try:
        yield
    except (YuqingError, OSError) as error:
        raise StoreUnavailable(f"the state is half restored; once the cause is mended, run the same again with --replace: {error}") from error
