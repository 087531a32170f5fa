from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.cards import CARD, HEADS, WEIGHTS, Score, read_card
from models.shelf import POINTER, Shelf
from tests.support.model import trained_directory
from tests.unit.yuqing.conftest import Command

RESTART = "A running worker keeps its model until it is started again.\n"
SHIPPED = read_card(WEIGHTS)
PRESS = SHIPPED.measured("sentiment")["zh_press, other writers"]


def like_the_shipped(change: float = 0.0, *, name: str = "zh_press, other writers") -> dict[str, dict[str, Score | float]]:
    """The shipped card's scores, one of them changed."""
    found: dict[str, dict[str, Score | float]] = {head: dict(SHIPPED.measured(head)) for head in SHIPPED.scores}
    score = SHIPPED.measured("sentiment")[name]
    found["sentiment"][name] = Score(score.rows, round(score.accuracy + change, 4), score.macro_f1, score.ece, None, score.rows_sha256)
    return found


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """A training's folder below the working directory."""

    def made(seed: int, change: float = 0.0, **scores: Any) -> Path:
        return trained_directory(tmp_path / f"run-{seed}", seed=seed, **({"scores": like_the_shipped(change)} | scores))

    return made


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """That of the default data directory of `command`."""
    return Shelf(tmp_path / "share" / "yuqing")


