from __future__ import annotations

from pathlib import Path

import pytest

from models import registry
from models.registry import load_backend, need_torch, reader_of
from opinion.errors import ModelLoadError
from opinion.settings import Settings
from tests.support.model import tiny_directory


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "find_spec", lambda name: None)


@pytest.mark.usefixtures("without_torch")
def test_what_needs_torch_says_so_where_it_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"the backend `torch` needs torch, .* the image `cuda` has it"):
        reader_of("torch", tiny_directory(tmp_path), device="cpu", threads=1)


@pytest.mark.usefixtures("without_torch")
def test_classifiers_say_so_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load_base", lambda settings, on_batch: None)
    with pytest.raises(ModelLoadError, match="`sentiment_models` needs torch"):
        load_backend(Settings(sentiment_models={"zh": "somewhere"}))


@pytest.mark.usefixtures("without_torch")
def test_the_other_backend_does_without(tmp_path: Path) -> None:
    assert reader_of("onnx", tiny_directory(tmp_path), device="cpu", threads=1, max_tokens=64).device == "cpu"


def test_with_torch_nothing_is_said() -> None:
    need_torch("anything")


def test_what_a_read_only_cache_lacks_goes_into_the_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(model_dir=tmp_path / "cache", data_dir=tmp_path / "data")
    settings.models_dir.mkdir()
    assert registry._place_for_more(settings) == tmp_path / "cache"
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may write to anything but a file system that is mounted so
    assert registry._place_for_more(settings) == tmp_path / "data" / "models"
