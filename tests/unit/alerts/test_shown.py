from __future__ import annotations

import math
from datetime import timedelta

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from alerts.detect.rulebook import RuleBook
from alerts.detect.rules import Budgets, Rules
from alerts.detector import Detector
from alerts.shown import Standing, show, standing_of
from opinion.metrics import MAX_SUBJECT_LABELS, AlerterMetrics, exposition
from opinion.records import Scan, Severity
from opinion.watermark import Watermark
from tests.support.surges import COMPANY, MONDAY, STUDIED, filled, look, put, quiet, with_surge

HOURS = 64
CRISIS = with_surge(quiet(hours=HOURS), at_hour=30, hours=2, per_hour=60)
TOPIC = "topic:Macro"
HOUR = timedelta(hours=1)


class Shown:
    """The metrics after a look."""

    def __init__(self, detector: Detector, *, at_hour: float = 31, subjects: tuple[str, ...] = (TOPIC, COMPANY), blind: tuple[str, ...] = ()) -> None:
        self.registry = CollectorRegistry()
        at = MONDAY + at_hour * HOUR
        self.standing = standing_of(detector, at=at, subjects=subjects)
        show(detector, AlerterMetrics(self.registry), standing=self.standing, subjects=subjects, watermark=Watermark(at, blind))

    def of(self, name: str, **labels: str) -> float | None:
        found: float | None = self.registry.get_sample_value(name, labels)
        return found


def surging(rules: Rules = STUDIED) -> Detector:
    """A detector with a company and a topic, both amid a surge that has been told."""
    detector = filled(CRISIS, rules=rules)
    put(detector, CRISIS, subject=TOPIC)
    look(detector, 31 * 60)
    return detector


def test_the_standing_says_what_verdicts_stand_on() -> None:
    detector, at = surging(), MONDAY + 31 * HOUR
    found = standing_of(detector, at=at, subjects=[TOPIC, COMPANY, "entity:XDEM:NONE"])
    assert (found.at, found.rules_version, found.subjects, found.firing) == (at, RuleBook(STUDIED).version, 3, 2)
    assert (found.silent, found.shifted) == (False, False)
    assert found.thresholds == {scan.value: detector.threshold("", scan, at=at) for scan in Scan}
    assert found.thresholds["share"] == 4.2


def test_a_scan_that_is_off_has_no_threshold() -> None:
    detector = Detector(Rules(false_alarms=Budgets(share=0, count=0)))
    found = standing_of(detector, at=MONDAY, subjects=[])
    assert [scan for scan, theta in found.thresholds.items() if theta is None] == ["share", "count"]
    assert found.thresholds["day"] is not None


def test_the_standing_is_read_as_it_was_written() -> None:
    found = standing_of(Detector(Rules(false_alarms=Budgets(count=0))), at=MONDAY, subjects=[TOPIC])
    assert msgspec.json.decode(msgspec.json.encode(found), type=Standing) == found


def test_silent_sources_leave_the_standing_silent_and_blind() -> None:
    detector = filled([*quiet(hours=5 * 24, per_hour=120), *[(0, 0)] * 180])
    look(detector, 5 * 24 * 60 + 180)
    assert not standing_of(detector, at=MONDAY + 4 * 24 * HOUR, subjects=[COMPANY]).silent
    shown = Shown(detector, at_hour=5 * 24 + 3)
    assert shown.standing.silent
    assert shown.of("yuqing_detection_blind") == 1


def test_a_common_shift_is_shown() -> None:
    detector = Detector(Rules())
    for number in range(14):
        put(detector, [*quiet(hours=30, per_hour=120, seed=number), *quiet(hours=2, per_hour=120, share=0.5, seed=100 + number)], subject=f"entity:XDEM:{number}")
    look(detector, 29 * 60)
    assert Shown(detector, at_hour=29).of("yuqing_detection_common_shift") == 0
    look(detector, 32 * 60)
    shown = Shown(detector, at_hour=32)
    assert shown.standing.shifted
    assert shown.of("yuqing_detection_common_shift") == 1


def test_dead_inputs_leave_the_detection_blind() -> None:
    assert Shown(surging()).of("yuqing_detection_blind") == 0
    assert Shown(surging(), blind=("scored-3",)).of("yuqing_detection_blind") == 1


