"""The dashboard of how documents get through: rates, ages, lag, the model, what was put aside, servers."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import Panel, board, filled, less_is_worse, lines, more_is_worse, number, rows


def pipeline() -> models.Dashboard:
    """The whole dashboard."""
    made = board("pipeline", uid="yuqing-pipeline", says="How documents get from sources to windows: rates, ages, lag, the model, what was put aside, and the servers beneath.")
    return filled(made, {"Now": _now(), "Flow": _flow(), "Model": _model(), "Trouble": _trouble(), "Looks and servers": _looks()})


def _now() -> list[Panel]:
    return [
        number(
            "Processes that answer",
            says="Scrapers, workers, alerters that Prometheus reaches.",
            unit="none",
            queries={"{{job}}": 'sum by (job) (up{job=~"yuqing-.+"})'},
            steps=less_is_worse(1, 1),
            span=8,
        ),
        number(
            "Records that wait",
            says="All topics. 3,000 are a minute of the shipped model on two cores.",
            unit="short",
            queries={"records": "sum(topic:yuqing_consumer_lag_records:sum)"},
            steps=more_is_worse(1000, 3000),
        ),
        number(
            "Age at counting, p95",
            says="From the fetch of a document to its windows.",
            unit="s",
            queries={"p95": 'stage:yuqing_document_age_seconds:p95{stage="counted"}'},
            steps=more_is_worse(10, 30),
        ),
        number(
            "Windows behind",
            says="How long ago the instant is up to which the windows are complete.",
            unit="s",
            queries={"behind": "time() - max(yuqing_watermark_timestamp_seconds)"},
            steps=more_is_worse(30, 120),
        ),
        number(
            "Put aside in a day",
            says="Dead letters: `yuqing dead list`.",
            unit="short",
            queries={"letters": "sum(increase(yuqing_dead_letters_total[1d]))"},
            steps=more_is_worse(1, 100),
        ),
    ]


def _flow() -> list[Panel]:
    return [
        lines(
            "Documents a minute",
            says="Published by scrapers, judged, and counted in windows. They run together unless something waits.",
            unit="cpm",
            queries={
                "published": "60 * sum(rate(yuqing_scraper_documents_total[$__rate_interval]))",
                "judged": "60 * sum(rate(yuqing_documents_scored_total[$__rate_interval]))",
                "counted": '60 * sum(rate(yuqing_document_age_seconds_count{stage="counted"}[$__rate_interval]))',
            },
        ),
        lines(
            "Age since the fetch",
            says="Of documents when a stage ended, p50 and p95: part of the delay of every alert.",
            unit="s",
            queries={
                "{{stage}}, p50": "histogram_quantile(0.5, sum by (stage, le) (rate(yuqing_document_age_seconds_bucket[5m])))",
                "{{stage}}, p95": "stage:yuqing_document_age_seconds:p95",
            },
            steps=((None, "green"), (30, "red")),
        ),
        lines("Records that wait", says="By topic.", unit="short", queries={"{{topic}}": "topic:yuqing_consumer_lag_records:sum"}, steps=((None, "green"), (3000, "red"))),
        lines(
            "Records from Kafka",
            says="Taken by the workers, by topic.",
            unit="cpm",
            queries={"{{topic}}": "60 * sum by (topic) (rate(yuqing_consumer_records_total[$__rate_interval]))"},
        ),
        lines(
            "Since a partition moved on",
            says="The longest of each topic; an empty partition counts as moving.",
            unit="s",
            queries={"{{topic}}": "max by (topic) (time() - max by (topic, partition) (yuqing_consumer_last_progress_timestamp_seconds))"},
            steps=((None, "green"), (120, "red")),
        ),
        lines(
            "Not counted",
            says="Documents left out of the windows, by reason.",
            unit="cpm",
            queries={"{{reason}}": "60 * sum by (reason) (rate(yuqing_documents_not_counted_total[$__rate_interval]))"},
        ),
    ]


def _model() -> list[Panel]:
    def quantiles(metric: str) -> dict[str, str]:
        return {f"p{100 * q:g}": f"histogram_quantile({q:g}, sum by (le) (rate({metric}_bucket[5m])))" for q in (0.5, 0.95)}

    return [
        lines("Documents in a pass", says="Texts of one forward pass.", unit="short", queries=quantiles("yuqing_inference_batch_documents")),
        lines("Tokens in a pass", says="Padding counted; the setting `batch_tokens` is the most.", unit="short", queries=quantiles("yuqing_inference_batch_tokens")),
        lines(
            "A worker's time, by step",
            says="Share of the time of a worker that the steps of the judgement take. At 1 it can do no more: add workers, up to the number of partitions.",
            unit="percentunit",
            queries={"{{step}}": "avg by (step) (rate(yuqing_inference_duration_seconds_sum[$__rate_interval]))"},
            stacked=True,
            steps=((None, "green"), (1, "red")),
        ),
        lines(
            "Length of a step, p95",
            says="Of one batch.",
            unit="s",
            queries={"{{step}}": "histogram_quantile(0.95, sum by (step, le) (rate(yuqing_inference_duration_seconds_bucket[5m])))"},
            span=12,
        ),
        rows(
            "Models",
            says="What the workers judge with. More than one row: a promotion that not all workers have taken up.",
            query="max by (model, revision, backend, device) (yuqing_model_info)",
        ),
    ]


def _trouble() -> list[Panel]:
    return [
        lines(
            "Put aside",
            says="Dead letters by reason; `yuqing dead list` shows them.",
            unit="short",
            queries={"{{reason}}": "sum by (reason) (increase(yuqing_dead_letters_total[5m]))"},
        ),
        lines(
            "Tried again", says="Batches that failed and were tried again in place.", unit="short", queries={"{{reason}}": "sum by (reason) (increase(yuqing_retries_total[5m]))"}
        ),
        lines(
            "Shared out and built anew",
            says="Rebalances of partitions among workers, and Kafka producers rebuilt after a fatal error.",
            unit="short",
            queries={"rebalances": "sum(increase(yuqing_consumer_rebalances_total[5m]))", "producers": "sum(increase(yuqing_producer_rebuilds_total[5m]))"},
        ),
        lines(
            "Acknowledgement to Kafka, p95",
            says="Of the workers' offsets.",
            unit="s",
            queries={"p95": "histogram_quantile(0.95, sum by (le) (rate(yuqing_consumer_commit_duration_seconds_bucket[5m])))"},
        ),
        lines(
            "Window scripts, p95",
            says="One pipeline of scripts in Redis, for a batch.",
            unit="s",
            queries={"p95": "histogram_quantile(0.95, sum by (le) (rate(yuqing_window_script_duration_seconds_bucket[5m])))"},
        ),
        lines(
            "Not published",
            says="Polls whose documents Kafka or Redis did not take; they are polled again.",
            unit="short",
            queries={"{{reason}}": "sum by (reason) (increase(yuqing_scraper_publish_failures_total[5m]))"},
        ),
    ]


def _looks() -> list[Panel]:
    return [
        lines(
            "Length of a look",
            says="At the windows, p90; looks come every 5 s.",
            unit="s",
            queries={"p90": "yuqing_detection_tick_duration_seconds:p90"},
            steps=((None, "green"), (2.5, "red")),
            span=6,
        ),
        lines("Looks that failed", says="By reason.", unit="short", queries={"{{reason}}": "sum by (reason) (increase(yuqing_detection_tick_errors_total[5m]))"}, span=6),
        lines(
            "Redis' memory",
            says="Share of what it may use. At the limit it refuses to write.",
            unit="percentunit",
            queries={"used": "yuqing_redis_memory:ratio"},
            steps=((None, "green"), (0.8, "red")),
            span=6,
        ).max(1),
        lines(
            "Disk",
            says="Free share of the file system with the data directory, where Kafka and Redis of `yuqing up` lie.",
            unit="percentunit",
            queries={"free": "yuqing_data_free:ratio"},
            steps=((None, "red"), (0.1, "green")),
            span=6,
        ).max(1),
        number(
            "Alerters that lead",
            says="One leads, others stand by. None: nobody looks at the windows.",
            unit="none",
            queries={"leading": "sum(yuqing_alerter_leading)"},
            steps=((None, "red"), (1, "green"), (2, "red")),
            span=6,
        ),
        number(
            "Rules refused in a day",
            says="Changed files of rules that were wrong; those before stay in force.",
            unit="none",
            queries={"refused": 'sum(increase(yuqing_rules_read_total{outcome="refused"}[1d]))'},
            steps=more_is_worse(1, 1),
            span=6,
        ),
    ]
