from __future__ import annotations

import itertools
import math
import re
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.metrics import MetricWrapperBase

from opinion.metrics import (
    DEAD_REASONS,
    FETCH_OUTCOMES,
    ITEM_PROBLEMS,
    JUDGED_LANGUAGES,
    MAX_SUBJECT_LABELS,
    SOURCE_STATES,
    WATCHED_LANGUAGES,
    AlerterMetrics,
    ScraperMetrics,
    WorkerMetrics,
    exposition,
    labelled,
)
from opinion.records import AlertStatus, DeliveryOutcome, DocumentKind, Scan, Severity
from tests.support.prometheus import program

Process = type[ScraperMetrics] | type[WorkerMetrics] | type[AlerterMetrics]
PROCESSES: list[Process] = [ScraperMetrics, WorkerMetrics, AlerterMetrics]

SCRAPER = """
counter scraper_fetches_total{source,outcome}
counter scraper_documents_total{source}
histogram scraper_fetch_duration_seconds{source}
gauge scraper_last_document_timestamp_seconds{source}
gauge source_state{source,state}
"""
WORKER = """
counter documents_scored_total{sentiment,kind}
histogram inference_batch_documents
histogram inference_batch_tokens
histogram inference_duration_seconds{step}
histogram document_age_seconds{stage}
counter dead_letters_total{reason}
gauge consumer_lag_records{topic,partition}
gauge consumer_last_progress_timestamp_seconds{topic,partition}
histogram window_script_duration_seconds
gauge model_info{model,revision,backend,device}
counter consumer_records_total{topic}
counter documents_by_language_total{language,sentiment}
"""
ALERTER = """
gauge topic_documents{subject,window}
gauge topic_negative_ratio{subject,window}
gauge topic_baseline_ratio{subject}
gauge topic_spike_score{subject,lane}
gauge alerts_firing{severity}
counter alert_transitions_total{status,severity}
histogram detection_tick_duration_seconds
histogram alert_delay_seconds
counter deliveries_total{channel,outcome}
histogram delivery_duration_seconds{channel}
gauge delivery_queue_length
gauge delivery_oldest_age_seconds
gauge delivery_breakers_open
gauge alerter_leading
gauge language_blind{language}
gauge redis_memory_used_bytes
gauge redis_memory_limit_bytes
gauge data_free_bytes
gauge data_size_bytes
"""
"""What dashboards and rules of other people rely on. A name may be added; one that is here stays."""

CLOSED_LABELS = {"language", "outcome", "state", "reason", "sentiment", "kind", "step", "stage", "window", "lane", "scan", "severity", "status", "channel", "backend", "device"}
BOUNDED_LABELS = {"source", "topic", "partition", "subject", "model", "revision"}
"""As many values as somebody configured. Never an id, an address, an author or a company: each would be a series for ever."""
NO_BASE_UNIT = re.compile(r"_(s|ms|us|millis|milliseconds|minutes|hours|days|kb|mb|kilobytes|megabytes|percent)(_|$)")


class Shape(NamedTuple):
    kind: str
    labels: frozenset[str]


def promised(text: str) -> dict[str, Shape]:
    found = re.findall(r"^(\w+) (\w+)(?:\{([\w,]+)\})?$", text, flags=re.MULTILINE)
    return {f"yuqing_{name}": Shape(kind, frozenset(labels.split(",")) - {""}) for kind, name, labels in found}


def metrics_of(process: Process) -> tuple[CollectorRegistry, list[MetricWrapperBase]]:
    """A process' registry as it is at work: every metric with a series at least."""
    registry = CollectorRegistry()
    metrics = process(registry)
    if isinstance(metrics, ScraperMetrics):
        metrics.start_source("a.example")
    if isinstance(metrics, AlerterMetrics):
        metrics.start_channel("webhook")
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    for metric in found:
        if metric._labelnames and not metric._metrics:
            metric.labels(*("x" for _ in metric._labelnames))
    return registry, found


def shown_name(metric: MetricWrapperBase) -> str:
    return f"{metric._name}_total" if isinstance(metric, Counter) else metric._name


