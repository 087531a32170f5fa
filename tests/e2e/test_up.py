from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from opinion.clock import monotonic_s
from yuqing.embedded.process import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


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


async def test_everything_starts_stops_within_ten_seconds_and_finds_its_data_again(tmp_path: Path) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith("YUQING_")}
    models = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "yuqing" / "models"
    variables = own | {
        "YUQING_API_PORT": str(free_port()),
        "YUQING_WORKER_PORT": str(free_port()),
        "YUQING_SCRAPER_PORT": str(free_port()),
        "YUQING_INTAKE_PORT": str(intake_port := free_port()),
        "YUQING_MODEL_DIR": str(models),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "yuqing", "up", "--data-dir", str(tmp_path)]
    for turn in range(2):
        process = await asyncio.create_subprocess_exec(*command, env=variables, stderr=asyncio.subprocess.PIPE)
        lines = await run_until("fetched 0, scored 0, behind 0", process)
        assert any("alert: ready" in line for line in lines)
        assert any("work: ready" in line for line in lines)
        assert any("scrape: ready" in line for line in lines)
        assert any(f"POST to http://127.0.0.1:{intake_port}/v1/documents (token: {tmp_path}/intake-token)" in line for line in lines)
        answer = await post(intake_port, token=(tmp_path / "intake-token").read_text().strip())
        assert answer == {"accepted": 1 - turn, "duplicates": turn, "problems": []}
        await run_until(f"fetched {1 - turn}, scored {1 - turn}, behind 0", process)
        second = await asyncio.create_subprocess_exec(*command, env=variables, stderr=asyncio.subprocess.PIPE)
        _, said = await second.communicate()
        assert second.returncode == 2
        assert b"another `yuqing up` uses" in said
        began_s = monotonic_s()
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 0
        assert monotonic_s() - began_s <= 10
    assert (tmp_path / "api-token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "kafka" / "logs" / "meta.properties").exists()
