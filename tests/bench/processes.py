"""Processes under measure: started with given settings, never outliving the benchmark, their memory read while they work."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from opinion.settings import PREFIX, Settings
from yuqing.embedded.process import die_with_parent

STOP_WITHIN_S = 8.0
"""From SIGTERM to SIGKILL; a worker ends within 6 s."""
ANSWER_WITHIN_S = 600.0


class Process:
    """A child process whose output goes to a file."""

    def __init__(self, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self._process = process
        self._log_path = log_path

    @property
    def pid(self) -> int:
        """Its id."""
        return self._process.pid

    def check(self) -> None:
        """Raise RuntimeError with its last words when it has ended."""
        if self._process.returncode is not None:
            raise RuntimeError(self.last_words())

    def last_words(self) -> str:
        """The last line of its output."""
        return last_line(self._log_path)


def environment(settings: Settings) -> dict[str, str]:
    """This process's variables, with the settings that differ from their defaults and no others."""
    return {key: value for key, value in os.environ.items() if not key.startswith(PREFIX)} | settings.as_environment()


@asynccontextmanager
async def running(arguments: list[str], *, settings: Settings, log_path: Path) -> AsyncIterator[Process]:
    """`python ARGUMENTS` as long as the block lasts."""
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=environment(settings), stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent
        )
    try:
        yield Process(process, log_path)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_WITHIN_S):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


async def answer(arguments: list[str], *, settings: Settings, log_path: Path) -> Any:
    """The JSON object that `python ARGUMENTS` prints on its last line."""
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, env=environment(settings), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log, preexec_fn=die_with_parent
        )
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}: {last_line(log_path)}")
    return json.loads(output.splitlines()[-1])


def last_line(path: Path) -> str:
    """The last line of a log."""
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"


def rss_mb(pid: int) -> int:
    """Resident memory of a process and its children, in megabytes; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        return sum(part.memory_info().rss for part in [process, *process.children(recursive=True)]) // 1_000_000
    except psutil.Error:
        return 0
