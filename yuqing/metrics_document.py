"""`docs/metrics.md`: every metric that a process shows, as its catalogue (opinion/metrics.py) has it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

from msgspec import Struct
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from alerts.shown import WINDOW
from opinion.metrics import AlerterMetrics, ScraperMetrics, WorkerMetrics
from opinion.records import Scan

Process = type[ScraperMetrics] | type[WorkerMetrics] | type[AlerterMetrics]
PROCESSES: dict[str, Process] = {"Scraper": ScraperMetrics, "Worker": WorkerMetrics, "Alerter": AlerterMetrics}
PORTS = {"Scraper": "8601", "Worker": "8602, further workers on a host count up", "Alerter": "8600"}

ANY = "any"
"""Stands for a source or a channel while its series are made."""
OPEN_LABELS = {
    "source": "one per source",
    "channel": "one per channel",
    "topic": "one per Kafka topic",
    "partition": "one per partition",
    "subject": "one per topic of the taxonomy",
    "window": WINDOW,
    "lane": ", ".join(Scan),
    "model": "its name",
    "revision": "its revision",
    "backend": "what runs it",
    "device": "where it runs",
}
"""Labels whose series come with what they speak of, or, of a closed set, with a subject."""
UNITS = (
    (r"_timestamp_seconds$", "seconds since 1970"),
    (r"_seconds$", "seconds"),
    (r"_bytes$", "bytes"),
    (r"_ratio$", "ratio, 0 to 1"),
    (r"_trend(_low|_high)?$", "ratio per hour"),
    (r"_(score|threshold)$", "-log10 of a probability"),
    (r"_tokens$", "tokens"),
    (r"_documents(_total)?$|yuqing_documents_.*_total$", "documents"),
    (r"(_records|_records_total)$", "records"),
)
"""Pattern of the name -> unit; the first that fits. What fits none is a number of what its meaning says, or a state: 0 or 1."""

_PREAMBLE = """\
# Metrics

Made by `make metrics` from the catalogue in `opinion/metrics.py`. Each process serves its own at `/metrics`, in the format of Prometheus.
A histogram shows as `_bucket`, `_sum` and `_count`. Series of closed labels are there, at zero, before anything happens (thresholds as NaN, until the first
look). Companies, authors, addresses and ids are never labels, and at most 200 subjects are (`MAX_SUBJECT_LABELS`).

Rules and dashboards over them: [monitoring.md](monitoring.md). What to do when a rule fires: [runbooks.md](runbooks.md).
"""


class Listed(Struct, frozen=True, kw_only=True):
    """One metric."""

    name: str
    kind: str  # counter, gauge, histogram
    unit: str
    labels: dict[str, str]  # label -> its values, or what it has one for each of
    meaning: str


def listed(process: Process) -> list[Listed]:
    """The metrics of a process, by name."""
    registry = CollectorRegistry()
    metrics = process(registry)
    for starter in [name for name in vars(process) if name.startswith("start_")]:
        getattr(metrics, starter)(ANY)
    families = {family.name: family for family in registry.collect()}
    found = []
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            (family,) = [families[described.name] for described in metric.describe()]
            name = f"{family.name}_total" if family.type == "counter" else family.name
            series = [sample.labels for sample in family.samples]
            labels = {label: OPEN_LABELS.get(label) or ", ".join(dict.fromkeys(labels[label] for labels in series)) for label in metric._labelnames}  # noqa: SLF001 - nothing public names labels
            found.append(Listed(name=name, kind=family.type, unit=_unit(name), labels=labels, meaning=family.documentation))
    return sorted(found, key=lambda item: item.name)


def _unit(name: str) -> str:
    return next((unit for pattern, unit in UNITS if re.search(pattern, name)), "number")


def document() -> str:
    """The whole page."""
    return "\n".join([_PREAMBLE, *(line for process in PROCESSES for line in _section(process))])


def _section(process: str) -> Iterator[str]:
    yield f"## {process}\n\nPort {PORTS[process]}.\n\n| metric | kind | unit | labels | meaning |\n|---|---|---|---|---|"
    for item in listed(PROCESSES[process]):
        labels = "<br>".join(f"`{label}`: {values}" for label, values in item.labels.items())
        yield f"| `{item.name}` | {item.kind} | {item.unit} | {labels} | {item.meaning} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(document())
