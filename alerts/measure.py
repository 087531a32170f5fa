"""What an alerter shows of itself and of what it stands on: whether it leads, the memory of Redis, the disk."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from opinion.metrics import AlerterMetrics

log = structlog.get_logger()

MEASURE_EVERY_S = 10.0
"""Shorter than Prometheus looks (15 s), so that what it sees is never older than that."""


async def measure(redis: Redis, data_dir: Path, *, metrics: AlerterMetrics, leading: Callable[[], bool]) -> None:
    """Measure until cancelled; what cannot be measured keeps its last value."""
    while True:
        if leading():
            metrics.leading.set(1)
        else:
            metrics.stand_by()
        try:
            show_memory(await redis.info("memory"), metrics)
        except RedisError as error:
            log.warning("Redis' memory is not known", error=str(error))
        try:
            show_disk(data_dir, metrics)
        except OSError as error:
            log.warning("free space is not known", error=str(error))
        await asyncio.sleep(MEASURE_EVERY_S)


def show_memory(found: dict[str, Any], metrics: AlerterMetrics) -> None:
    """Show what `INFO memory` says."""
    metrics.redis_used.set(found["used_memory"])
    metrics.redis_limit.set(found["maxmemory"] or found.get("total_system_memory", 0))


def show_disk(data_dir: Path, metrics: AlerterMetrics) -> None:
    """Show how much room there is where the data directory lies, or will.

    Errors:
        OSError: it cannot be looked at.
    """
    usage = shutil.disk_usage(next(folder for folder in (data_dir, *data_dir.absolute().parents) if folder.exists()))
    metrics.data_free.set(usage.free)
    metrics.data_size.set(usage.total)