def test_alerts_that_are_on_are_counted_by_severity() -> None:
    detector = surging()
    on = list(detector.firing().values())
    shown = Shown(detector)
    assert {severity: shown.of("yuqing_alerts_firing", severity=severity.value) for severity in Severity} == {severity: on.count(severity) for severity in Severity}
    assert len(on) == 2
    look(detector, HOURS * 60)
    assert sum(Shown(detector, at_hour=HOURS).of("yuqing_alerts_firing", severity=severity.value) or 0 for severity in Severity) == 0


def test_thresholds_are_shown_and_those_of_scans_that_are_off_are_infinite() -> None:
    shown = Shown(surging(Rules(theta=4.2, false_alarms=Budgets(day=0))))
    assert shown.of("yuqing_detection_threshold", scan="share") == 4.2
    assert shown.of("yuqing_detection_threshold", scan="day") == math.inf
    assert shown.of("yuqing_detection_threshold", scan="count") == shown.standing.thresholds["count"]
    assert b'yuqing_detection_threshold{scan="day"} +Inf' in exposition(shown.registry)


def test_the_windows_of_topics_are_shown_and_those_of_companies_are_not() -> None:
    shown = Shown(surging())
    window = CRISIS[30 * 60 : 31 * 60]
    total, negative = (sum(column) for column in zip(*window, strict=True))
    assert shown.of("yuqing_topic_documents", subject=TOPIC, window="1h") == total
    assert shown.of("yuqing_topic_negative_ratio", subject=TOPIC, window="1h") == pytest.approx(negative / total)
    assert shown.of("yuqing_topic_baseline_ratio", subject=TOPIC) == pytest.approx(0.2, abs=0.05)
    assert (shown.of("yuqing_topic_spike_score", subject=TOPIC, lane="share") or 0) > 4.2
    assert COMPANY.encode() not in exposition(shown.registry)


def test_the_trend_of_a_topic_is_shown_with_its_interval() -> None:
    shown = Shown(surging(), at_hour=31)
    slope, low, high = (shown.of(f"yuqing_topic_negative_trend{end}", subject=TOPIC) for end in ("", "_low", "_high"))
    assert slope is not None
    assert low is not None
    assert high is not None
    assert slope > 0
    assert low < slope < high


def test_a_trend_of_which_too_little_was_said_is_no_number() -> None:
    detector = filled([*[(0, 0)] * 60, (3, 1)], subject=TOPIC)
    look(detector, 61)
    shown = Shown(detector, at_hour=61 / 60)
    assert all(math.isnan(shown.of(f"yuqing_topic_negative_trend{end}", subject=TOPIC) or 0) for end in ("", "_low", "_high"))
    assert shown.of("yuqing_topic_documents", subject=TOPIC, window="1h") == 3


def test_a_trend_that_is_no_longer_known_is_not_left_standing() -> None:
    detector, registry = surging(), CollectorRegistry()
    metrics = AlerterMetrics(registry)
    for hour in (31, 39):
        at = MONDAY + hour * HOUR
        if hour == 39:
            detector = Detector(STUDIED)
        show(detector, metrics, standing=standing_of(detector, at=at, subjects=[TOPIC]), subjects=[TOPIC], watermark=Watermark(at))
    assert math.isnan(registry.get_sample_value("yuqing_topic_negative_trend", {"subject": TOPIC}) or 0)
    assert registry.get_sample_value("yuqing_topic_documents", {"subject": TOPIC, "window": "1h"}) == 0


def test_the_number_of_series_is_bounded_however_many_subjects_there_are() -> None:
    few, many = (Shown(Detector(STUDIED), subjects=crowd(size)) for size in (2 * MAX_SUBJECT_LABELS, 10_000))
    series = [sum(len(family.samples) for family in shown.registry.collect()) for shown in (few, many)]
    assert series[0] == series[1]
    lines = [line for line in exposition(many.registry).decode().splitlines() if line.startswith("yuqing_topic_documents{")]
    assert len(lines) == MAX_SUBJECT_LABELS


def crowd(size: int) -> tuple[str, ...]:
    """Half of them topics, half companies."""
    return tuple(f"{'topic' if number % 2 else 'entity:XDEM'}:{number:05}" for number in range(size))