def listed(command: Command, **environment: str) -> list[dict[str, Any]]:
    result = command("model", "list", "--json", **environment)
    assert (result.exit_code, result.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


def in_use(command: Command, **environment: str) -> list[str]:
    return [one["revision"] for one in listed(command, **environment) if one["in_use"]]


def test_before_any_promotion_the_built_in_model_is_in_use(command: Command, shelf: Shelf) -> None:
    (one,) = listed(command)
    assert (one["revision"], one["place"], one["in_use"], one["problem"]) == (SHIPPED.revision, "built in", True, None)
    assert one["accuracy"]["sentiment"]["rows"] == sum(score.rows for score in SHIPPED.measured("sentiment").values())
    table = command("model", "list").stdout.splitlines()
    assert len(table) == 2
    assert table[1].startswith(f"*  {SHIPPED.revision}  {SHIPPED.name}")
    assert not shelf.folder.exists()


def test_a_training_is_promoted_listed_and_rolled_back(command: Command, run: Callable[..., Path], shelf: Shelf) -> None:
    folder = run(1, change=0.02)
    revision = read_card(folder).revision
    result = command("model", "promote", "run-1")
    assert (result.exit_code, result.stdout) == (0, f"tiny-1@{revision} is in use from now on: {shelf.place(revision)}\n")
    assert result.stderr.endswith(RESTART)
    assert f"ok     sentiment on zh_press, other writers: accuracy {PRESS.accuracy:.4f} -> {PRESS.accuracy + 0.02:.4f} (140 rows)" in result.stderr
    shutil.rmtree(folder)
    assert in_use(command) == [revision]
    assert (row := listed(command)[1])["promoted_at"] is not None
    assert row["trained_at"] == "2026-11-23T09:30:00Z"
    assert f"*  {revision}  tiny-1 " in command("model", "list").stdout
    result = command("model", "rollback")
    assert (result.exit_code, result.stderr) == (0, RESTART)
    assert result.stdout == f"{SHIPPED.name}@{SHIPPED.revision} is in use again, {revision} no more: {WEIGHTS}\n"
    assert in_use(command) == [SHIPPED.revision]
    assert [one["revision"] for one in listed(command)] == [SHIPPED.revision, revision]


def test_a_revision_on_the_shelf_is_promoted_again(command: Command, run: Callable[..., Path]) -> None:
    revision = read_card(run(1)).revision
    for words in (["promote", "run-1"], ["rollback"], ["promote", revision]):
        assert command("model", *words).exit_code == 0
    assert in_use(command) == [revision]


def test_promoting_twice_says_so_and_leaves_one_step_to_go_back(command: Command, run: Callable[..., Path]) -> None:
    run(1)
    assert command("model", "promote", "run-1").exit_code == 0
    result = command("model", "promote", "run-1")
    assert result.exit_code == 0
    assert "was in use already" in result.stdout
    assert command("model", "rollback").exit_code == 0
    result = command("model", "rollback")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "yuqing: nothing to go back to: the built-in model is in use, and none was promoted\n"


def test_a_model_that_is_worse_is_refused_and_can_be_forced(command: Command, run: Callable[..., Path], shelf: Shelf) -> None:
    revision = read_card(run(1, change=-0.0101)).revision
    result = command("model", "promote", "run-1")
    assert (result.exit_code, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("yuqing: not promoted: 1 of ")
    assert f"sentiment on zh_press, other writers: accuracy {PRESS.accuracy:.4f} -> {PRESS.accuracy - 0.0101:.4f} (140 rows); --force" in last
    assert not shelf.folder.exists()
    assert command("model", "promote", "run-1", "--force").exit_code == 0
    assert in_use(command) == [revision]


def test_a_fall_of_a_point_or_on_few_rows_is_let_pass(command: Command, run: Callable[..., Path], tmp_path: Path) -> None:
    run(1, change=-0.01)
    assert command("model", "promote", "run-1").exit_code == 0
    trained_directory(tmp_path / "few", seed=2, scores=like_the_shipped(-0.5, name="entities, other writers"))
    assert command("model", "promote", "few").exit_code == 0


@pytest.mark.parametrize("scores", [{}, {"sentiment": {"of another kind": Score(500, 1.0, 1.0, 0.0, None, "f" * 16), "cosine": 1.0}}])
def test_a_model_that_cannot_be_compared_is_refused_and_can_be_forced(command: Command, run: Callable[..., Path], scores: dict[str, Any]) -> None:
    revision = read_card(run(1, scores=scores)).revision
    result = command("model", "promote", "run-1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("yuqing: not promoted: no score of 100 or more rows is of the same rows")
    assert command("model", "promote", "run-1", "--force").exit_code == 0
    assert in_use(command) == [revision]


def test_the_built_in_model_is_promoted_by_either_name(command: Command, run: Callable[..., Path]) -> None:
    run(1)
    for name in ("default", SHIPPED.revision):
        assert command("model", "promote", "run-1").exit_code == 0
        assert command("model", "promote", name).exit_code == 0
        assert in_use(command) == [SHIPPED.revision]
    assert [one["place"] for one in listed(command)] == ["built in", "shelf"]


def test_a_model_of_the_settings_is_in_use_whatever_is_promoted(command: Command, run: Callable[..., Path]) -> None:
    run(1)
    set_by = {"YUQING_MODEL": str(run(2))}
    result = command("model", "promote", "run-1", **set_by)
    assert result.exit_code == 0
    assert f"The setting `model` names {set_by['YUQING_MODEL']}" in result.stderr
    assert [(one["place"], one["name"]) for one in listed(command, **set_by) if one["in_use"]] == [("setting", "tiny-2")]
    assert "the setting `model` names a directory" in command("model", "list", **set_by).stdout


def test_a_damaged_model_spoils_neither_the_list_nor_a_way_back(command: Command, run: Callable[..., Path], shelf: Shelf) -> None:
    one, two = read_card(run(1)).revision, read_card(run(2)).revision
    for name in ("run-1", "run-2"):
        assert command("model", "promote", name).exit_code == 0
    shutil.rmtree(shelf.place(two))
    (shelf.place(one) / HEADS).write_bytes(b"x")
    assert {row["revision"]: row["problem"] is None for row in listed(command)} == {SHIPPED.revision: True, one: False, two: False}
    assert command("model", "list").stdout.count("CANNOT BE USED") == 2
    result = command("model", "rollback")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "promote default --force" in result.stderr
    assert "--force" in command("model", "promote", "default").stderr
    assert command("model", "promote", "default", "--force").exit_code == 0
    assert in_use(command) == [SHIPPED.revision]
    assert command("model", "promote", "run-1").exit_code == 0  # copied anew
    assert {row["revision"]: row["problem"] is None for row in listed(command)} == {SHIPPED.revision: True, one: True}


def test_show_prints_the_whole_card(command: Command, run: Callable[..., Path]) -> None:
    folder = run(1)
    revision = read_card(folder).revision
    shown = command("model", "show", "run-1").stdout
    for words in (
        f"tiny-1@{revision}",
        "Apache-2.0",
        "75 rows  synthetic: written",
        f"140 rows  accuracy {PRESS.accuracy:.3f}  macro F1 {PRESS.macro_f1:.3f}  calibration error {PRESS.ece:.3f} (-)",
        "en news 1.25",
        "Knows nothing.",
    ):
        assert words in shown
    assert SHIPPED.limits[0] in command("model", "show").stdout
    found = json.loads(command("model", "show", "--json").stdout)
    assert (found["revision"], found["directory"]) == (SHIPPED.revision, str(WEIGHTS))
    assert found["scores"] == json.loads((WEIGHTS / CARD).read_bytes())["scores"]
    assert command("model", "promote", "run-1").exit_code == 0
    assert json.loads(command("model", "show", revision, "--json").stdout)["name"] == "tiny-1"


@pytest.mark.parametrize("words", ["show", "promote"])
@pytest.mark.parametrize("name", ["0" * 12, "nowhere", "./default", "", "~nobody/x"])
def test_an_unknown_model_is_wrong_usage_and_the_known_are_named(command: Command, words: str, name: str) -> None:
    result = command("model", words, name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"yuqing: {name!r} is neither a directory nor a revision; known: default\n"


@pytest.mark.parametrize("words", ["show", "promote"])
@pytest.mark.parametrize(("content", "says"), [(None, "No such file"), (b"{", "no model card"), (b'{"name": "x"}', "no model card"), (b"\xff", "no model card")])
def test_a_folder_without_a_card_is_one_line(command: Command, tmp_path: Path, words: str, content: bytes | None, says: str) -> None:
    (tmp_path / "run").mkdir()
    if content is not None:
        (tmp_path / "run" / CARD).write_bytes(content)
    result = command("model", words, "run")
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert says in line


def test_weights_that_were_changed_are_not_promoted_even_by_force(command: Command, run: Callable[..., Path], shelf: Shelf) -> None:
    (run(1) / HEADS).write_bytes(b"x")
    result = command("model", "promote", "run-1", "--force")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "its card says" in result.stderr
    assert not shelf.folder.exists()


@pytest.mark.parametrize("words", ["list", "list --json", "show 0123456789ab", "promote run-1", "promote run-1 --force", "rollback"])
def test_a_data_directory_that_is_none_is_one_line(command: Command, run: Callable[..., Path], tmp_path: Path, words: str) -> None:
    run(1)
    (tmp_path / "file").touch()
    result = command("model", *words.split(), YUQING_DATA_DIR=str(tmp_path / "file"))
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "Not a directory" in line


def test_check_finds_a_promoted_model_that_was_damaged(command: Command, run: Callable[..., Path], shelf: Shelf) -> None:
    revision = read_card(run(1)).revision
    assert command("model", "promote", "run-1").exit_code == 0
    assert command("check").exit_code == 0
    (shelf.place(revision) / HEADS).write_bytes(b"x")
    result = command("check")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("yuqing: setting `model`: the promoted model")
    (shelf.folder / POINTER).write_text("{")
    assert "remove it" in command("check").stderr
