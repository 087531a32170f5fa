from __future__ import annotations

from pathlib import Path

import pytest

from opinion.errors import ConfigError
from opinion.settings import Settings
from yuqing.running import announce, take, with_running


def test_the_servers_of_a_running_stack_are_found_and_those_of_an_ended_one_are_not(tmp_path: Path) -> None:
    asking = Settings(data_dir=tmp_path)
    assert with_running(asking) == asking
    lock = take(tmp_path)
    assert with_running(asking).kafka is None
    announce(Settings(data_dir=tmp_path, kafka="127.0.0.1:1", redis="redis://127.0.0.1:2/0"))
    found = with_running(asking)
    assert (found.kafka, found.redis) == ("127.0.0.1:1", "redis://127.0.0.1:2/0")
    assert (tmp_path / "up.json").stat().st_mode & 0o777 == 0o600
    lock.close()
    assert with_running(asking).kafka is None


def test_servers_that_are_set_win(tmp_path: Path) -> None:
    with take(tmp_path):
        announce(Settings(data_dir=tmp_path, kafka="127.0.0.1:1", redis="redis://127.0.0.1:2/0"))
        assert with_running(Settings(data_dir=tmp_path, kafka="k:9", redis="redis://r:1/0")).kafka == "k:9"


def test_two_stacks_never_share_a_data_directory(tmp_path: Path) -> None:
    with take(tmp_path), pytest.raises(ConfigError, match="another `yuqing up` uses"):
        take(tmp_path)


def test_a_data_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be used"):
        take(tmp_path / "file" / "under")
