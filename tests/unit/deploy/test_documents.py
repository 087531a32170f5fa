from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from tests.unit.deploy.test_rules import anchor_of
from yuqing.cli import main

DOCS = Path(__file__).parents[3] / "docs"
PAGES = [DOCS / "runbooks.md", DOCS / "monitoring.md", DOCS / "privacy.md", DOCS / "deployment.md"]


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("yuqing ")]


def parse(line: str) -> None:
    """Take a command apart as the command line would.

    Errors:
        click.UsageError: there is no such command, or it is not called so.
    """
    command: click.Command = main
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group):
        name, found = words[0], command.commands.get(words[0])
        if found is None:
            raise click.UsageError(f"no command {name}")
        command, words = found, words[1:]
    command.make_context(command.name, words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_as_they_are_written(page: Path) -> None:
    found = commands(page)
    assert found
    for line in found:
        parse(line)


@pytest.mark.parametrize("line", ["yuqing statuses", "yuqing status --sorces", "yuqing dead show"])
def test_a_command_that_does_not_exist_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(line)


def test_every_runbook_says_how_to_look() -> None:
    for section in (DOCS / "runbooks.md").read_text(encoding="utf-8").split("\n## ")[1:]:
        assert "\n```\nyuqing " in section, section.splitlines()[0]


@pytest.mark.parametrize("page", [*PAGES, DOCS / "metrics.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        found = page.parent / target if target else page
        assert found.exists(), target
        if anchor:
            assert anchor in {anchor_of(heading) for heading in re.findall(r"^#+ (.+)$", found.read_text(encoding="utf-8"), flags=re.MULTILINE)}
