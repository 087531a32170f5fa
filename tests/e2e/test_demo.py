from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from opinion.clock import monotonic_s

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(330)]

WITHIN_S = 240.0
"""What a person is promised."""


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_demo_alerts_for_the_crisis_alone_verifies_resolves_and_ends(tmp_path: Path) -> None:
    own = {key: value for key, value in os.environ.items() if not key.startswith("YUQING_")}
    began_s = monotonic_s()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "yuqing", "demo", env=own | {"TMPDIR": str(tmp_path)}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, progress = (stream.decode() for stream in await process.communicate())
    assert process.returncode == 0, said + progress
    assert monotonic_s() - began_s <= WITHIN_S
    assert "FAIL" not in said
    assert said.count("● FIRING") == 1
    assert said.count("● RESOLVED") == 1
    assert "Huasui Dairy" in said
    assert "fetch to webhook: p50" in said
    assert "\x1b" not in said + progress  # neither colours nor a bar in a pipe
    assert left_in(tmp_path) == []
