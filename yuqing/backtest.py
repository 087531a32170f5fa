"""`yuqing backtest`: the alerter's own detection over recorded counts or scored documents; no Kafka, no Redis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def backtest_file(file: IO[bytes], out: IO[bytes], *, rules: str | Path | None, lane: str, summary: str | Path | None) -> None:
    """Write the transitions as JSON Lines to `out`, and the summary to the file named.

    Errors:
        ConfigError: no such lane, wrong rules, a summary file that cannot be written.
        InvalidRecord: a bad row; the message gives its line.
    """
    outcome = run_backtest(file, rules=load_rules(rules), lane=lane)
    for row in outcome.rows:
        out.write(msgspec.json.encode(row) + b"\n")
    out.flush()
    if summary is not None:
        try:
            Path(summary).write_bytes(msgspec.json.encode(outcome.summary) + b"\n")
        except OSError as error:
            raise ConfigError(f"--summary {summary}: {error.strerror}") from error


def run_backtest(lines: Iterable[bytes], *, rules: RuleBook | Rules, lane: str = "both") -> Outcome:
    """The transitions that the alerter would have made, in order, and their summary.

    Every closed pane is looked at, up to the end of the last one: an alert that is on then stays without its end.

    Errors:
        ConfigError: no such lane.
        InvalidRecord: a bad row; the message gives its line.
    """
    if lane not in LANES:
        raise ConfigError(f"lane {lane!r} is not one of: {', '.join(LANES)}")
    recording = read_recording(lines)
    book = (rules if isinstance(rules, RuleBook) else RuleBook(rules)).only(lane)
    transitions = _replayed(recording, book) if recording.tracks else []
    return Outcome([_row(transition) for transition in transitions], _summary(recording, transitions, rules=book.all))


def _replayed(recording: Recording, rules: RuleBook) -> list[Transition]:
    detector = Detector(rules)
    for subject, track in recording.tracks.items():
        detector.load(subject, track.starts_s, track.counts, pane_s=track.pane_s)
    until_s = -(-max(track.end_s for track in recording.tracks.values()) // PANE_S) * PANE_S
    spikes = detector.spikes(datetime.fromtimestamp(until_s, UTC))
    companies = detector.explaining(spikes)
    return detector.decide(_with_breadth(spike, recording, companies=companies) for spike in spikes)


def _with_breadth(spike: Spike, recording: Recording, *, companies: Sequence[str]) -> Spike:
    """The spike with what the record says of its window; only those that may fire are asked for it."""
    if not spike.surging:
        return spike
    end_s = int(spike.at.timestamp())
    start_s, voices = end_s - spike.width_s, recording.tracks[spike.subject].voices
    breadth = voices.breadth(start_s, end_s).among(spike.negative)
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
