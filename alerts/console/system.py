"""Sources, and how the pipeline is: watermark, lag, model, versions, thresholds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Response
from msgspec import Struct
from prometheus_client import CollectorRegistry

from alerts.archive import Query as Wanted
from alerts.console.health import eyes_of, instant_of, sources_of, standing_of
from alerts.console.web import ConsoleRoute, Visited
from opinion.clock import epoch_ms, from_epoch_ms
from opinion.records import ScoredDocument
from opinion.watermark import DEAD_AFTER_S, Mark

router = APIRouter(route_class=ConsoleRoute, include_in_schema=False)

JUDGED_LATELY = 200
"""Documents that say which models judge."""


class Partition(Struct, frozen=True):
    """A partition as a page shows it."""

    mark: Mark
    event_at: datetime | None  # of the newest record worked on
    silent_s: float  # since its worker last reported
    dead: bool


@router.get("/sources")
async def show_sources(visit: Visited) -> Response:
    """Every source, those that need somebody first."""
    sources = await sources_of(visit.parts)
    return visit.page("sources.html", sources=sources, states=Counter(source.state for source in sources), eyes=await eyes_of(visit.parts, words=visit.words))


@router.get("/system")
async def show_system(visit: Visited) -> Response:
    """How the pipeline is."""
    parts = visit.parts
    status: Mapping[str, Any] = await parts.status()
    marks = sorted(await parts.windows.marks(), key=lambda mark: mark.partition)
    partitions = [partition_of(mark, wall=parts.wall.now()) for mark in marks]
    judged = [item.scored for item in await parts.archive.find(Wanted(limit=JUDGED_LATELY))]
    return visit.page(
        "system.html",
        leading=bool(status.get("leading")),
        watermark=instant_of(status.get("watermark")),
        behind=sum(mark.behind for mark in marks),
        partitions=partitions,
        standing=await standing_of(parts),
        models=models_of(judged),
        queue=await parts.queue.waiting(),
        breakers=parts.registry.get_sample_value("yuqing_delivery_breakers_open"),
        tick_ms=tick_ms(parts.registry),
        eyes=await eyes_of(parts, words=visit.words),
    )


def models_of(judged: Iterable[ScoredDocument]) -> list[tuple[str, str, int]]:
    """Model, backend, and how many of these documents they judged; most first."""
    found = Counter((item.model, item.backend) for item in judged)
    return [(model or "–", backend or "–", count) for (model, backend), count in found.most_common()]


def partition_of(mark: Mark, *, wall: datetime) -> Partition:
    """The partition of a mark; dead where nobody has reported on it for a while."""
    silent_s = max(0.0, (epoch_ms(wall) - mark.reported_ms) / 1000)
    return Partition(mark, None if mark.event_ms is None else from_epoch_ms(mark.event_ms), silent_s, silent_s > DEAD_AFTER_S)


def tick_ms(registry: CollectorRegistry) -> float | None:
    """Mean length of a look at the windows; None where this process has not looked."""
    count, total = (registry.get_sample_value(f"yuqing_detection_tick_duration_seconds_{part}") for part in ("count", "sum"))
    return total / count * 1000 if count and total is not None else None
