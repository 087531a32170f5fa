"""A folder that looks like a clone of this repository to whoever works in it: links, and files of its own where a page makes or changes some."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.fences import ROOT

LINKED = ("alerts", "deploy", "docs", "models", "opinion", "scrapers", "streams", "tests", "yuqing", "docker-compose.yml", "pyproject.toml", "yuqing.example.toml")
"""What pages name and tests need; whatever else lies in a developer's clone is not touched."""
SCRIPTS = {"python": '"$@"', "yuqing": '-m yuqing "$@"'}


class Checkout:
    """The folder. `.venv/bin` holds what the pages call by that name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in LINKED:
            _link(ROOT / name, folder / name)
        for name, rest in SCRIPTS.items():
            self.write(f".venv/bin/{name}", f"#!/bin/sh\nexec {sys.executable} {rest}\n")
            (folder / ".venv" / "bin" / name).chmod(0o755)

    def write(self, name: str, text: str) -> None:
        """Make a file; one that was linked is replaced, the repository's stays as it is."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")

    def add(self, name: str, text: str) -> None:
        """Write at the end of a file."""
        self.write(name, (self.folder / name).read_text(encoding="utf-8") + text)


def _link(there: Path, here: Path) -> None:
    """Folders are real ones, so that what a command makes in them stays here; files, and what Python has compiled, are links."""
    if not there.is_dir() or there.name == "__pycache__":
        here.symlink_to(there)
        return
    here.mkdir()
    for path in there.iterdir():
        _link(path, here / path.name)
