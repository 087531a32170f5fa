"""What dashboards ask Prometheus for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CHOSEN = {"__rate_interval": "1m", "subject": ".*", "lane": "share", "source": ".*", "channel": ".*"}
"""What a person would see first: everything."""


def expressions(board: Mapping[str, Any]) -> list[str]:
    """Every expression of a dashboard's panels and annotations."""
    panels = [target["expr"] for panel in board["panels"] if panel["type"] != "row" for target in panel["targets"]]
    return panels + [annotation["expr"] for annotation in board["annotations"]["list"]]


def with_choices(expression: str) -> str:
    """An expression as Grafana sends it.

    >>> with_choices('rate(a{source=~"$source"}[$__rate_interval])')
    'rate(a{source=~".*"}[1m])'
    """
    return re.sub(r"\$(\w+)", lambda found: CHOSEN[found[1]], expression)
