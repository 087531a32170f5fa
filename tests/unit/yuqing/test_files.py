from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_lock_files_name_no_address() -> None:
    for path in ROOT.glob("requirements*.lock.txt"):
        assert "://" not in path.read_text(encoding="utf-8"), path.name


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "run", "demo", "test", "check", "bench"):
        assert f"make {target}" in shown
