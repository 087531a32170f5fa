"""What is said of a classifier before it is loaded; that loading refuses the same is in test_classifier.py."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from models.classifier_files import CONFIG, look
from opinion.errors import ModelLoadError
from tests.support.classifier import tiny_classifier

LABELS = {"0": "Negative", "1": "中性", "2": "bullish"}


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)


def classifier(folder: Path, config: Any) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").touch()
    (folder / CONFIG).write_text(config if isinstance(config, str) else json.dumps(config))
    return folder


def cached(monkeypatch: pytest.MonkeyPatch, path: str | object | None) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: path)


def test_a_classifier_that_loads_is_well(tmp_path: Path) -> None:
    assert look(str(tiny_classifier(tmp_path / "tiny"))) is True


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ("{", "is no JSON"),
        ("[]", "describes no model"),
        ({}, "'LABEL_0', 'LABEL_1'.*cannot be told"),
        ({"num_labels": 3}, "'LABEL_2'"),
        ({"num_labels": "x"}, "'LABEL_1'"),
        ({"id2label": {**LABELS, "1": "joy"}}, "'joy' cannot be told"),
        ({"id2label": {"first": "negative"}}, "not numbered"),
        ({"id2label": {"0": "negative", "1": "neutral"}}, "none stands for positive"),
        ({"id2label": LABELS, "problem_type": "multi_label_classification"}, "multi_label_classification"),
    ],
)
def test_what_would_not_judge_is_refused(tmp_path: Path, config: Any, says: str) -> None:
    folder = classifier(tmp_path / "model", config)
    with pytest.raises(ModelLoadError, match=says) as caught:
        look(str(folder))
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labels_in_any_order_and_tongue_are_well(tmp_path: Path) -> None:
    assert look(str(classifier(tmp_path / "model", {"id2label": LABELS}))) is True


def test_a_directory_lacks_nothing_that_is_read(tmp_path: Path) -> None:
    folder = classifier(tmp_path / "model", {"id2label": LABELS})
    (folder / CONFIG).unlink()
    with pytest.raises(ModelLoadError, match=r"config\.json: No such file"):
        look(str(folder))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match="holds no model"):
        look(str(folder))


@pytest.mark.parametrize("name", ["/nonexistent/model", "./model", "a/b/c", "", "someone/" + "x" * 200])
def test_what_is_neither_here_nor_of_the_hub_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelLoadError, match="no such directory"):
        look(name)


def test_a_model_of_the_hub_is_looked_at_in_the_cache_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look("someone/a-model-that-nobody-has-cached") is False
    cached(monkeypatch, object())  # the hub said once that there is no such file
    assert look("someone/finbert") is False
    cached(monkeypatch, str(classifier(tmp_path / "well", {"id2label": LABELS}) / CONFIG))
    assert look("someone/finbert@main") is True
    cached(monkeypatch, str(classifier(tmp_path / "ill", {}) / CONFIG))
    with pytest.raises(ModelLoadError, match=r"^someone/finbert: its labels are"):
        look("someone/finbert")
