from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from opinion.errors import ConfigError
from opinion.metrics import ScraperMetrics, exposition
from opinion.settings import Feed, Settings
from yuqing.up import Stack, count_sources, say_where, status_line, sums_of


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
    line = status_line(
        {"yuqing_source_state:ok": 2, "yuqing_source_state:walled": 1, "yuqing_scraper_fetches_total": 9, "yuqing_scraper_documents_total": 7},
        {"yuqing_documents_scored_total": 7},
        {},
        n_sources=3,
        rss_mb={"work": 900},
        why="a.example: answered 403",
    )
    assert line == "2 of 3 sources well (1 walled, e.g. a.example: answered 403); fetched 7, scored 7, behind 0, dead 0, firing 0, to deliver 0; MB: work 900"


@pytest.mark.parametrize(
    ("scraper", "words"),
    [
        ({}, "no word of 3 sources: the scraper does not answer;"),
        ({"yuqing_source_state:waiting": 3, "yuqing_scraper_fetches_total": 0}, "no source has answered yet (3 waiting);"),
        ({"yuqing_source_state:waiting": 3, "yuqing_scraper_fetches_total": 1}, "BLIND: none of 3 sources brings anything (3 waiting, e.g. a.example does not resolve);"),
        ({"yuqing_source_state:waiting": 2, "yuqing_source_state:silent": 1, "yuqing_scraper_fetches_total": 3}, "BLIND: none of 3 sources brings anything (1 silent, 2 waiting"),
        ({"yuqing_source_state:waiting": 2, "yuqing_source_state:ok": 1, "yuqing_scraper_fetches_total": 3}, "1 of 3 sources well (2 waiting, e.g."),
        ({"yuqing_source_state:partial": 3, "yuqing_scraper_fetches_total": 3}, "0 of 3 sources well (3 partial"),
    ],
    ids=["dead", "begun", "offline", "offline-long", "one", "partial"],
)
def test_the_status_line_never_takes_blind_for_well(scraper: dict[str, float], words: str) -> None:
    assert status_line(scraper, {}, {}, n_sources=3, rss_mb={}, why="a.example does not resolve").startswith(words)


def test_the_status_line_says_when_there_is_nothing_to_watch() -> None:
    assert status_line({}, {}, {}, n_sources=0, rss_mb={}).startswith("BLIND: no sources (set YUQING_SOURCES: `default`")


def test_what_is_brought_to_us_is_counted_among_the_sources(tmp_path: Path) -> None:
    assert count_sources(Settings()) == 0
    assert count_sources(Settings(sources=[Feed(url="https://a.example/rss")], drop_dir=tmp_path, intake_port=0)) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"intake_port": 18603}, "POST to http://127.0.0.1:18603/v1/documents (token: {folder}/intake-token)"),
        ({"intake_port": 0, "intake_token": SecretStr("hush")}, "POST to the address in {folder}/logs/scrape.log (token: configured)"),
    ],
)
def test_up_says_where_documents_are_posted_and_where_the_token_is(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    said: list[str] = []
    say_where(Stack(Settings(data_dir=tmp_path, **settings), echo=said.append, processes=[]), said.append)
    assert f"Documents of your own: {words.format(folder=tmp_path)}" in said
    assert any(f"token: {tmp_path}/api-token" in line for line in said)
    assert "hush" not in "".join(said)


def test_up_says_nothing_of_an_intake_that_is_off(tmp_path: Path) -> None:
    said: list[str] = []
    say_where(Stack(Settings(data_dir=tmp_path), echo=said.append, processes=[]), said.append)
    assert "POST" not in "".join(said)


async def test_a_taken_port_of_the_intake_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        stack = Stack(Settings(data_dir=tmp_path, scraper_port=0, intake_port=port), echo=print, processes=["scrape"])
        with pytest.raises(ConfigError, match=rf"port {port} is taken, `scrape` cannot listen on it: set `intake_port`"):
            await stack.start()
        await stack.stop()
