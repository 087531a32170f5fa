from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from yuqing.cli import main

Command = Callable[..., Result]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """`yuqing` with these arguments and this environment, in a folder without a yuqing.toml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))  # a model that the developer promoted must not reach the tests
    monkeypatch.setattr("yuqing.logs.configure_logs", lambda level: None)  # it would tie every later log line of the session to this test's stderr

    def run(*arguments: str, **environment: str) -> Result:
        result = CliRunner().invoke(main, list(arguments), env=environment)
        assert isinstance(result.exception, SystemExit | None), f"{result.exception!r} would be a traceback"
        return result

    return run
