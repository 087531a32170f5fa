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
            (folder / name).symlink_to(ROOT / name)
        scripts = folder / ".venv" / "bin"
        scripts.mkdir(parents=True)
        for name, rest in SCRIPTS.items():
            script = scripts / name
            script.write_text(f"#!/bin/sh\nexec {sys.executable} {rest}\n")
            script.chmod(0o755)

    def write(self, name: str, text: str) -> None:
        """Make a file; one that was linked is replaced, the repository's stays as it is."""
        path = self._own(name)
        path.unlink(missing_ok=True)
        path.write_text(text, encoding="utf-8")

    def add(self, name: str, text: str) -> None:
        """Write at the end of a file."""
        self.write(name, (self.folder / name).read_text(encoding="utf-8") + text)

    def _own(self, name: str) -> Path:
        """The path, in folders that are no links."""
        here = self.folder
        for part in Path(name).parts[:-1]:
            here /= part
            there = here.resolve() if here.is_symlink() else None
            if there is not None:
                here.unlink()
            here.mkdir(exist_ok=True)
            for path in there.iterdir() if there is not None else ():
                if path.name != "__pycache__":
                    (here / path.name).symlink_to(path)
        return self.folder / name
