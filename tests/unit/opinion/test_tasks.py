from __future__ import annotations

import asyncio

import pytest

from opinion import tasks
from opinion.tasks import end, together


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "AGAIN_S", 0.01)


async def deaf(times: int) -> int:
    """Works for ever and loses so many cancellations."""
    lost = 0
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if lost == times:
                raise
            lost += 1


async def failing() -> None:
    await asyncio.sleep(0)
    raise ValueError("broken")


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_a_task_that_loses_cancellations_ends(times: int) -> None:
    task = asyncio.create_task(deaf(times))
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()


async def test_what_a_task_raised_is_not_raised_by_its_end() -> None:
    broken, done = asyncio.create_task(failing()), asyncio.create_task(asyncio.sleep(0, "fine"))
    await asyncio.wait({broken, done})
    await end(broken, done)
    assert isinstance(broken.exception(), ValueError)
    assert done.result() == "fine"


async def test_the_end_of_nothing_comes_at_once() -> None:
    await end()
    assert len(asyncio.all_tasks()) == 1


async def test_works_end_with_the_first_that_fails() -> None:
    with pytest.raises(ValueError, match="broken"):
        await together([("deaf", deaf(2)), ("failing", failing())])
    assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"deaf", "failing"})


async def test_works_end_with_their_caller() -> None:
    caller = asyncio.create_task(together([("deaf", deaf(1)), ("other", deaf(0))]))
    await asyncio.sleep(0.01)
    await end(caller)
    assert caller.cancelled()
    assert {task.get_name() for task in asyncio.all_tasks()}.isdisjoint({"deaf", "other"})


async def test_works_that_are_done_return() -> None:
    heard: list[str] = []

    async def say(word: str) -> None:
        heard.append(word)

    await together([("a", say("a")), ("b", say("b"))])
    assert sorted(heard) == ["a", "b"]
