"""The catalogue of every metric: name, kind, unit, labels, meaning. One class per process; series of closed enums start at zero.

Every process makes its own from a registry that is passed in; nothing is global.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from opinion.errors import Reason
from opinion.records import AlertStatus, DeliveryOutcome, DocumentKind, Scan, Severity

disable_created_metrics()  # type: ignore[no-untyped-call]

AGE_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
"""End-to-end seconds, around the aim of 15 s."""
STEP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
"""Seconds of one step of one batch."""
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
TOKEN_BUCKETS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
MAX_SUBJECT_LABELS = 200
"""Most subjects that get series of their own (topics and configured watches)."""

FETCH_OUTCOMES = (
    "ok",
    "not_modified",
    "empty",
    Reason.SOURCE_UNAVAILABLE,
    Reason.SOURCE_RATE_LIMITED,
    Reason.SOURCE_WALLED,
    Reason.SOURCE_GONE,
    Reason.PAGE_CHANGED,
    Reason.BODY_TOO_LARGE,
    Reason.ADDRESS_REFUSED,
    Reason.UNEXPECTED,
)
"""How a poll can end: the closed set of the `outcome` label."""
ITEM_PROBLEMS = ("empty", "duplicate", "invalid", "over_cap", "truncated")
"""What can be wrong with an item of a body."""
WAITING = "waiting"
"""State of a source that has not answered yet since its scraper began: neither well nor known to be lost."""
SOURCE_STATES = ("ok", "silent", "stale", "partial", "walled", "broken", WAITING)
BRINGING = frozenset({"ok", "partial"})
"""States of a source that brings documents: where no source is in one of them, calm means nothing."""
JUDGED_LANGUAGES = ("en", "zh", "other")
"""Languages that documents are counted by: those with sources and words of their own here, and all others."""
WATCHED_LANGUAGES = ("en", "zh", "all")
"""Languages whose sources may all be lost, and `all` of them (alerts/source_watch.py)."""
DEAD_REASONS = (
    Reason.UNDECODABLE,
    Reason.UNKNOWN_SCHEMA,
    Reason.INVALID_RECORD,
    Reason.EMPTY_DOCUMENT,
    Reason.POISON_TEXT,
    Reason.INFERENCE,
    Reason.UNEXPECTED,
)


class ScraperMetrics:
    """What the scraper shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.fetches = Counter("yuqing_scraper_fetches", "Polls by how they ended.", ["source", "outcome"], registry=registry)
        self.documents = Counter("yuqing_scraper_documents", "Documents published and acknowledged by Kafka.", ["source"], registry=registry)
        self.fetch_duration = Histogram("yuqing_scraper_fetch_duration_seconds", "Length of a fetch.", ["source"], buckets=AGE_BUCKETS, registry=registry)
        self.last_document = Gauge("yuqing_scraper_last_document_timestamp_seconds", "When the newest fresh document was fetched.", ["source"], registry=registry)
        self.state = Gauge("yuqing_source_state", "1 for the state the source is in, else 0.", ["source", "state"], registry=registry)
        self.dropped = Counter("yuqing_scraper_items_dropped", "Items of a body that became no document.", ["source", "reason"], registry=registry)
        self.gaps = Counter("yuqing_scraper_gaps", "Stretches that a source that pushes no longer had after an outage.", ["source"], registry=registry)
        self.failures = Counter("yuqing_scraper_publish_failures", "Polls whose documents could not be published or remembered, by reason.", ["reason"], registry=registry)
        self.producer_rebuilds = Counter("yuqing_producer_rebuilds", "Times the Kafka producer was built anew after a fatal error.", registry=registry)
        for reason in (Reason.BUS_UNAVAILABLE, Reason.STORE_UNAVAILABLE):
            self.failures.labels(reason.value)

    def start_source(self, source: str) -> None:
        """Create the series of one source at zero."""
        for outcome in FETCH_OUTCOMES:
            self.fetches.labels(source, str(outcome))
        for problem in ITEM_PROBLEMS:
            self.dropped.labels(source, problem)
        self.documents.labels(source)
        self.gaps.labels(source)
        self.fetch_duration.labels(source)
        self.set_state(source, WAITING)

    def set_state(self, source: str, state: str) -> None:
        """Show the state the source is in, one of SOURCE_STATES."""
        for known in SOURCE_STATES:
            self.state.labels(source, known).set(1 if known == state else 0)


