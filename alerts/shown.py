"""What a look shows to metrics and to `yuqing status`: the windows of topics, alerts that are on, and what the verdicts stand on."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from msgspec import Struct

from alerts.detect.trend import trend_of
from alerts.detector import Detector
from opinion.metrics import AlerterMetrics, labelled
from opinion.records import Instant, Scan, Severity
from opinion.watermark import Watermark

WINDOW_S, WINDOW = 3600, "1h"
"""The window whose totals and ratio are shown."""


class Standing(Struct, frozen=True):
    """What the detection stands on, for `yuqing status`."""

    at: Instant
    rules_version: str
    subjects: int
    thresholds: dict[str, float | None]  # by scan: of a subject without rules of its own; of counts, of one without a past; None: off
    silent: bool  # all sources have fallen silent: calm means nothing
    shifted: bool  # all subjects rose together: the model, a source, or the whole market
    firing: int
    pending: int = 0  # subjects that pass a threshold and are held back


def standing_of(detector: Detector, *, at: datetime, subjects: Collection[str]) -> Standing:
    """What verdicts at `at` stand on."""
    thresholds: dict[str, float | None] = {scan.value: _finite(detector.threshold("", scan, at=at)) for scan in Scan}
    return Standing(at, detector.rules.version, len(subjects), thresholds, detector.silent(at), detector.shifted(at), len(detector.firing()), detector.pending)


def show(detector: Detector, metrics: AlerterMetrics, *, standing: Standing, subjects: Collection[str], watermark: Watermark) -> None:
    """Set the metrics: few subjects have series of their own, so that the number of series is bounded."""
    firing = detector.firing()
    for severity in Severity:
        metrics.firing.labels(severity.value).set(sum(1 for found in firing.values() if found == severity))
    metrics.pending.set(standing.pending)
    metrics.blind.set(1 if watermark.blind or standing.silent else 0)
    metrics.shifted.set(1 if standing.shifted else 0)
    for scan, theta in standing.thresholds.items():
        metrics.threshold.labels(scan).set(float("inf") if theta is None else theta)
    for subject in labelled(subjects):
        _show_subject(detector, metrics, subject, at=standing.at)


def _show_subject(detector: Detector, metrics: AlerterMetrics, subject: str, *, at: datetime) -> None:
    found = detector.snapshot(subject, at=at, window_s=WINDOW_S)
    metrics.topic_documents.labels(subject, WINDOW).set(found.total)
    metrics.topic_negative.labels(subject, WINDOW).set(found.ratio)
    metrics.topic_baseline.labels(subject).set(found.baseline_ratio)
    for scan, score in found.scores.items():
        metrics.topic_score.labels(subject, scan.value).set(score)
    trend = trend_of(detector.series(subject), int(at.timestamp()))
    unknown = float("nan")
    metrics.topic_trend.labels(subject).set(trend.slope_per_hour if trend else unknown)
    metrics.topic_trend_low.labels(subject).set(trend.slope_low if trend else unknown)
    metrics.topic_trend_high.labels(subject).set(trend.slope_high if trend else unknown)


def _finite(theta: float) -> float | None:
    return None if theta == float("inf") else theta
