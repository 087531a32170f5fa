"""What can be said of the documentation without running it: every command is known, every example is of its form, both languages say the same."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from alerts.detect.rulebook import load_rules
from opinion.settings import load_settings
from scrapers.source import fitted
from tests.support.documented import LOOKED_AT, missing, options_exist, planned, rule_of
from tests.support.fences import PAGES, ROOT, SHELL, Fence, commands, fences, fences_of, headings, inline, words
from tests.unit.deploy.test_rules import anchor_of

TRANSLATED = [(ROOT / "README.md", ROOT / "README.zh-CN.md"), (ROOT / "docs" / "quickstart.md", ROOT / "docs" / "quickstart.zh-CN.md")]
ALL = [fence for page in PAGES for fence in fences_of(page)]
TYPED = [(fence.place, command) for fence in ALL if fence.lang == SHELL for command in commands(fence.body)]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def toml(text: str, folder: Path) -> None:
    (folder / "yuqing.toml").write_text(text)
    for feed in load_settings({"YUQING_CONFIG": str(folder / "yuqing.toml")}).sources:
        if feed.source != "default":
            fitted(feed)
    tomllib.loads(text)


def rules(text: str, folder: Path) -> None:
    (folder / "rules.yaml").write_text(text)
    load_rules(folder / "rules.yaml")


def values(text: str, _: Path) -> None:
    """JSON, or a value on each line."""
    try:
        json.loads(text)
    except json.JSONDecodeError:
        assert [json.loads(line) for line in text.splitlines()]


def nothing(_text: str, _folder: Path) -> None:
    """Of another language than we can read here; verified by the pages' test, or shown as it came."""


FORMS: dict[str, Callable[[str, Path], object]] = {
    "toml": toml,
    "yaml": rules,
    "json": values,
    "python": lambda text, _: ast.parse(text),
    SHELL: nothing,
    "bash": nothing,  # what a reader puts into a shell of his own
    "text": nothing,
    "html": nothing,
    "javascript": nothing,
    "go": nothing,
}


@each_page
def test_every_block_names_its_language(page: Path) -> None:
    assert [(fence.place, fence.lang) for fence in fences_of(page) if fence.lang not in FORMS] == []


@pytest.mark.parametrize("fence", [fence for fence in ALL if FORMS.get(fence.lang, nothing) is not nothing], ids=lambda fence: fence.place)
def test_an_example_is_of_its_form(fence: Fence, tmp_path: Path) -> None:
    FORMS[fence.lang](fence.body, tmp_path)


def test_there_are_commands_to_try() -> None:
    assert len(TYPED) > 100


@pytest.mark.parametrize(("place", "command"), TYPED, ids=[f"{place} {command.splitlines()[0][:40]}" for place, command in TYPED])
def test_somebody_has_said_how_a_command_is_tried(place: str, command: str) -> None:
    planned(command)


@each_page
def test_commands_in_the_prose_exist(page: Path) -> None:
    assert missing(inline(page.read_text(encoding="utf-8"))) == []


def test_every_rule_for_what_is_only_looked_at_is_needed_and_says_why() -> None:
    used = {rule_of(command) for _, command in TYPED}
    assert [rule.begins for rule in LOOKED_AT if rule not in used] == []
    assert all(rule.why for rule in LOOKED_AT)


@pytest.mark.parametrize("line", ["yuqing statuses", "yuqing status --sorces", "yuqing dead show"])
def test_a_command_of_ours_that_does_not_exist_would_be_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        options_exist(line)


@pytest.mark.parametrize("line", ["rm -rf /", "make nothing", "docker compose -f docker/none.yml up", ".venv/bin/yuqing train"])
def test_what_nobody_knows_or_is_not_there_would_be_found(line: str) -> None:
    with pytest.raises((AssertionError, click.UsageError)):
        planned(line)


@pytest.mark.parametrize("name", ["make nothing", "yuqing statuses", "yuqing dead list --sorces"])
def test_prose_that_names_what_is_not_there_would_be_found(name: str) -> None:
    assert missing([name]) == [name]


def test_settings_in_front_of_what_is_only_looked_at_are_checked() -> None:
    assert planned("YUQING_INTAKE_PORT=8610 make run") == "YUQING_INTAKE_PORT=8610 yuqing check"
    assert planned("YUQING_RULES=rules.yaml") == "YUQING_RULES=rules.yaml yuqing check"
    assert planned("make run") is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("a\nb\n", ["a", "b"]),
        ("a \\\n  b\n", ["a \\\n  b"]),
        ("a -d '{\n}'\nb\n", ["a -d '{\n}'", "b"]),
        ("cat > x <<'END'\nit's\nEND\nb\n", ["cat > x <<'END'\nit's\nEND", "b"]),
        ("# only said\n\na  # what it's for\n", ["a  # what it's for"]),
    ],
)
def test_a_block_falls_into_commands(body: str, found: list[str]) -> None:
    assert commands(body) == found


def test_a_command_that_does_not_end_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not end"):
        commands("a 'b\n")


def test_blocks_within_lists_are_found_too() -> None:
    (fence,) = fences("- so:\n\n  ```sh\n  make run\n  ```\n")
    assert (fence.line, fence.body) == (3, "make run\n")


@pytest.mark.parametrize(("ours", "theirs"), TRANSLATED, ids=["README", "quickstart"])
def test_both_languages_give_the_same_commands_and_files(ours: Path, theirs: Path) -> None:
    def told(page: Path) -> list[tuple[str, str, list[str]]]:
        return [(fence.lang, fence.title, [" ".join(words(one)) for one in commands(fence.body)] if fence.lang == SHELL else []) for fence in fences_of(page)]

    assert told(ours) == told(theirs)
    titled = [[(fence.title, _without_comments(fence.body)) for fence in fences_of(page) if fence.title] for page in (ours, theirs)]
    assert titled[0] == titled[1]


@pytest.mark.parametrize(("ours", "theirs"), TRANSLATED, ids=["README", "quickstart"])
def test_both_languages_have_the_same_sections_and_lead_to_each_other(ours: Path, theirs: Path) -> None:
    english, chinese = (page.read_text(encoding="utf-8") for page in (ours, theirs))
    levels = [re.findall(r"^(#+) ", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE) for text in (english, chinese)]
    assert levels[0] == levels[1]
    assert f"]({theirs.name})" in "\n".join(english.splitlines()[:5])
    assert f"]({ours.name})" in "\n".join(chinese.splitlines()[:6])


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)]*)\)", page.read_text(encoding="utf-8")):
        found = page.parent / target if target else page
        assert found.exists(), target
        if anchor:
            assert anchor in {anchor_of(heading) for heading in headings(found.read_text(encoding="utf-8"))}, f"{target}#{anchor}"


def _without_comments(text: str) -> str:
    """The text without what is said in it to people, which is in their language."""
    return re.sub(r'\s*#.*$|^""".*"""$', "", text, flags=re.MULTILINE)
