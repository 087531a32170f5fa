"""What stands between fences in a page of Markdown: settings, files, and commands as a reader would type them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
KEPT_APART = ("decisions", "experiments")
"""Folders of `docs` that tell what was, with the commands of their day."""
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", *sorted(path for path in DOCS.rglob("*.md") if path.parent.name not in KEPT_APART)]

SHELL = "sh"
_FENCE = re.compile(r'^(?P<indent> *)```(?P<lang>\w*)(?: +title="(?P<title>[^"]+)")?\n(?P<body>.*?)^(?P=indent)```$', re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<-?\s*'?(?P<end>\w+)'?")


class Fence(Struct, frozen=True, kw_only=True):
    """One fenced block."""

    page: str  # its path in the repository
    line: int  # of its first fence
    lang: str  # empty: none is named
    title: str = ""  # the file that its text is
    body: str

    @property
    def place(self) -> str:
        """Where a person finds it."""
        return f"{self.page}:{self.line}"


def fences(text: str, *, page: str = "") -> list[Fence]:
    r"""The fenced blocks of a page, in order.

    >>> [(fence.lang, fence.title, fence.body) for fence in fences('```toml title="a.toml"\nx = 1\n```\n')]
    [('toml', 'a.toml', 'x = 1\n')]
    """
    return [
        Fence(page=page, line=text.count("\n", 0, match.start()) + 1, lang=match["lang"], title=match["title"] or "", body=_outdented(match["body"], len(match["indent"])))
        for match in _FENCE.finditer(text)
    ]


def fences_of(path: Path) -> list[Fence]:
    """The fenced blocks of a file."""
    return fences(path.read_text(encoding="utf-8"), page=str(path.relative_to(ROOT)))


def commands(body: str) -> list[str]:
    r"""The commands of a shell block: lines that a backslash, an open quote or a here-document joins are one.

    >>> commands("a 'b\nc'  # it is so\n\n# why\nd \\\n  e\n")
    ["a 'b\nc'  # it is so", 'd \\\n  e']
    """
    found: list[str] = []
    open_lines: list[str] = []
    for line in body.splitlines():
        if not open_lines and (not line.strip() or line.lstrip().startswith("#")):
            continue
        open_lines.append(line)
        if _complete(open_lines):
            found.append("\n".join(open_lines))
            open_lines = []
    if open_lines:
        raise ValueError("a command that does not end: " + open_lines[0])
    return found


def words(command: str) -> list[str]:
    """The words of a command, its comments and settings in front left out.

    >>> words("YUQING_INTAKE_PORT=8610 make run  # all of it")
    ['make', 'run']
    """
    found = shlex.split(command, comments=True)
    while found and re.fullmatch(r"[A-Z_]+=.*", found[0], re.DOTALL):
        found = found[1:]
    return found


def inline(text: str) -> Iterator[str]:
    """What stands between single backticks in the prose of a page."""
    for match in re.finditer(r"(?<!`)`([^`\n]+)`(?!`)", _FENCE.sub("", text)):
        yield match[1]


def headings(text: str) -> list[str]:
    """The headings of a page."""
    return re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)


def _complete(lines: list[str]) -> bool:
    heredoc = _HEREDOC.search(lines[0])
    if heredoc is not None:
        return len(lines) > 1 and lines[-1].strip() == heredoc["end"]
    if lines[-1].endswith("\\"):
        return False
    try:
        shlex.split("\n".join(lines), comments=True)
    except ValueError:
        return False
    return True


def _outdented(body: str, width: int) -> str:
    return "".join(line[width:] if line.strip() else line for line in body.splitlines(keepends=True))
