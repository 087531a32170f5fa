from __future__ import annotations

import pytest

from tests.unit.yuqing.conftest import Command

GOOD = "feed:18c17418f5ad82f063ef70de0bd2d3e7"


@pytest.mark.parametrize(
    "wrong", ["feed", "feed:18c1", f"{GOOD}0", f"{GOOD}\n", "feed:18C17418F5AD82F063EF70DE0BD2D3E7", "https://news.example/1", ":18c17418f5ad82f063ef70de0bd2d3e7", ""]
)
def test_one_wrong_id_and_nothing_is_erased(command: Command, wrong: str) -> None:
    result = command("erase", GOOD, wrong, YUQING_KAFKA="127.0.0.1:1", YUQING_REDIS="redis://127.0.0.1:1/0")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert "is no id of a document" in line


def test_erasing_nothing_is_wrong_usage(command: Command) -> None:
    assert command("erase").exit_code == 2
