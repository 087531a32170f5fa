"""Tasks that end when they are told to, whatever the libraries inside them do with a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

AGAIN_S = 3.0
"""Wait before a task that did not end is cancelled again: longer than an orderly end takes, which a second cancellation would cut short."""


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel the tasks and return when all have ended; what they raised is theirs to tell.

    One cancellation can be lost: `asyncio.wait_for` of Python 3.11, which redis-py sends through, answers with its result when
    both come at the same moment (https://github.com/python/cpython/issues/86296). So whoever lives on is cancelled again.
    A caller that is cancelled meanwhile ends after them.
    """
    alive = {task for task in tasks if not task.done()}
    cancelled: asyncio.CancelledError | None = None
    while alive:
        for task in alive:
            task.cancel()
        try:
            await asyncio.wait(alive, timeout=AGAIN_S)
        except asyncio.CancelledError as error:
            cancelled = error
        alive = {task for task in alive if not task.done()}
    await asyncio.gather(*tasks, return_exceptions=True)
    if cancelled is not None:
        raise cancelled


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
