"""One look at the windows: what changed, what it means, and the transitions that follow, written to Kafka first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from alerts.acts import Act, ActStore
from alerts.compose import choose_evidence, compose
from alerts.detect.profile import MEMORY_H
from alerts.detect.rules import HOUR_S
from alerts.detect.trend import trend_of
from alerts.detector import TOPIC, Detector, DetectorState
from alerts.lifecycle import Transition
from alerts.rules_file import RulesFile
from alerts.scans.tails import OwnTail
from alerts.shown import Standing, show, standing_of
from alerts.source_watch import SourceHealth, Watching, acted_on, step
from alerts.store import AlertStore
from opinion.bus import Producer
from opinion.clock import Clock, SystemClock
from opinion.codec import encode
from opinion.errors import StoreUnavailable
from opinion.explaining import MOST_ASKED, Explanations, Question
from opinion.garbage import keep_for_good
from opinion.metrics import WATCHED_LANGUAGES, AlerterMetrics
from opinion.names import Names
from opinion.records import Alert, AlertEvidence, AlertLinks, AlertStatus, Spike
from opinion.watermark import Watermark, watermark
from opinion.windows import PANE_S, WindowStore

log = structlog.get_logger()

LATENESS = timedelta(minutes=15)
"""How far back a changed subject's panes are read again: later documents than this do not exist (event time rule)."""
EVIDENCE_CANDIDATES = 200
EXPLAIN_WITHIN_S = 2.0
"""Longest wait for the words that decided: part of the delay of an alert."""
MANY = 1000
"""Subjects new at one look, after which what is held is kept for good."""

_state = msgspec.json.Decoder(DetectorState)
_health = msgspec.json.Decoder(SourceHealth)
_watching = msgspec.json.Decoder(Watching)
_tail = msgspec.json.Decoder(OwnTail)


