from __future__ import annotations

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from opinion.metrics import ScraperMetrics, exposition
from yuqing.up import status_line, sums_of


def test_metrics_are_summed_over_labels_and_kept_apart_by_state() -> None:
    registry = CollectorRegistry()
    metrics = ScraperMetrics(registry)
    for name, state in (("a", "ok"), ("b", "walled"), ("c", "ok")):
        metrics.start_source(name)
        metrics.set_state(name, state)
        metrics.documents.labels(name).inc(2)
    found = sums_of(text_string_to_metric_families(exposition(registry).decode()))
    assert found["yuqing_scraper_documents_total"] == 6
    assert (found["yuqing_source_state:ok"], found["yuqing_source_state:walled"]) == (2, 1)


def test_the_status_line_says_what_a_person_wants_to_know() -> None:
    line = status_line({"yuqing_source_state:ok": 2, "yuqing_scraper_documents_total": 7}, {"yuqing_documents_scored_total": 7}, {}, n_sources=3, rss_mb={"work": 900})
    assert line == "2 of 3 sources well; fetched 7, scored 7, behind 0, dead 0, firing 0, to deliver 0; MB: work 900"


def test_the_status_line_says_when_there_is_nothing_to_watch() -> None:
    assert status_line({}, {}, {}, n_sources=0, rss_mb={}).startswith("no sources (set YUQING_SOURCES")
