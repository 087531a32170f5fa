"""The dashboard of sources: which are well, what they bring, and how polls end."""

from __future__ import annotations

from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import Panel, board, choice, filled, less_is_worse, lines, more_is_worse, number, rows, stripes
from opinion.metrics import SOURCE_STATES

CHOSEN = 'source=~"$source"'
COLOURS = {"ok": "green", "silent": "red", "stale": "orange", "partial": "yellow", "walled": "purple", "broken": "dark-red", "waiting": "gray"}


def sources() -> models.Dashboard:
    """The whole dashboard."""
    made = board(
        "sources",
        uid="yuqing-sources",
        says="Which sources are well, what they bring, and how polls of them end.",
        variables=[choice("source", label="Source", of="yuqing_source_state, source")],
    )
    return filled(made, {"Now": _now(), "States": _states(), "What they bring": _brought(), "Polls": _polls()})


def _now() -> list[Panel]:
    return [
        number("Well", says="Sources whose state is ok.", unit="none", queries={"well": 'sum(yuqing_source_state{state="ok"})'}, steps=less_is_worse(1, 1), span=6),
        number(
            "Lost",
            says="Silent, stale, walled or broken: nothing can be expected of them.",
            unit="none",
            queries={"lost": 'sum(yuqing_source_state{state=~"silent|stale|walled|broken"})'},
            steps=more_is_worse(1, 10),
            span=6,
        ),
        number(
            "Languages without a source",
            says="Yes: every source that told something in this language within a week is lost.",
            unit="none",
            queries={"{{language}}": "max by (language) (yuqing_language_blind)"},
            steps=more_is_worse(1, 1),
            words={0: ("no", "green"), 1: ("YES", "red")},
            span=6,
        ),
        number(
            "Documents of the last hour",
            says="Published and acknowledged by Kafka.",
            unit="short",
            queries={"documents": f"sum(increase(yuqing_scraper_documents_total{{{CHOSEN}}}[1h]))"},
            steps=less_is_worse(100, 1),
            span=6,
        ),
    ]


def _states() -> list[Panel]:
    parts = [f'{place} * sum by (source) (yuqing_source_state{{{CHOSEN}, state="{state}"}})' for place, state in enumerate(SOURCE_STATES)]
    return [
        stripes(
            "State of each source",
            says="ok; partial: some items of a body became no document; silent: no answer, or nothing new where there always was; stale: nothing new for a day; "
            "walled: refused us; broken: another form, or gone; waiting: no answer yet since the scraper began.",
            queries={"{{source}}": " + ".join(parts)},
            words={place: (state, COLOURS[state]) for place, state in enumerate(SOURCE_STATES)},
        ),
        rows("Not well now", says="`yuqing status` says why.", query='max by (source, state) (yuqing_source_state{state!="ok"}) == 1'),
        lines(
            "Since the last new document",
            says="The ten that have been quiet longest.",
            unit="s",
            queries={"{{source}}": f"topk(10, time() - max by (source) (yuqing_scraper_last_document_timestamp_seconds{{{CHOSEN}}}))"},
            span=12,
        ),
    ]


def _brought() -> list[Panel]:
    return [
        lines(
            "Documents",
            says="Published and acknowledged, the ten busiest.",
            unit="cpm",
            queries={"{{source}}": f"topk(10, 60 * sum by (source) (rate(yuqing_scraper_documents_total{{{CHOSEN}}}[$__rate_interval])))"},
            stacked=True,
        ),
        lines(
            "Items that became no document",
            says="By reason: empty, told twice in one body, without what a document needs, over the cap of a body, cut short.",
            unit="cpm",
            queries={"{{reason}}": f"60 * sum by (reason) (rate(yuqing_scraper_items_dropped_total{{{CHOSEN}}}[$__rate_interval]))"},
        ),
        lines(
            "Gaps",
            says="Stretches that a source that pushes no longer had after an outage.",
            unit="short",
            queries={"{{source}}": f"sum by (source) (increase(yuqing_scraper_gaps_total{{{CHOSEN}}}[1h]))"},
        ),
    ]


def _polls() -> list[Panel]:
    return [
        lines(
            "How polls end",
            says="ok: something new; not_modified: the server said so; empty: nothing new. The rest are failures by reason.",
            unit="cpm",
            queries={"{{outcome}}": f"60 * sum by (outcome) (rate(yuqing_scraper_fetches_total{{{CHOSEN}}}[$__rate_interval]))"},
            stacked=True,
        ),
        lines(
            "Share of polls that fail",
            says="The ten worst sources, in the last hour.",
            unit="percentunit",
            queries={
                "{{source}}": f'topk(10, sum by (source) (increase(yuqing_scraper_fetches_total{{{CHOSEN}, outcome!~"ok|not_modified|empty"}}[1h]))'
                f" / sum by (source) (increase(yuqing_scraper_fetches_total{{{CHOSEN}}}[1h])))"
            },
        ).max(1),
        lines(
            "Length of a poll, p95",
            says="The ten slowest sources.",
            unit="s",
            queries={"{{source}}": f"topk(10, histogram_quantile(0.95, sum by (source, le) (rate(yuqing_scraper_fetch_duration_seconds_bucket{{{CHOSEN}}}[10m]))))"},
        ),
    ]