class WorkerMetrics:
    """What a Faust worker shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.scored = Counter("yuqing_documents_scored", "Documents judged.", ["sentiment", "kind"], registry=registry)
        self.languages = Counter("yuqing_documents_by_language", "Documents judged, by the language of their text.", ["language", "sentiment"], registry=registry)
        self.batch_documents = Histogram(
            "yuqing_inference_batch_documents",
            "Documents in one forward pass of `model`; the classifiers of `sentiment_models` are not counted again.",
            buckets=SIZE_BUCKETS,
            registry=registry,
        )
        self.batch_tokens = Histogram("yuqing_inference_batch_tokens", "Tokens in one forward pass of `model`, padding counted.", buckets=TOKEN_BUCKETS, registry=registry)
        self.inference_duration = Histogram(
            "yuqing_inference_duration_seconds",
            "Length of a step of the judgement of a batch; `sentiment`: a pass of a classifier of `sentiment_models`.",
            ["step"],
            buckets=STEP_BUCKETS,
            registry=registry,
        )
        self.document_age = Histogram(
            "yuqing_document_age_seconds", "Age of a document since it was fetched, when a stage ended.", ["stage"], buckets=AGE_BUCKETS, registry=registry
        )
        self.dead_letters = Counter("yuqing_dead_letters", "Records put aside, by reason.", ["reason"], registry=registry)
        self.lag = Gauge("yuqing_consumer_lag_records", "Records of a partition not yet worked on.", ["topic", "partition"], registry=registry)
        self.last_progress = Gauge(
            "yuqing_consumer_last_progress_timestamp_seconds", "When a partition last moved on, or was last seen empty.", ["topic", "partition"], registry=registry
        )
        self.records = Counter("yuqing_consumer_records", "Records that came from Kafka.", ["topic"], registry=registry)
        self.commit_duration = Histogram("yuqing_consumer_commit_duration_seconds", "Length of an acknowledgement to Kafka.", buckets=STEP_BUCKETS, registry=registry)
        self.rebalances = Counter("yuqing_consumer_rebalances", "Times that partitions were shared out anew among the workers.", registry=registry)
        self.window_script = Histogram("yuqing_window_script_duration_seconds", "Length of one pipeline of window scripts.", buckets=STEP_BUCKETS, registry=registry)
        self.not_counted = Counter(
            "yuqing_documents_not_counted", "Documents left out of the windows: stale, deleted by their source, or told again after that (erased).", ["reason"], registry=registry
        )
        self.retries = Counter("yuqing_retries", "Batches tried again in place, by reason.", ["reason"], registry=registry)
        self.producer_rebuilds = Counter("yuqing_producer_rebuilds", "Times the Kafka producer was built anew after a fatal error.", registry=registry)
        self.model_info = Gauge("yuqing_model_info", "1 for the model in use.", ["model", "revision", "backend", "device"], registry=registry)
        for sentiment in ("negative", "neutral", "positive"):
            for kind in DocumentKind:
                self.scored.labels(sentiment, kind.value)
            for language in JUDGED_LANGUAGES:
                self.languages.labels(language, sentiment)
        for reason in DEAD_REASONS:
            self.dead_letters.labels(reason.value)
        for step in ("tokenise", "forward", "sentiment", "entities", "stories"):
            self.inference_duration.labels(step)
        for stage in ("scored", "counted"):
            self.document_age.labels(stage)
        for reason_text in ("stale", "deleted", "erased"):
            self.not_counted.labels(reason_text)
        for reason in (Reason.STORE_UNAVAILABLE, Reason.BUS_UNAVAILABLE, Reason.INFERENCE, Reason.UNEXPECTED):
            self.retries.labels(reason.value)


class AlerterMetrics:
    """What the alerter shows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.topic_documents = Gauge("yuqing_topic_documents", "Tellings in the window.", ["subject", "window"], registry=registry)
        self.topic_negative = Gauge("yuqing_topic_negative_ratio", "Share of negatives in the window.", ["subject", "window"], registry=registry)
        self.topic_baseline = Gauge("yuqing_topic_baseline_ratio", "Share of negatives expected.", ["subject"], registry=registry)
        self.topic_score = Gauge("yuqing_topic_spike_score", "-log10 of the window's tail probability.", ["subject", "lane"], registry=registry)
        self.topic_trend = Gauge("yuqing_topic_negative_trend", "Slope of the negative ratio per hour, over three hours.", ["subject"], registry=registry)
        self.topic_trend_low = Gauge("yuqing_topic_negative_trend_low", "Lower end of the slope's 95 % interval.", ["subject"], registry=registry)
        self.topic_trend_high = Gauge("yuqing_topic_negative_trend_high", "Upper end of the slope's 95 % interval.", ["subject"], registry=registry)
        self.threshold = Gauge("yuqing_detection_threshold", "Score that fires, as it follows from the budget of false alarms.", ["scan"], registry=registry)
        self.shifted = Gauge("yuqing_detection_common_shift", "1 while all subjects rise together: the model, a source, or the whole market.", registry=registry)
        self.rules_read = Counter("yuqing_rules_read", "Times that changed rules were read, by how it ended.", ["outcome"], registry=registry)
        self.firing = Gauge("yuqing_alerts_firing", "Alerts that are on.", ["severity"], registry=registry)
        self.pending = Gauge("yuqing_alerts_pending", "Subjects that pass a threshold and are held back: few voices, or chance.", registry=registry)
        self.transitions = Counter("yuqing_alert_transitions", "Alert transitions written.", ["status", "severity"], registry=registry)
        self.tick_duration = Histogram("yuqing_detection_tick_duration_seconds", "Length of one look at the windows.", buckets=STEP_BUCKETS, registry=registry)
        self.alert_delay = Histogram("yuqing_alert_delay_seconds", "From the fetch of the newest evidence to the transition.", buckets=AGE_BUCKETS, registry=registry)
        self.deliveries = Counter("yuqing_deliveries", "Tries to tell a receiver, by how they ended.", ["channel", "outcome"], registry=registry)
        self.delivery_duration = Histogram("yuqing_delivery_duration_seconds", "Length of one try.", ["channel"], buckets=AGE_BUCKETS, registry=registry)
        self.delivery_delay = Histogram("yuqing_delivery_delay_seconds", "From the making of a delivery to its first try.", ["channel"], buckets=AGE_BUCKETS, registry=registry)
        self.subscriptions_disabled = Counter(
            "yuqing_subscriptions_disabled", "Receivers given up: `gone` answered 410, of `failing` every try failed for days.", ["reason"], registry=registry
        )
        self.queue_length = Gauge("yuqing_delivery_queue_length", "Deliveries not yet settled.", registry=registry)
        self.oldest_age = Gauge("yuqing_delivery_oldest_age_seconds", "Age of the oldest delivery not yet settled.", registry=registry)
        self.breakers_open = Gauge("yuqing_delivery_breakers_open", "Endpoints not being called because they keep failing.", registry=registry)
        self.watermark = Gauge("yuqing_watermark_timestamp_seconds", "Event time up to which the windows are complete.", registry=registry)
        self.blind = Gauge("yuqing_detection_blind", "1 while the inputs are not alive or all sources are silent, so that calm means nothing.", registry=registry)
        self.tick_errors = Counter("yuqing_detection_tick_errors", "Looks at the windows that failed, by reason.", ["reason"], registry=registry)
        self.language_blind = Gauge("yuqing_language_blind", "1 while no source of a language, or none at all (`all`), brings anything.", ["language"], registry=registry)
        self.leading = Gauge("yuqing_alerter_leading", "1 while this alerter decides and delivers, 0 while it stands by.", registry=registry)
        self.redis_used = Gauge("yuqing_redis_memory_used_bytes", "Memory that Redis uses.", registry=registry)
        self.redis_limit = Gauge("yuqing_redis_memory_limit_bytes", "Memory that Redis may use: its `maxmemory`, else that of its machine.", registry=registry)
        self.data_free = Gauge("yuqing_data_free_bytes", "Free space of the file system with the data directory.", registry=registry)
        self.data_size = Gauge("yuqing_data_size_bytes", "Size of the file system with the data directory.", registry=registry)
        for severity in Severity:
            self.firing.labels(severity.value)
            for status in AlertStatus:
                self.transitions.labels(status.value, severity.value)
        for scan in Scan:
            self.threshold.labels(scan.value).set(float("nan"))  # nobody has looked yet: 0 would mean that everything fires
        for read in ("ok", "refused"):
            self.rules_read.labels(read)
        for language in WATCHED_LANGUAGES:
            self.language_blind.labels(language)
        for why in ("gone", "failing"):
            self.subscriptions_disabled.labels(why)
        for reason in (Reason.STORE_UNAVAILABLE, Reason.BUS_UNAVAILABLE, Reason.UNEXPECTED):
            self.tick_errors.labels(reason.value)

    def start_channel(self, channel: str) -> None:
        """Create the series of one channel at zero."""
        for outcome in DeliveryOutcome:
            self.deliveries.labels(channel, outcome.value)
        self.delivery_duration.labels(channel)
        self.delivery_delay.labels(channel)

    def stand_by(self) -> None:
        """Show nothing of the windows any more: another alerter looks at them now, and what was last seen here would be taken for the state of things."""
        self.leading.set(0)
        for metric in (self.topic_documents, self.topic_negative, self.topic_baseline, self.topic_score, self.topic_trend, self.topic_trend_low, self.topic_trend_high):
            metric.clear()
        for severity in Severity:
            self.firing.labels(severity.value).set(0)
        self.pending.set(0)
        for language in WATCHED_LANGUAGES:
            self.language_blind.labels(language).set(0)
        for scan in Scan:
            self.threshold.labels(scan.value).set(float("nan"))
        for gauge in (self.blind, self.shifted, self.queue_length, self.oldest_age, self.breakers_open, self.watermark):
            gauge.set(0)


def labelled(subjects: Iterable[str]) -> list[str]:
    """Those of the subjects that get series of their own: topics and watches, in order, at most MAX_SUBJECT_LABELS. Companies never: there are thousands.

    >>> labelled(["topic:Macro", "entity:XNAS:AAPL", "topic:Fed | Central Banks"])
    ['topic:Fed | Central Banks', 'topic:Macro']
    """
    return sorted(subject for subject in subjects if subject.startswith(("topic:", "watch:")))[:MAX_SUBJECT_LABELS]


def exposition(registry: CollectorRegistry) -> bytes:
    """The registry in Prometheus' text format."""
    return generate_latest(registry)
