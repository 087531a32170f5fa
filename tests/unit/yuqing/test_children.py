from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from yuqing import children
from yuqing.children import Child


class Heard:
    """What a child's keeper said, and a way to wait for it."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[str] = asyncio.Queue()

    async def next(self) -> str:
        async with asyncio.timeout(10):
            return await self.lines.get()


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def made(tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Child]]:
    monkeypatch.setattr(children, "FIRST_WAIT_S", 0.05)
    made: list[Child] = []
    yield made
    for child in made:
        await child.stop()


def child(code: str, folder: Path, heard: Heard) -> Child:
    return Child("part", [sys.executable, "-c", code], environment=dict(os.environ), log_path=folder / "part.log", echo=heard.lines.put_nowait)


async def test_dead_child_is_started_again_and_its_last_words_are_said(tmp_path: Path, heard: Heard, made: list[Child]) -> None:
    made.append(child("import sys; print('the disk is full', file=sys.stderr); sys.exit(1)", tmp_path, heard))
    await made[0].start()
    for _ in range(2):
        assert "part ended (1): the disk is full; starting it again" in await heard.next()
    assert made[0].restarts >= 1


async def test_wrong_configuration_is_not_tried_again(tmp_path: Path, heard: Heard, made: list[Child]) -> None:
    made.append(child("import sys; print('unknown setting', file=sys.stderr); sys.exit(2)", tmp_path, heard))
    await made[0].start()
    assert await heard.next() == "part cannot run: unknown setting"
    assert made[0].given_up
    assert made[0].pid is None


async def test_killed_child_comes_back_under_another_pid(tmp_path: Path, heard: Heard, made: list[Child]) -> None:
    made.append(child("import time; time.sleep(60)", tmp_path, heard))
    await made[0].start()
    first = made[0].pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await heard.next()
    async with asyncio.timeout(10):
        while made[0].pid in {None, first}:  # noqa: ASYNC110 - the keeper wakes nobody
            await asyncio.sleep(0.01)


async def test_stopped_child_stays_stopped(tmp_path: Path, heard: Heard, made: list[Child]) -> None:
    made.append(child("import time; time.sleep(60)", tmp_path, heard))
    await made[0].start()
    await made[0].stop()
    assert made[0].pid is None
    assert heard.lines.empty()
