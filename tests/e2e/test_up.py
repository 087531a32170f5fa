from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from opinion.clock import monotonic_s
from tests.support.feed_server import FeedServer, reply
from yuqing.embedded.process import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

COMMAND = [sys.executable, "-m", "yuqing"]


async def run_until(words: str, process: asyncio.subprocess.Process) -> list[str]:
    """Lines of a process until one holds the words."""
    assert process.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(120):
        while not any(words in line for line in lines):
            line = (await process.stderr.readline()).decode()
            assert line, f"ended without saying {words!r}: {lines}"
            lines.append(line)
    return lines


async def post(port: int, *, token: str) -> Any:
    """What the intake answers to a document."""
    row = {"id": "a-1", "title": "Huasui Dairy recalls formula", "text": "It found clumps."}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        return (await client.post(f"http://127.0.0.1:{port}/v1/documents", json=row, headers={"authorization": f"Bearer {token}"})).json()


def variables_of(**changes: str) -> dict[str, str]:
    """The environment of a stack of its own."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("YUQING_")}
    models = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "yuqing" / "models"
    ports = {name: str(free_port()) for name in ("YUQING_API_PORT", "YUQING_WORKER_PORT", "YUQING_SCRAPER_PORT")}
    return own | ports | {"YUQING_MODEL_DIR": str(models), "OMP_NUM_THREADS": "1"} | changes


@asynccontextmanager
async def running(folder: Path, variables: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `yuqing up` over the data in the folder, stopped at the end as a person stops it."""
    process = await asyncio.create_subprocess_exec(*COMMAND, "up", "--data-dir", str(folder), env=variables, stderr=asyncio.subprocess.PIPE)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 0


async def test_everything_starts_stops_within_ten_seconds_and_finds_its_data_again(tmp_path: Path) -> None:
    variables = variables_of(YUQING_INTAKE_PORT=str(intake_port := free_port()))
    for turn in range(2):
        async with running(tmp_path, variables) as process:
            lines = await run_until("fetched 0, scored 0, behind 0", process)
            assert any("alert: ready" in line for line in lines)
            assert any("work: ready" in line for line in lines)
            assert any("scrape: ready" in line for line in lines)
            assert any(f"POST to http://127.0.0.1:{intake_port}/v1/documents (token: {tmp_path}/intake-token)" in line for line in lines)
            answer = await post(intake_port, token=(tmp_path / "intake-token").read_text().strip())
            assert answer == {"accepted": 1 - turn, "duplicates": turn, "problems": []}
            await run_until(f"fetched {1 - turn}, scored {1 - turn}, behind 0", process)
            second = await asyncio.create_subprocess_exec(*COMMAND, "up", "--data-dir", str(tmp_path), env=variables, stderr=asyncio.subprocess.PIPE)
            _, said = await second.communicate()
            assert second.returncode == 2
            assert b"another `yuqing up` uses" in said
            began_s = monotonic_s()
        assert monotonic_s() - began_s <= 10
    assert (tmp_path / "api-token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kafka" / "logs" / "meta.properties").exists()


async def test_up_and_status_say_blind_and_why_until_a_source_answers(tmp_path: Path) -> None:
    async with FeedServer() as server:
        later = f"{server.url}/rss"
        server.replies["/rss"] = [reply(status=503)]
        variables = variables_of(YUQING_SOURCES=f"https://feeds.invalid/rss,{later}", YUQING_POLL_INTERVAL_S="1", YUQING_ALLOW_PRIVATE_SOURCES="true")
        async with running(tmp_path, variables) as process:
            (blind,) = [line for line in await run_until("BLIND", process) if "BLIND" in line]
            assert blind.startswith("BLIND: none of 2 sources brings anything (2 waiting, e.g. 127.0.0.1: answered 503); fetched 0,")
            status = await asyncio.create_subprocess_exec(*COMMAND, "status", env=variables | {"YUQING_DATA_DIR": str(tmp_path)}, stdout=asyncio.subprocess.PIPE)
            said = (await status.communicate())[0].decode()
            assert status.returncode == 1
            assert "sources: BLIND: none of 2 sources brings anything (2 waiting, e.g. 127.0.0.1: answered 503)" in said
            assert "https://feeds.invalid/rss: ConnectError: " in said
            server.replies["/rss"] = [reply(b"<rss><channel><item><guid>1</guid><title>Huasui Dairy recalls formula</title></item></channel></rss>")]
            (well, *_) = [line for line in await run_until("1 of 2 sources well", process) if "sources well" in line]
            assert well.startswith("1 of 2 sources well (1 waiting, e.g. feeds.invalid: ConnectError: ")
