"""The dashboards as files: `python -m deploy.grafana.write` writes those that Grafana is given."""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.deliveries import deliveries
from deploy.grafana.opinion import opinion
from deploy.grafana.pipeline import pipeline
from deploy.grafana.sources import sources

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> dict[str, str]:
    """The name of each file and what it holds."""
    made = {"opinion": opinion(), "pipeline": pipeline(), "sources": sources(), "deliveries": deliveries()}
    return {f"{name}.json": json.dumps(found, cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n" for name, found in made.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