class Tick:
    """Panes to transitions, exactly as often as event time moves on. Holds the detector of the leading alerter."""

    def __init__(
        self,
        rules: RulesFile,
        *,
        store: WindowStore,
        alerts: AlertStore,
        producer: Producer,
        redis: Redis,
        names: Names,
        clock: Clock,
        metrics: AlerterMetrics,
        partitions: int,
        links: str,
    ) -> None:
        self._rules = rules
        self._detector = Detector(rules.rules)
        self._store = store
        self._alerts = alerts
        self._explanations = Explanations(redis, names)
        self._acts = ActStore(redis, names, alerts=alerts)
        self._producer = producer
        self._redis = redis
        self._names = names
        self._clock = clock
        self._metrics = metrics
        self._partitions = partitions
        self._links = links
        self._wall = SystemClock()
        self._watching = Watching()
        self._stamp_us = 0
        self._known: set[str] = set()
        self._read_until: datetime | None = None
        self.watermark = Watermark(None)

    async def restore(self) -> None:
        """Take up the state that the last leader saved, so that a restart neither repeats nor forgets.

        Errors:
            StoreUnavailable: Redis does not answer (retryable).
        """
        try:
            saved, watching = await self._redis.mget([self._names.episodes, self._names.source_alerts])
            tails = cast("dict[bytes, bytes]", await self._redis.hgetall(self._names.tails))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the alerts' state: {error}") from error
        self._stamp_us, self._known = 0, set()
        try:
            state, own = _state.decode(saved) if saved else DetectorState(), {subject.decode(): _tail.decode(tail) for subject, tail in tails.items()}
        except msgspec.MsgspecError as error:  # of another version: what was told then is not told again
            log.warning("the saved state cannot be read: going on from now without it", error=str(error))
            state, own = DetectorState(int(self._clock.now().timestamp()) // PANE_S * PANE_S), {}
        self._detector.restore(state, own)
        try:
            self._watching = _watching.decode(watching) if watching else Watching()
        except msgspec.MsgspecError as error:
            log.warning("what was known of lost sources cannot be read: it is found again", error=str(error))
            self._watching = Watching()

    async def run(self) -> list[Alert]:
        """The transitions since the last look, each durable in Kafka and stored.

        Errors:
            StoreUnavailable, BusUnavailable (retryable: the state is restored before the next look).
        """
        self._take_rules()
        with self._metrics.tick_duration.time():
            found = await self._watch()
            if found.at is None:
                return []
            acts = await self._acts.waiting()
            written = [alert for act in acts if act is not None and (alert := await self._acted(act)) is not None]
            await self._read_changes(found.at)
            spikes = self._detector.spikes(found.at, partial=self._clock.speed == 1.0)
            companies = self._detector.explaining(spikes)
            spikes = [await self._with_breadth(spike, companies) for spike in spikes]
            written += [await self._written(await self._composed(transition)) for transition in self._detector.decide(spikes)]
            standing = standing_of(self._detector, at=found.at, subjects=self._known)
            written += await self._watch_sources()
            await self._save(standing)
            await self._acts.told(len(acts))
            show(self._detector, self._metrics, standing=standing, subjects=self._known, watermark=found)
        return written

    async def _written(self, alert: Alert) -> Alert:
        """The alert, durable in Kafka before anything else knows of it."""
        await self._producer.send_all(self._names.alerts, [(alert.alert_id.encode(), encode(alert))])
        await self._alerts.save(alert)
        self._count(alert)
        return alert

    async def _acted(self, act: Act) -> Alert | None:
        """The transition that tells what somebody did to an alert; None where it is over by now."""
        known = await self._alerts.get(act.alert_id)
        self._watching, sequence = acted_on(self._watching, act.alert_id)
        sequence = sequence or self._detector.acted_on(act.alert_id)
        if known is None or sequence is None:
            log.info("an alert that is over was acted on", alert=act.alert_id, act=act.kind.value)
            return None
        return await self._written(
            msgspec.structs.replace(known, sequence=sequence, status=AlertStatus.UPDATED, reason=act.reason, updated_at=act.at, rules_version=self._detector.rules.version)
        )

    async def _watch_sources(self) -> list[Alert]:
        """Transitions of alerts on what feeds us; not in a replay, whose sources are files."""
        if self._clock.speed != 1.0:
            return []
        try:
            rows = cast("dict[bytes, bytes]", await self._redis.hgetall(self._names.sources))
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not give the health of the sources: {error}") from error
        sources = {name.decode(): _health.decode(value) for name, value in rows.items()}
        self._watching, told = step(self._watching, sources, at=self._wall.now(), links=self._links)
        for language in WATCHED_LANGUAGES:
            self._metrics.language_blind.labels(language).set(f"language:{language}" in self._watching.on)
        return [await self._written(await self._marked(alert)) for alert in told]

    async def _marked(self, alert: Alert) -> Alert:
        return (await self._alerts.marks(alert.alert_id)).on(alert)

    def _take_rules(self) -> None:
        """Go on by the rules' file as it is now; wrong ones change nothing."""
        read = self._rules.changed()
        if read is not None:
            self._metrics.rules_read.labels("ok" if read else "refused").inc()
        if read:
            self._detector.adopt(self._rules.rules)

    async def look(self) -> Watermark:
        """The watermark as the workers' marks have it now.

        Errors:
            StoreUnavailable: Redis does not answer (retryable).
        """
        return watermark(await self._store.marks(), now=self._clock.now(), wall=self._wall.now(), speed=self._clock.speed, expected=2 * self._partitions)

    async def _watch(self) -> Watermark:
        """The watermark, never going back; says when the inputs are not alive."""
        found = await self.look()
        if found.at is not None and self.watermark.at is not None:
            found = msgspec.structs.replace(found, at=max(found.at, self.watermark.at))
        if found.blind and found.blind != self.watermark.blind:
            log.warning("blind: no live worker, silence means nothing", partitions=found.blind)
        self.watermark = found
        if found.blind or found.at is None:
            self._metrics.blind.set(1)
        if found.at is not None:
            self._metrics.watermark.set(found.at.timestamp())
        return found

    async def _read_changes(self, until: datetime) -> None:
        self._stamp_us, subjects = await self._store.changed_since(self._stamp_us)
        known = [subject for subject in subjects if subject in self._known]
        new = [subject for subject in subjects if subject not in self._known]
        needed = self._detector.panes_needed_since
        last, self._read_until = self._read_until or until, until  # a worker that was away makes up for hours between two looks
        counts = await self._store.counts_of(known, since=last - LATENESS - timedelta(hours=1)) | await self._store.counts_of(new, since=needed)
        for subject in subjects:
            for start_s, total, negative, clear in counts[subject]:
                self._detector.put(subject, start_s, total=total, negative=negative, clear=clear)
        if needed is not None and new:
            hours = await self._store.hours_of(new, first_hour=int(until.timestamp()) // HOUR_S - MEMORY_H - 24)
            for subject, known_hours in hours.items():
                self._detector.put_hours(subject, {hour: sums for hour, sums in known_hours.items() if hour * HOUR_S < needed.timestamp()})
        self._known.update(subjects)
        if len(new) >= MANY:
            keep_for_good()

    async def _with_breadth(self, spike: Spike, companies: Sequence[str]) -> Spike:
        """The spike with how many told it and, of a topic, how much of it is about each of the companies; only where it may fire."""
        if not spike.surging:
            return spike
        start_at = spike.at - timedelta(seconds=spike.width_s)
        breadth = (await self._store.breadth(spike.subject, start_at=start_at, end_at=spike.at)).among(spike.negative, width_s=spike.width_s)
        shared = await self._store.shared(spike.subject, companies, start_at=start_at, end_at=spike.at) if spike.subject.startswith(TOPIC) else {}
        return msgspec.structs.replace(spike, stories=breadth.stories, publishers=breadth.publishers, authors=breadth.authors, authored=breadth.authored, shared=shared)

    async def _composed(self, transition: Transition) -> Alert:
        spike = transition.spike
        candidates = await self._store.evidence(transition.subject, start_at=spike.at - timedelta(seconds=spike.width_s), end_at=spike.at)
        links = AlertLinks(console=f"{self._links}/alerts/{transition.alert_id}", api=f"{self._links}/api/v1/alerts/{transition.alert_id}")
        alert = compose(
            transition,
            name=await self._store.subject_name(transition.subject),
            evidence=await self._explained(choose_evidence(candidates[-EVIDENCE_CANDIDATES:]), subject=transition.subject),
            trend=trend_of(self._detector.series(transition.subject), int(spike.at.timestamp())),
            links=links,
            rules_version=self._detector.rules.version,
        )
        return await self._marked(alert)

    async def _explained(self, evidence: Sequence[AlertEvidence], *, subject: str) -> list[AlertEvidence]:
        """The evidence with the words that decided, of the first documents, as far as a worker says in time."""
        questions = [question_of(item, subject=subject) for item in evidence[:MOST_ASKED]]
        try:
            why = await self._explanations.ask(questions, within_s=EXPLAIN_WITHIN_S)
        except StoreUnavailable as error:
            log.warning("an alert goes without the words that decided", error=str(error))
            why = {}
        return [msgspec.structs.replace(item, why=why.get(item.doc_id, item.why)) for item in evidence]

    async def _save(self, standing: Standing) -> None:
        tails = {subject: msgspec.json.encode(tail) for subject, tail in self._detector.own_tails(changed=True).items()}
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.set(self._names.episodes, msgspec.json.encode(self._detector.state()))
                pipe.set(self._names.source_alerts, msgspec.json.encode(self._watching))
                pipe.set(self._names.detection, msgspec.json.encode(standing))
                if tails:
                    pipe.hset(self._names.tails, mapping=cast("dict[Any, Any]", tails))
                await pipe.execute()
        except RedisError as error:
            raise StoreUnavailable(f"Redis did not take the alerts' state: {error}") from error

    def _count(self, alert: Alert) -> None:
        self._metrics.transitions.labels(alert.status.value, alert.severity.value).inc()
        newest = max((item.fetched_at for item in alert.evidence if item.fetched_at is not None), default=None)
        if newest is not None and alert.status in {AlertStatus.FIRING, AlertStatus.UPDATED}:
            self._metrics.alert_delay.observe(max(0.0, (self._clock.now() - newest).total_seconds() / self._clock.speed))


def question_of(item: AlertEvidence, *, subject: str) -> Question:
    """Why a document is negative on the subject of an alert."""
    return Question(doc_id=item.doc_id, title=item.title, kind=item.kind, lang=item.lang, company=subject.partition("entity:")[2])