@pytest.mark.parametrize(("process", "text"), [(ScraperMetrics, SCRAPER), (WorkerMetrics, WORKER), (AlerterMetrics, ALERTER)], ids=["scraper", "worker", "alerter"])
def test_process_has_the_metrics_that_others_rely_on(process: Process, text: str) -> None:
    _, metrics = metrics_of(process)
    found = {shown_name(metric): Shape(str(metric._type), frozenset(metric._labelnames)) for metric in metrics}
    wanted = promised(text)
    assert len(wanted) == len(text.strip().splitlines())
    assert {name: found.get(name) for name in wanted} == wanted


@pytest.mark.parametrize("process", PROCESSES)
def test_every_metric_is_in_the_registry_once_and_says_what_it_is(process: Process) -> None:
    registry, metrics = metrics_of(process)
    collected = {family.name: family for family in registry.collect()}
    assert collected.keys() == {metric._name for metric in metrics}
    for family in collected.values():
        assert family.documentation.endswith("."), family.name
        assert family.samples, family.name


@pytest.mark.parametrize("process", PROCESSES)
def test_names_follow_the_practice_of_prometheus(process: Process) -> None:
    _, metrics = metrics_of(process)
    for name, metric in ((shown_name(metric), metric) for metric in metrics):
        assert re.fullmatch(r"yuqing_[a-z][a-z0-9_]*", name), name
        assert name.endswith("_total") == (metric._type == "counter"), name
        assert not NO_BASE_UNIT.search(name), name
        assert set(metric._labelnames) <= CLOSED_LABELS | BOUNDED_LABELS, name


@pytest.mark.parametrize("process", PROCESSES)
def test_times_of_day_are_told_from_lengths(process: Process) -> None:
    _, metrics = metrics_of(process)
    for metric in metrics:
        if metric._type == "histogram" and "batch" not in metric._name:
            assert metric._name.endswith("_seconds"), metric._name
        if "timestamp" in metric._name:
            assert (metric._type, metric._name.endswith("_timestamp_seconds")) == ("gauge", True), metric._name


def zeros(registry: CollectorRegistry, name: str, *values: Iterable[object], labels: tuple[str, ...]) -> list[float | None]:
    return [registry.get_sample_value(name, dict(zip(labels, map(str, row), strict=True))) for row in itertools.product(*values)]


