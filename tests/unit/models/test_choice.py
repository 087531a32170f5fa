from __future__ import annotations

from pathlib import Path

import pytest

from models import choice
from models.choice import chosen, texts_per_s
from opinion.errors import ModelLoadError
from tests.support.model import tiny_directory


@pytest.mark.parametrize(
    ("onnx", "torch", "best"),
    [(100.0, 90.0, "onnx"), (100.0, 110.0, "onnx"), (100.0, 120.0, "torch"), (None, 1.0, "torch"), (1.0, None, "onnx")],
)
def test_torch_is_taken_where_it_is_clearly_faster(tmp_path: Path, onnx: float | None, torch: float | None, best: str) -> None:
    rates = {"onnx": onnx, "torch": torch}
    assert chosen(tmp_path, device="cpu", threads=1, trial=rates.__getitem__) == best


def test_a_machine_is_tried_once(tmp_path: Path) -> None:
    tried: list[str] = []

    def trial(name: str) -> float:
        tried.append(name)
        return 1.0

    for _ in range(2):
        chosen(tmp_path, device="cpu", threads=1, trial=trial)
    assert tried == ["onnx", "torch"]
    chosen(tmp_path, device="cpu", threads=2, trial=trial)
    assert len(tried) == 4


def test_a_damaged_note_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "backend.json").write_text("{")
    assert chosen(tmp_path, device="cpu", threads=1, trial=lambda _: 1.0) == "onnx"
    assert choice._known(tmp_path / "backend.json") is not None


def test_a_gpu_is_for_torch(tmp_path: Path) -> None:
    assert chosen(tmp_path, device="cuda", threads=1, trial=lambda _: 1.0) == "torch"


def test_a_model_that_no_backend_runs_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="neither backend"):
        chosen(tmp_path, device="cpu", threads=1, trial=lambda _: None)


def test_a_backend_that_does_not_run_has_no_rate(tmp_path: Path) -> None:
    assert choice._in_a_process(tmp_path / "nothing here", 1)("onnx") is None


def test_the_rate_of_a_backend_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "TRY_S", 0.01)
    directory = tiny_directory(tmp_path)
    for name in choice.BACKENDS:
        assert texts_per_s(name, directory, threads=1, texts=["a", "b"]) > 0


def test_without_torch_there_is_nothing_to_choose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "find_spec", lambda name: None)
    assert chosen(tmp_path, device="auto", threads=1, trial=lambda _: pytest.fail("nothing is to be tried")) == "onnx"
    assert chosen(tmp_path, device="cuda", threads=1) == "torch"  # which then says what it lacks


def test_a_cache_that_is_read_only_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write to anything but a file system that is mounted so
    assert chosen(tmp_path, device="cpu", threads=1, trial=lambda _: 1.0) == "onnx"
    assert list(tmp_path.iterdir()) == []
