"""Tasks that end when they are told to, whatever the libraries inside them do with a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

AGAIN_S = 0.5
"""Wait before a task that did not end is cancelled again."""


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and return when all have ended; what they raised is theirs to tell.

    One cancellation can be lost: `asyncio.wait_for` of Python 3.11, which redis-py sends through, answers with its result when
    both come at the same moment (https://github.com/python/cpython/issues/86296). So whoever lives on is cancelled again.
    """
    alive = {task for task in tasks if not task.done()}
    while alive:
        for task in alive:
            task.cancel()
        _, alive = await asyncio.wait(alive, timeout=AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)


async def together(works: Iterable[tuple[str, Coroutine[Any, Any, Any]]]) -> None:
    """Run named works side by side until the first of them fails, all are done, or the caller is cancelled; none outlives this.

    Not a TaskGroup, because that cancels its tasks once.

    Errors:
        What the first failing work raised.
    """
    tasks = [asyncio.create_task(work, name=name) for name, work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()
    finally:
        await end(*tasks)