@pytest.mark.parametrize(
    ("process", "name", "labels", "values"),
    [
        (WorkerMetrics, "documents_scored_total", ("sentiment", "kind"), (["negative", "neutral", "positive"], DocumentKind)),
        (WorkerMetrics, "documents_by_language_total", ("language", "sentiment"), (JUDGED_LANGUAGES, ["negative", "neutral", "positive"])),
        (WorkerMetrics, "consumer_commit_duration_seconds_count", (), ()),
        (WorkerMetrics, "dead_letters_total", ("reason",), (DEAD_REASONS,)),
        (WorkerMetrics, "inference_duration_seconds_count", ("step",), (["tokenise", "forward", "sentiment", "entities", "stories"],)),
        (WorkerMetrics, "document_age_seconds_count", ("stage",), (["scored", "counted"],)),
        (WorkerMetrics, "window_script_duration_seconds_count", (), ()),
        (AlerterMetrics, "language_blind", ("language",), (WATCHED_LANGUAGES,)),
        (AlerterMetrics, "alerts_firing", ("severity",), (Severity,)),
        (AlerterMetrics, "alert_transitions_total", ("status", "severity"), (AlertStatus, Severity)),
        (AlerterMetrics, "delivery_queue_length", (), ()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_series_of_closed_sets_are_there_before_anything_happens(process: Process, name: str, labels: tuple[str, ...], values: tuple[Iterable[object], ...]) -> None:
    registry = CollectorRegistry()
    process(registry)
    assert set(zeros(registry, f"yuqing_{name}", *values, labels=labels)) == {0.0}


def test_series_of_a_source_are_there_before_its_first_poll() -> None:
    registry = CollectorRegistry()
    ScraperMetrics(registry).start_source("a.example")
    source = ["a.example"]
    assert set(zeros(registry, "yuqing_scraper_fetches_total", source, FETCH_OUTCOMES, labels=("source", "outcome"))) == {0.0}
    assert set(zeros(registry, "yuqing_scraper_items_dropped_total", source, ITEM_PROBLEMS, labels=("source", "reason"))) == {0.0}
    assert zeros(registry, "yuqing_scraper_documents_total", source, labels=("source",)) == [0.0]
    assert zeros(registry, "yuqing_scraper_fetch_duration_seconds_count", source, labels=("source",)) == [0.0]


def test_series_of_a_channel_are_there_before_its_first_delivery() -> None:
    registry = CollectorRegistry()
    AlerterMetrics(registry).start_channel("webhook")
    assert set(zeros(registry, "yuqing_deliveries_total", ["webhook"], DeliveryOutcome, labels=("channel", "outcome"))) == {0.0}
    assert zeros(registry, "yuqing_delivery_duration_seconds_count", ["webhook"], labels=("channel",)) == [0.0]


def test_a_source_is_in_one_state_at_a_time() -> None:
    registry = CollectorRegistry()
    metrics = ScraperMetrics(registry)
    metrics.start_source("a.example")
    for state in SOURCE_STATES:
        metrics.set_state("a.example", state)
        shown = zeros(registry, "yuqing_source_state", ["a.example"], SOURCE_STATES, labels=("source", "state"))
        assert shown == [float(known == state) for known in SOURCE_STATES]


def test_thresholds_are_there_before_the_first_look_and_say_nothing() -> None:
    registry = CollectorRegistry()
    AlerterMetrics(registry)
    found = zeros(registry, "yuqing_detection_threshold", Scan, labels=("scan",))
    assert [value is not None and math.isnan(value) for value in found] == [True] * len(Scan)


def test_subjects_with_series_of_their_own_are_few_and_no_companies() -> None:
    subjects = [f"topic:{number:03}" for number in range(MAX_SUBJECT_LABELS)]
    assert labelled(["entity:XNAS:AAPL", *reversed(subjects)]) == subjects
    assert labelled(["topic:999", "watch:rates", *subjects]) == subjects


def test_an_alerter_that_stands_by_shows_nothing_of_the_windows() -> None:
    registry, fresh = CollectorRegistry(), CollectorRegistry()
    metrics = AlerterMetrics(registry)
    for metric in vars(metrics).values():
        if isinstance(metric, Gauge):
            (metric.labels(*("share" if label in {"scan", "lane"} else "x" for label in metric._labelnames)) if metric._labelnames else metric).set(1)
    for severity in Severity:
        metrics.firing.labels(severity.value).set(1)
    metrics.stand_by()
    AlerterMetrics(fresh)
    kept = {"yuqing_redis_memory_used_bytes", "yuqing_redis_memory_limit_bytes", "yuqing_data_free_bytes", "yuqing_data_size_bytes"}  # true of every alerter
    left = {sample.name for family in registry.collect() for sample in family.samples if sample.value == 1 and "x" not in sample.labels.values()}
    assert left == kept
    assert {name for name in left_series(registry) if name not in left_series(fresh)} == set()


def left_series(registry: CollectorRegistry) -> set[str]:
    return {f"{sample.name}{sorted(sample.labels.items())}" for family in registry.collect() for sample in family.samples if "x" not in sample.labels.values()}


@pytest.fixture(scope="session")
def promtool() -> str:
    return program("promtool")


def complaints(promtool: str, text: bytes) -> str:
    """What promtool says against an exposition; empty where it finds nothing."""
    result = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False, timeout=30)
    said = (result.stdout + result.stderr).decode()
    return said or ("" if result.returncode == 0 else f"exit code {result.returncode}")


@pytest.mark.parametrize("process", PROCESSES)
def test_promtool_accepts_what_a_process_shows(promtool: str, process: Process) -> None:
    registry, _ = metrics_of(process)
    assert complaints(promtool, exposition(registry)) == ""


def test_promtool_would_find_a_bad_name(promtool: str) -> None:
    assert "_total" in complaints(promtool, b"# HELP yuqing_polls Polls.\n# TYPE yuqing_polls counter\nyuqing_polls 1\n")
