"""A backup by the command line: of a running `yuqing up`, onto an empty data directory, and up again."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from alerts.subscriptions import Subscription, SubscriptionStore, new_key
from opinion.redis_client import connect
from opinion.settings import Settings
from yuqing.embedded.process import free_port
from yuqing.up import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


async def yuqing(*arguments: str, folder: Path) -> tuple[int | None, str]:
    """Exit code and what was said."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("YUQING_")} | {"YUQING_CONFIG": os.devnull}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "yuqing", *arguments, "--data-dir", str(folder), env=own, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, said = await process.communicate()
    assert out == b""
    return process.returncode, said.decode()


def stack_on(folder: Path, *processes: str) -> Stack:
    """What `yuqing up` runs, without the model."""
    return Stack(Settings(data_dir=folder, api_port=free_port(), log_level="warning"), echo=lambda _: None, processes=processes)


def subscriptions(redis: Redis, stack: Stack) -> SubscriptionStore:
    return SubscriptionStore(redis, stack.settings.names)


async def test_a_data_directory_is_lost_and_comes_back(tmp_path: Path) -> None:
    data, file = tmp_path / "data", tmp_path / "a.backup"
    kept = Subscription(id="sub_desk", name="desk", url="https://desk.example/hook", keys=[new_key()])
    code, said = await yuqing("backup", str(file), folder=data)
    assert (code, file.exists(), data.exists()) == (2, False, False)
    assert said.startswith(f"yuqing: there is nothing to back up in {data}: ")

    stack = stack_on(data, "alert")
    try:
        await stack.start()
        redis = connect(stack.settings.redis or "")
        await subscriptions(redis, stack).put(kept)
        code, said = await yuqing("backup", str(file), folder=data)
        assert (code, said.splitlines()[-1]) == (0, "it holds secrets (keys of receivers, tokens) and texts: keep it where only you can read it")
        code, said = await yuqing("restore", str(file), "--replace", folder=data)
        assert (code, said.splitlines()[-1]) == (2, f"yuqing: another `yuqing up` uses {data}: stop it, or choose another --data-dir")
        await redis.aclose()
    finally:
        await stack.stop()
    token = (data / "api-token").read_text()
    shutil.rmtree(data)

    code, said = await yuqing("restore", str(file), "--check", folder=data)
    assert (code, data.exists()) == (0, False)
    assert said.startswith(f"{file} is whole: made ")
    cut = tmp_path / "cut.backup"
    cut.write_bytes(file.read_bytes()[:-500])
    assert await yuqing("restore", str(cut), folder=data) == (2, f"yuqing: {cut} is no backup of yuqing, or was cut off\n")
    assert not data.exists()

    code, said = await yuqing("restore", str(file), folder=data)
    assert code == 0, said
    assert "restored: keys " in said
    code, said = await yuqing("restore", str(file), folder=data)
    assert code == 2
    assert "this installation holds state already (subscriptions 1," in said

    again = stack_on(data, "alert")
    try:
        await again.start()
        redis = connect(again.settings.redis or "")
        assert await subscriptions(redis, again).all() == [kept]
        assert (data / "api-token").read_text() == token
        assert (data / "api-token").stat().st_mode & 0o777 == 0o600
        await redis.aclose()
    finally:
        await again.stop()
