"""What every benchmark says of itself: the machine and the commit it measured."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Any


def machine() -> dict[str, Any]:
    """The machine, as far as it matters to a rate."""
    return {"cores": os.cpu_count(), "arch": platform.machine(), "python": platform.python_version()}


def commit() -> str:
    """The commit, with `+` where the tree differs from it; empty outside a checkout."""
    found = subprocess.run(["git", "describe", "--always", "--dirty=+", "--exclude=*"], capture_output=True, text=True, check=False)
    return found.stdout.strip()


def say(line: str) -> None:
    """Print at once, for those who watch."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
