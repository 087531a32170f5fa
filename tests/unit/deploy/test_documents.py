from __future__ import annotations

from pathlib import Path

RUNBOOKS = Path(__file__).parents[3] / "docs" / "runbooks.md"


def test_every_runbook_says_how_to_look() -> None:
    for section in RUNBOOKS.read_text(encoding="utf-8").split("\n## ")[1:]:
        assert "\n```sh\nyuqing " in section, section.splitlines()[0]
