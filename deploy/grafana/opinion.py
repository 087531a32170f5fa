"""The dashboard of what is said: shares of negatives against what is usual, scores, volume."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard, timeseries
from grafana_foundation_sdk.models import dashboard as models

from deploy.grafana.panels import Panel, bars, board, choice, filled, less_is_worse, lines, more_is_worse, number
from opinion.records import Scan

SUBJECTS = 'subject=~"$subject"'
YES_NO = {0: ("no", "green"), 1: ("YES", "red")}


def opinion() -> models.Dashboard:
    """The whole dashboard."""
    lane = dashboard.CustomVariable("lane").label("Scan").values(",".join(Scan)).current(models.VariableOption(text=Scan.SHARE.value, value=Scan.SHARE.value))
    made = board(
        "opinion",
        uid="yuqing-opinion",
        says="What is said of the topics, against what is usual. Companies have no series (there are thousands): see the console and the API.",
        variables=[choice("subject", label="Topic", of="yuqing_topic_documents, subject"), lane],
    )
    return filled(made, {"Now": _now(), "Topics": _topics(), "Volume": _volume()})


def _now() -> list[Panel]:
    return [
        number(
            "Alerts that are on",
            says="By severity. Alerts on companies count too.",
            unit="none",
            queries={"{{severity}}": "max by (severity) (yuqing_alerts_firing)"},
            steps=more_is_worse(1, 1),
            span=6,
        ),
        number(
            "Blind",
            says="Yes: a partition has no live worker, or no source brings anything. Calm means nothing then.",
            unit="none",
            queries={"blind": 'clamp_max(max(yuqing_detection_blind) + max(yuqing_language_blind{language="all"}), 1)'},
            steps=more_is_worse(1, 1),
            words=YES_NO,
        ),
        number(
            "Languages without a source",
            says="Yes: every source that told something in this language within a week is lost.",
            unit="none",
            queries={"{{language}}": "max by (language) (yuqing_language_blind)"},
            steps=more_is_worse(1, 1),
            words=YES_NO,
            span=6,
        ),
        number(
            "All rise together",
            says="Yes: a new model, a source of another tone, or the whole market. Lesser surges are held back for a day.",
            unit="none",
            queries={"shift": "max(yuqing_detection_common_shift)"},
            steps=more_is_worse(1, 1),
            words={0: ("no", "green"), 1: ("YES", "orange")},
        ),
        number(
            "Documents of the last hour",
            says="Judged by all workers.",
            unit="short",
            queries={"documents": "sum(increase(yuqing_documents_scored_total[1h]))"},
            steps=less_is_worse(100, 1),
        ),
    ]


def _topics() -> list[Panel]:
    return [
        bars(
            "Highest scores",
            says="Topics whose windows are least probable on a usual day, of the scan chosen above: -log10 of that probability. What fires is in the panel beside.",
            unit="none",
            queries={"{{subject}}": f'topk(10, max by (subject) (yuqing_topic_spike_score{{{SUBJECTS}, lane=~"$lane"}}))'},
            steps=((None, "blue"), (2, "yellow"), (4, "red")),
        ),
        lines(
            "Scores and what fires",
            says="The scores over time, and the threshold of a subject without rules of its own; it follows from the budget of false alarms.",
            unit="none",
            queries={
                "{{subject}}": f'max by (subject) (yuqing_topic_spike_score{{{SUBJECTS}, lane=~"$lane"}})',
                "threshold": 'max(yuqing_detection_threshold{scan=~"$lane"})',
            },
        ).override_by_name("threshold", [models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}), models.DynamicConfigValue("custom.lineWidth", 2)]),
        lines(
            "Slope of the share",
            says="How fast the share of negatives rises, per hour, over three hours. Empty where too little was said.",
            unit="percentunit",
            queries={"{{subject}}": f"max by (subject) (yuqing_topic_negative_trend{{{SUBJECTS}}})"},
            least=None,
        ),
        _banded(),
    ]


def _banded() -> timeseries.Panel:
    """A panel per chosen topic: its share inside or outside of the band of chance."""
    usual, band = f"max by (subject) (yuqing_topic_baseline_ratio{{{SUBJECTS}}})", f"subject:yuqing_topic_baseline_ratio:band{{{SUBJECTS}}}"
    panel = lines(
        "$subject",
        says="Share of negatives in the last hour against what is usual at this hour. The band is two standard deviations of chance alone at this volume; "
        "an alert needs more, and several stories and publishers.",
        unit="percentunit",
        queries={
            "share": f"max by (subject) (yuqing_topic_negative_ratio{{{SUBJECTS}}})",
            "usual": usual,
            "band, upper end": f"clamp_max({usual} + {band}, 1)",
            "band, lower end": f"clamp_min({usual} - {band}, 0)",
        },
        span=6,
    ).max(1)
    edge = [models.DynamicConfigValue("custom.lineWidth", 0), models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "blue"})]
    panel = panel.override_by_name("share", [models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}), models.DynamicConfigValue("custom.lineWidth", 2)])
    panel = panel.override_by_name("usual", [models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "blue"})])
    panel = panel.override_by_name(
        "band, upper end", [*edge, models.DynamicConfigValue("custom.fillBelowTo", "band, lower end"), models.DynamicConfigValue("custom.fillOpacity", 15)]
    )
    return panel.override_by_name("band, lower end", edge).repeat("subject").repeat_direction("h").max_per_row(4)


def _volume() -> list[Panel]:
    def per_minute(metric: str, label: str) -> dict[str, str]:
        return {f"{{{{{label}}}}}": f"60 * sum by ({label}) (rate({metric}[$__rate_interval]))"}

    return [
        lines("By kind", says="Documents judged.", unit="cpm", queries=per_minute("yuqing_documents_scored_total", "kind"), stacked=True),
        lines(
            "By language", says="Documents judged, by the language of their text.", unit="cpm", queries=per_minute("yuqing_documents_by_language_total", "language"), stacked=True
        ),
        lines("By sentiment", says="Documents judged.", unit="cpm", queries=per_minute("yuqing_documents_scored_total", "sentiment"), stacked=True),
        lines(
            "By topic",
            says="Tellings of the last hour: a document of a story that its publisher had told before is none.",
            unit="short",
            queries={"{{subject}}": f"max by (subject) (yuqing_topic_documents{{{SUBJECTS}}})"},
            span=12,
        ),
        lines(
            "Share of negatives, by language",
            says="Of the documents judged in the last hour. Languages drift apart when the model is wrong about one.",
            unit="percentunit",
            queries={
                "{{language}}": 'sum by (language) (increase(yuqing_documents_by_language_total{sentiment="negative"}[1h]))'
                " / sum by (language) (increase(yuqing_documents_by_language_total[1h]))"
            },
            span=12,
        ),
    ]
