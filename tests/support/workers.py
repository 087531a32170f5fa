"""Worker processes for tests."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from opinion.names import Names
from opinion.records import Counts
from opinion.windows import WindowStore
from yuqing.embedded.process import free_port

WORKER = [sys.executable, "-m", "tests.support.null_worker"]


def environment(*, kafka: str, redis_url: str, names: Names, **settings: str) -> dict[str, str]:
    """Variables for a worker on these servers, quick to notice that another died."""
    own = {
        "YUQING_KAFKA": kafka,
        "YUQING_REDIS": redis_url,
        "YUQING_NAMESPACE": names.namespace,
        "YUQING_DATA_DIR": str(Path(tempfile.gettempdir()) / "yuqing-tests" / names.namespace),
        "YUQING_SESSION_TIMEOUT_S": "6",
        "YUQING_WORKER_PORT": str(free_port()),
        "YUQING_LOG_LEVEL": "warning",
        "OMP_NUM_THREADS": "1",
    }
    return {**os.environ, **own, **settings}


@asynccontextmanager
async def worker(variables: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running worker with the null judge; ended on exit if it still runs."""
    process = await asyncio.create_subprocess_exec(*WORKER, env=variables)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def totals(store: WindowStore, subjects: list[str]) -> Counts:
    """Everything counted for these subjects."""
    return sum([pane.counts for subject in subjects for pane in await store.panes(subject)], Counts())


async def until(condition: Callable[[], object], *, within_s: float, every_s: float = 0.25) -> None:
    """Return when the condition (a coroutine function or a function) holds.

    Errors:
        TimeoutError: it did not in time.
    """
    async with asyncio.timeout(within_s):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(every_s)
