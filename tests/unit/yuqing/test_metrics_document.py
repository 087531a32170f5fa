from __future__ import annotations

from pathlib import Path

import pytest

from opinion.metrics import FETCH_OUTCOMES, AlerterMetrics, ScraperMetrics, WorkerMetrics
from opinion.records import Severity
from yuqing.metrics_document import ANY, PROCESSES, Listed, document, listed

FILE = Path(__file__).parents[3] / "docs" / "metrics.md"


def found(process: type[ScraperMetrics | WorkerMetrics | AlerterMetrics]) -> dict[str, Listed]:
    return {item.name: item for item in listed(process)}


def test_page_is_what_the_generator_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == document(), "run `make metrics`"


def test_closed_labels_are_listed_with_their_values_and_open_ones_with_what_they_stand_for() -> None:
    fetches = found(ScraperMetrics)["yuqing_scraper_fetches_total"]
    assert fetches.labels == {"source": "one per source", "outcome": ", ".join(FETCH_OUTCOMES)}
    assert found(AlerterMetrics)["yuqing_alerts_firing"].labels == {"severity": ", ".join(Severity)}


@pytest.mark.parametrize(
    ("name", "kind", "unit"),
    [
        ("yuqing_consumer_lag_records", "gauge", "records"),
        ("yuqing_consumer_last_progress_timestamp_seconds", "gauge", "seconds since 1970"),
        ("yuqing_documents_scored_total", "counter", "documents"),
        ("yuqing_inference_batch_tokens", "histogram", "tokens"),
        ("yuqing_window_script_duration_seconds", "histogram", "seconds"),
        ("yuqing_model_info", "gauge", "number"),
    ],
)
def test_kind_and_unit_follow_from_the_metric(name: str, kind: str, unit: str) -> None:
    item = found(WorkerMetrics)[name]
    assert (item.kind, item.unit) == (kind, unit)


def test_every_label_is_explained() -> None:
    labels = [(item.name, label, values) for process in PROCESSES.values() for item in listed(process) for label, values in item.labels.items()]
    assert labels
    assert [row for row in labels if not row[2] or ANY in row[2].split(", ")] == []
