from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog

from alerts.detect.rules import Rules
from alerts.rules_file import RulesFile
from opinion.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "rules.yaml"
    found.write_text("min_breadth: 4\n")
    return found


def replace(path: Path, text: str) -> None:
    """Write the file as an editor does, beside it first: no one reads a half of it."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def test_a_file_that_stays_is_read_once(path: Path) -> None:
    found = RulesFile(path)
    assert found.rules.all.min_breadth == 4
    assert [found.changed(), found.changed()] == [None, None]


@pytest.mark.parametrize("write", [Path.write_text, replace])
def test_a_changed_file_is_taken_up_once(path: Path, write: object) -> None:
    found = RulesFile(path)
    assert callable(write)
    write(path, "min_breadth: 12\n")
    with structlog.testing.capture_logs() as logs:
        assert [found.changed(), found.changed()] == [True, None]
    assert found.rules.all.min_breadth == 12
    assert [(entry["event"], entry["version"]) for entry in logs] == [("new rules", found.rules.version)]


def test_a_change_of_the_same_length_is_seen(path: Path) -> None:
    found = RulesFile(path)
    replace(path, "min_breadth: 5\n")
    assert found.changed() is True
    assert found.rules.all.min_breadth == 5


@pytest.mark.parametrize("text", ["min_breadth: 0\n", "min_bredth: 5\n", "min_breadth: [\n", "- 5\n", "min_breadth: many\n"])
def test_a_wrong_file_keeps_the_rules_and_is_reported_once(path: Path, text: str) -> None:
    found = RulesFile(path)
    before = found.rules
    replace(path, text)
    with structlog.testing.capture_logs() as logs:
        assert [found.changed(), found.changed()] == [False, None]
    assert found.rules is before
    assert [(entry["log_level"], str(path) in entry["error"]) for entry in logs] == [("warning", True)]
    replace(path, "min_breadth: 6\n")
    assert found.changed() is True
    assert found.rules.all.min_breadth == 6


def test_a_wrong_file_put_right_again_is_no_news(path: Path) -> None:
    found = RulesFile(path)
    replace(path, "min_breadth: none\n")
    assert found.changed() is False
    replace(path, "min_breadth: 4\n")
    assert found.changed() is None
    assert found.rules.all.min_breadth == 4


def test_a_file_written_anew_with_the_same_rules_is_no_news(path: Path) -> None:
    found = RulesFile(path)
    version = found.rules.version
    replace(path, "# as before\nmin_breadth: 4\n")
    assert found.changed() is None
    assert found.rules.version == version


def test_a_file_that_vanishes_keeps_the_rules_and_is_read_when_it_returns(path: Path) -> None:
    found = RulesFile(path)
    path.unlink()
    assert [found.changed(), found.changed()] == [False, None]
    assert found.rules.all.min_breadth == 4
    path.write_text("min_breadth: 7\n")
    assert [found.changed(), found.changed()] == [True, None]
    assert found.rules.all.min_breadth == 7


def test_a_file_that_returns_as_it_was_is_no_news(path: Path) -> None:
    found = RulesFile(path)
    aside = path.rename(path.with_suffix(".old"))
    assert found.changed() is False
    aside.rename(path)
    assert found.changed() is None
    assert found.rules.all.min_breadth == 4


def test_a_folder_in_the_place_of_the_file_is_wrong_rules(path: Path) -> None:
    found = RulesFile(path)
    path.unlink()
    path.mkdir()
    assert found.changed() is False
    assert found.rules.all.min_breadth == 4


def test_an_older_file_put_back_is_taken_up(path: Path) -> None:
    found = RulesFile(path)
    replace(path, "min_breadth: 8\n")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    assert found.changed() is True
    assert found.rules.all.min_breadth == 8


def test_without_a_file_the_built_in_rules_stay() -> None:
    found = RulesFile(None)
    assert found.rules.all == Rules()
    assert [found.changed(), found.changed()] == [None, None]


@pytest.mark.parametrize("text", ["min_breadth: 0\n", None])
def test_a_wrong_or_missing_file_is_refused_at_first(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(ConfigError, match=path.name):
        RulesFile(path)
