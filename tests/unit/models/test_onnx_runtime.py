from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.model import tiny_directory

RUN = """
import sys
from pathlib import Path
from models.backends.base import ModelInput
from models.registry import reader_of
reader = reader_of("onnx-int8", Path(sys.argv[1]), device="cpu", threads=1, max_tokens=64)
print(sum(len(one.indices) for one in reader.read([ModelInput("", "shares rise")])))
"""


def test_onnx_runtime_keeps_to_itself(tmp_path: Path) -> None:
    """It leaves no note of a session to report, in a process that does all we do with it."""
    directory, empty = tiny_directory(tmp_path / "models"), tmp_path / "empty"
    empty.mkdir()
    own = os.environ | {"TMPDIR": str(empty), "HOME": str(empty), "XDG_CACHE_HOME": str(empty)}
    found = subprocess.run([sys.executable, "-c", RUN, str(directory)], capture_output=True, text=True, check=False, env=own, timeout=60)
    assert found.stdout.splitlines()[-1:] == ["1"], found.stderr
    assert list(empty.rglob("*")) == []
