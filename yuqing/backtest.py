"""`yuqing backtest`: the alerter's own detection over recorded counts or scored documents; no Kafka, no Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
from msgspec import Struct

from alerts.detect.rulebook import RuleBook, load_rules
from alerts.detect.rules import HOUR_S, Rules
from alerts.detector import TOPIC, Detector
from alerts.lifecycle import Transition
from opinion.errors import ConfigError
from opinion.records import AlertStatus, Instant, Lane, Severity, Spike
from opinion.windows import PANE_S
from yuqing.backtest_strips import Scene
from yuqing.outputs import refuse_unwritable, writing
from yuqing.plant_report import Alarm, PlantReport, Run, as_table, plant_report
from yuqing.planting import PLANT_SEED, Plan, plan_of, planted
from yuqing.recorded import Recording, read_recording

WEEK_S = 7 * 86400
LANES = ("share", "count", "both")
"""What may be looked at."""


class Row(Struct, frozen=True, kw_only=True):
    """One transition as it is printed."""

    at: Instant
    subject: str
    status: AlertStatus
    alert_id: str
    lane: Lane
    window_s: int
    severity: Severity
    score: float
    total: int
    negative: int
    expected_negative: float
    baseline_ratio: float
    ratio: float
    lift: float
    stories: int | None  # None where the input does not say
    authors: int | None


class Summary(Struct, frozen=True, kw_only=True):
    """What a backtest amounts to."""

    subjects: int
    rows: int
    first_at: Instant | None
    last_at: Instant | None
    alerts: int
    alerts_per_subject_week: float
    warmup_s: int  # at the start of the record too little is known of what is usual


class Outcome(NamedTuple):
    """All of a backtest."""

    rows: list[Row]
    summary: Summary


def backtest_file(
    file: IO[bytes],
    out: IO[bytes],
    *,
    rules: str | Path | None,
    lane: str,
    summary: str | Path | None,
    picture: str | Path | None = None,
    plant: Sequence[float] = (),
    plant_seed: int = PLANT_SEED,
    say: Callable[[str], object] = str,
) -> None:
    """Write the transitions as JSON Lines to `out`, the summary and the picture to the files named.

    With surges to `plant` (their strengths), the summary and `say` also tell what was caught of them, and the picture shows the strongest.

    Errors:
        ConfigError: no such lane, wrong rules, a file that cannot be written, a record too short to plant in.
        InvalidRecord: a bad row; the message gives its line.
    """
    refuse_unwritable("--summary", summary)
    refuse_unwritable("--picture", picture, suffix=".png")
    _refuse_unknown(lane)
    loaded = load_rules(rules).only(lane)
    recording = read_recording(file)
    plan = plan_of(recording, seed=plant_seed) if plant else None
    outcome = outcome_of(recording, rules=loaded)
    for row in outcome.rows:
        out.write(msgspec.json.encode(row) + b"\n")
    out.flush()
    told, shown = msgspec.structs.asdict(outcome.summary), Scene(getattr(file, "name", ""), recording, alarms_of(outcome.rows))
    if plan is not None:
        told["planted"], shown = _planted(shown, plan, strengths=plant, rules=loaded)
        say(as_table(told["planted"]))
    if summary is not None:
        with writing("--summary", summary):
            Path(summary).write_bytes(msgspec.json.encode(told) + b"\n")
    if picture is not None:
        from yuqing.backtest_picture import draw  # noqa: PLC0415 - matplotlib takes half a second, and few ask for a picture

        with writing("--picture", picture):
            draw(shown, Path(picture), rules=loaded.all)


def run_backtest(lines: Iterable[bytes], *, rules: RuleBook | Rules, lane: str = "both") -> Outcome:
    """The transitions that the alerter would have made, in order, and their summary.

    Every closed pane is looked at, up to the end of the last one: an alert that is on then stays without its end.

    Errors:
        ConfigError: no such lane.
        InvalidRecord: a bad row; the message gives its line.
    """
    _refuse_unknown(lane)
    book = rules if isinstance(rules, RuleBook) else RuleBook(rules)
    return outcome_of(read_recording(lines), rules=book.only(lane))


def outcome_of(recording: Recording, *, rules: RuleBook) -> Outcome:
    """The same of a record that has been read."""
    transitions = _replayed(recording, rules) if recording.tracks else []
    return Outcome([_row(transition) for transition in transitions], _summary(recording, transitions, rules=rules.all))


def alarms_of(rows: Iterable[Row]) -> dict[str, list[Alarm]]:
    """The alerts that the transitions tell of."""
    by_id: dict[str, tuple[str, Alarm]] = {}
    for row in rows:
        at_s = int(row.at.timestamp())
        _, begun = by_id.get(row.alert_id) or (row.subject, Alarm(at_s, None, row.severity, row.ratio, row.baseline_ratio))
        end_s = at_s if row.status == AlertStatus.RESOLVED else None
        by_id[row.alert_id] = row.subject, begun._replace(end_s=end_s, severity=row.severity)  # severity only rises
    alarms: dict[str, list[Alarm]] = {}
    for subject, alarm in by_id.values():
        alarms.setdefault(subject, []).append(alarm)
    return alarms


def _planted(quiet: Scene, plan: Plan, *, strengths: Sequence[float], rules: RuleBook) -> tuple[PlantReport, Scene]:
    """What is caught of surges planted into a record, and the record with the strongest of them."""
    runs, shown = {}, quiet
    for k in sorted(strengths):
        shown = quiet  # lets go of the record before: a year of a hundred subjects is half a gigabyte
        shown, texts = _surging(quiet, plan, k=k, rules=rules)
        runs[k] = Run(texts, shown.alarms)
    return plant_report(plan, quiet=quiet.alarms, surging=runs), shown


def _surging(quiet: Scene, plan: Plan, *, k: float, rules: RuleBook) -> tuple[Scene, Sequence[int]]:
    recording, texts = planted(quiet.recording, plan, k=k)
    alarms = alarms_of(outcome_of(recording, rules=rules).rows)
    return quiet._replace(recording=recording, alarms=alarms, surges=plan.surges, k=k), texts


def _refuse_unknown(lane: str) -> None:
    if lane not in LANES:
        raise ConfigError(f"lane {lane!r} is not one of: {', '.join(LANES)}")


def _replayed(recording: Recording, rules: RuleBook) -> list[Transition]:
    detector = Detector(rules)
    for subject, track in recording.tracks.items():
        detector.load(subject, track.starts_s, track.counts, pane_s=track.pane_s)
    until_s = -(-max(track.end_s for track in recording.tracks.values()) // PANE_S) * PANE_S
    spikes = detector.spikes(datetime.fromtimestamp(until_s, UTC))
    companies = detector.explaining(spikes)
    decided = detector.decide(_with_breadth(spike, recording, companies=companies) for spike in spikes)
    return [transition for transition in decided if transition.sequence]  # without what only waited


def _with_breadth(spike: Spike, recording: Recording, *, companies: Sequence[str]) -> Spike:
    """The spike with what the record says of its window; only those that may fire are asked for it."""
    if not spike.surging:
        return spike
    end_s = int(spike.at.timestamp())
    start_s, voices = end_s - spike.width_s, recording.tracks[spike.subject].voices
    breadth = voices.breadth(start_s, end_s).among(spike.negative, width_s=spike.width_s)
    own = voices.tellings_of(start_s, end_s) if spike.subject.startswith(TOPIC) else frozenset()
    told = {company: len(own & recording.tracks[company].voices.tellings_of(start_s, end_s)) for company in companies} if own else {}
    shared = {company: count for company, count in told.items() if count}
    return msgspec.structs.replace(spike, stories=breadth.stories, publishers=breadth.publishers, authors=breadth.authors, authored=breadth.authored, shared=shared)


def _row(transition: Transition) -> Row:
    spike = transition.spike
    shared = {key: getattr(spike, key) for key in ("score", "total", "negative", "expected_negative", "baseline_ratio", "ratio", "lift")}
    return Row(
        at=transition.at,
        subject=transition.subject,
        status=transition.status,
        alert_id=transition.alert_id,
        lane=transition.lane,
        window_s=spike.width_s,
        severity=transition.severity,
        stories=spike.stories or None,
        authors=spike.authors or None,
        **shared,
    )


def _summary(recording: Recording, transitions: list[Transition], *, rules: Rules) -> Summary:
    tracks = recording.tracks.values()
    alerts = sum(transition.status == AlertStatus.FIRING for transition in transitions)
    first_s = min((track.first_s for track in tracks), default=0)
    last_s = max((track.last_s for track in tracks), default=0)
    end_s = max((track.end_s for track in tracks), default=0)
    weeks = len(tracks) * (end_s - first_s) / WEEK_S
    return Summary(
        subjects=len(tracks),
        rows=recording.rows,
        first_at=datetime.fromtimestamp(first_s, UTC) if tracks else None,
        last_at=datetime.fromtimestamp(last_s, UTC) if tracks else None,
        alerts=alerts,
        alerts_per_subject_week=round(alerts / weeks, 6) if weeks else 0.0,
        warmup_s=round(rules.day_half_life_h * HOUR_S),
    )
