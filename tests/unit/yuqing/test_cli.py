from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.unit.yuqing.conftest import Command
from yuqing.cli import main

HEAVY = ("torch", "transformers", "faust", "numpy", "scipy", "fastapi", "aiokafka", "redis")
"""What takes a noticeable part of a second to import."""
HELP_CPU_S = 3.0
"""The promise is a second; a processor that is shared with other tests, or slow, is given three. Torch alone takes longer than that."""

ASK = """
import json, sys, time
from click.testing import CliRunner
from yuqing.cli import main
result = CliRunner().invoke(main, [*json.loads(sys.argv[1]), "--help"])
heavy = [name for name in json.loads(sys.argv[2]) if name in sys.modules]
print(json.dumps({"code": result.exit_code, "text": result.output, "heavy": heavy, "cpu_s": time.process_time()}))
"""


def paths(group: click.Group, *before: str) -> Iterator[tuple[str, ...]]:
    """The words of every command, groups included."""
    for name, found in group.commands.items():
        yield (*before, name)
        if isinstance(found, click.Group):
            yield from paths(found, *before, name)


def command_at(path: tuple[str, ...]) -> click.Command:
    found: click.Command = main
    for name in path:
        assert isinstance(found, click.Group)
        found = found.commands[name]
    return found


COMMANDS = [(), *paths(main)]
NEED_SETTINGS = [path for path in COMMANDS if path and not isinstance(command_at(path), click.Group)]


def label(path: tuple[str, ...]) -> str:
    return " ".join(("yuqing", *path))


@pytest.mark.parametrize("path", COMMANDS, ids=label)
def test_help_comes_at_once_and_without_torch(path: tuple[str, ...]) -> None:
    """In a process of its own: here other tests have imported everything."""
    done = subprocess.run([sys.executable, "-c", ASK, json.dumps(path), json.dumps(HEAVY)], capture_output=True, text=True, check=True, timeout=60)
    said = json.loads(done.stdout)
    assert (said["code"], said["heavy"]) == (0, [])
    assert said["text"].startswith("Usage: ")
    assert said["cpu_s"] < HELP_CPU_S


@pytest.mark.parametrize("path", COMMANDS, ids=label)
def test_every_command_and_option_says_what_it_is_for(path: tuple[str, ...]) -> None:
    found = command_at(path)
    assert found.help
    assert [option.name for option in found.params if isinstance(option, click.Option) and not option.help] == []


@pytest.mark.parametrize("path", COMMANDS, ids=label)
def test_unknown_option_is_wrong_usage(command: Command, path: tuple[str, ...]) -> None:
    result = command(*path, "--no-such-option")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "No such option" in result.stderr.splitlines()[-1]


def test_unknown_command_is_wrong_usage(command: Command) -> None:
    result = command("chekc")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "No such command" in result.stderr.splitlines()[-1]


def arguments_of(path: tuple[str, ...], folder: Path) -> list[str]:
    """Something for each argument that a command cannot do without."""
    file = folder / "empty.jsonl"
    file.touch()
    needed = [parameter for parameter in command_at(path).params if isinstance(parameter, click.Argument) and parameter.required]
    return [str(file) if isinstance(parameter.type, click.File) else "feed" for parameter in needed]


@pytest.mark.parametrize("path", NEED_SETTINGS, ids=label)
def test_wrong_configuration_stops_every_command_and_is_its_last_line(command: Command, tmp_path: Path, path: tuple[str, ...]) -> None:
    result = command(*path, *arguments_of(path, tmp_path), YUQING_KAFKAA="x")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == "yuqing: unknown setting 'YUQING_KAFKAA'; did you mean 'YUQING_KAFKA'?"


@pytest.mark.parametrize(
    "line", ["work", "alert", "scrape", "status", "dead list", "dead show x", "dead replay x", "replay empty.jsonl", "erase feed:18c17418f5ad82f063ef70de0bd2d3e7"]
)
def test_command_that_needs_servers_says_in_one_line_how_to_get_them(command: Command, line: str) -> None:
    Path("empty.jsonl").touch()
    result = command(*line.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "yuqing: `kafka` is not set: set YUQING_KAFKA, or run `yuqing up`, which brings its own\n"


def test_work_that_fails_is_one_line_and_exit_code_one(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "counts.jsonl"
    file.write_text("[\n")
    result = command("backtest", str(file))
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("yuqing: ")


def test_broken_pipe_is_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(f"{sys.executable} -m yuqing --help | true", shell=True, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
