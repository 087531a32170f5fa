"""Loading and running classifiers; what a routed backend promises is in tests/contract/test_backends.py."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from prometheus_client import CollectorRegistry
from safetensors.torch import load_file, save_file

from models.backends.base import BatchStats, ModelInput, OnBatch, Scores
from models.backends.classifier import RoutedBackend, SentimentClassifier
from models.backends.scorer import Scorer
from opinion.errors import InferenceError, ModelLoadError
from opinion.metrics import WorkerMetrics
from opinion.settings import Settings
from tests.support.classifier import tiny_classifier
from tests.support.model import random_heads, tiny_reader
from tests.support.records import document

WEIGHTS = "model.safetensors"


class Base:
    """A backend that finds everything neutral."""

    name, device, model, revision = "fake", "cpu", "base", "r"

    def score(self, inputs: Sequence[ModelInput]) -> Scores:
        count = len(inputs)
        return Scores(np.full((count, 3), [0, 1, 0], np.float32), np.full((count, 20), 0.05, np.float32), np.ones((count, 4), np.float32), [np.ones((2, 3), np.float32)] * count)

    def spans(self, text: str) -> list[tuple[int, int]]:
        return [(0, len(text))]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_classifier(tmp_path_factory.mktemp("classifier") / "tiny-bert")


@pytest.fixture
def directory(saved: Path, tmp_path: Path) -> Path:
    """One to damage."""
    return Path(shutil.copytree(saved, tmp_path / "tiny-bert"))


def classifier(directory: Path | str, **options: object) -> SentimentClassifier:
    return SentimentClassifier(str(directory), device="cpu", **options)  # type: ignore[arg-type]


def rewrite_config(directory: Path, change: Callable[[dict[str, object]], object]) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def texts(*given: str, lang: str = "en") -> list[ModelInput]:
    return [ModelInput("", text, lang=lang) for text in given]


def test_probabilities_are_those_of_the_model_by_the_names_of_its_labels(saved: Path, directory: Path) -> None:
    rewrite_config(directory, lambda config: config.update(id2label={"0": "Positive", "1": "负面", "2": "NEU"}, label2id={"Positive": 0, "负面": 1, "NEU": 2}))
    given = texts("shares rise", "公司亏损")
    assert np.allclose(classifier(directory).sentiment(given), classifier(saved).sentiment(given)[:, [1, 2, 0]], atol=1e-6)


def test_a_model_without_neutral_gives_it_no_probability(tmp_path: Path) -> None:
    found = classifier(tiny_classifier(tmp_path / "two", labels=["NEGATIVE", "POSITIVE"])).sentiment(texts("shares rise", "x"))
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    assert (found[:, 1] == 0).all()


def test_labels_of_one_sentiment_are_added(tmp_path: Path) -> None:
    found = classifier(tiny_classifier(tmp_path / "five", labels=["Very Negative", "Negative", "Neutral", "Positive", "Very Positive"])).sentiment(texts("shares rise"))
    assert found.shape == (1, 3)
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_a_batch_answers_as_each_text_alone_and_every_pass_is_reported(saved: Path) -> None:
    seen: list[BatchStats] = []
    found = classifier(saved, batch_tokens=128, on_batch=seen.append)
    given = texts(*("shares rise " * (number % 12) + str(number) for number in range(40)), "", "\x00", "涨" * 4000)
    together = found.sentiment(given)
    assert sum(stats.documents for stats in seen) == len(given)
    assert max(stats.tokens for stats in seen) <= 128
    for index, item in enumerate(given):
        assert np.allclose(together[index], found.sentiment([item])[0], atol=0.02)  # bfloat16 sums in another order
    assert found.sentiment([]).shape == (0, 3)


def test_a_text_is_read_no_further_than_asked(saved: Path) -> None:
    found = classifier(saved, max_tokens=16)
    longer, whole = found.sentiment(texts("a " * 14 + "x y z", "a " * 14))
    assert np.allclose(longer, whole, atol=0.02)


def test_a_directory_is_never_looked_up_on_the_network(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    for name in ("getaddrinfo", "create_connection"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert classifier(saved).name == "tiny-bert"


def test_the_revision_is_that_of_the_weights(saved: Path, directory: Path) -> None:
    assert classifier(directory).revision == classifier(saved).revision
    change_weights(directory, lambda weights: weights["classifier.bias"].fill_(0.5))
    assert classifier(directory).revision != classifier(saved).revision


def change_weights(directory: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(directory / WEIGHTS)
    change(weights)
    save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})


def break_nan(directory: Path) -> None:
    change_weights(directory, lambda weights: weights["classifier.weight"][0].fill_(torch.nan))


def break_headless(directory: Path) -> None:
    change_weights(directory, lambda weights: weights.pop("classifier.weight"))


def break_shape(directory: Path) -> None:
    change_weights(directory, lambda weights: weights.update({"classifier.weight": torch.zeros(2, 16)}))


def break_truncated(directory: Path) -> None:
    data = (directory / WEIGHTS).read_bytes()
    (directory / WEIGHTS).write_bytes(data[: len(data) // 2])


def break_missing(directory: Path) -> None:
    (directory / WEIGHTS).unlink()


def break_pickle(directory: Path) -> None:
    weights = load_file(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    torch.save(weights, directory / "pytorch_model.bin")


def break_config(directory: Path) -> None:
    (directory / "config.json").write_text("{")


def break_no_config(directory: Path) -> None:
    (directory / "config.json").unlink()


def break_tokenizer(directory: Path) -> None:
    (directory / "tokenizer.json").write_text("{}")


def break_no_tokenizer(directory: Path) -> None:
    for path in directory.glob("tokenizer*"):
        path.unlink()


def break_labels(directory: Path) -> None:
    rewrite_config(directory, lambda config: (config.pop("id2label"), config.pop("label2id"), config.update(num_labels=3)))


def break_label(directory: Path) -> None:
    rewrite_config(directory, lambda config: config.update(id2label={"0": "joy", "1": "negative", "2": "positive"}, label2id={"joy": 0, "negative": 1, "positive": 2}))


def break_problem(directory: Path) -> None:
    rewrite_config(directory, lambda config: config.update(problem_type="multi_label_classification"))


def break_padding(directory: Path) -> None:
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != "pad_token"}))


def break_remote_code(directory: Path) -> None:
    rewrite_config(directory, lambda config: config.update(model_type="ours", auto_map={"AutoConfig": "ours.Config"}))
    (directory / "ours.py").write_text("raise SystemExit('code of the model was run')\n")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_nan, "values that are no numbers"),
        (break_headless, "lacks 1 of the model's weights .classifier.weight, ..."),
        (break_shape, "can be loaded"),
        (break_truncated, "can be loaded"),
        (break_missing, "holds no model"),
        (break_pickle, "holds no model"),
        (break_config, "can be loaded"),
        (break_no_config, "can be loaded"),
        (break_tokenizer, "can be loaded"),
        (break_no_tokenizer, "tokenizer"),
        (break_labels, "'LABEL_0', 'LABEL_1', 'LABEL_2' cannot be told"),
        (break_label, "'joy' cannot be told"),
        (break_problem, "multi_label_classification"),
        (break_padding, "no token for padding"),
        (break_remote_code, "can be loaded"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_cannot_judge_is_refused_when_it_is_loaded(directory: Path, damage: Callable[[Path], None], says: str) -> None:
    damage(directory)
    with pytest.raises(ModelLoadError, match=says) as caught:
        classifier(directory)
    assert str(directory) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["/nonexistent/model", "./model", "a/b/c", "", "../x"])
def test_a_missing_directory_is_refused_without_a_look_at_the_hub(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelLoadError, match=r"no such directory$"):
        classifier(name)


def test_a_file_is_no_directory(saved: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"no such directory$"):
        classifier(saved / WEIGHTS)


def test_a_name_of_the_hub_is_fetched_from_there(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, object]] = []

    def fetch(name: str, *, revision: str | None, **_: object) -> str:
        asked.append((name, revision))
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    assert [classifier(name).name for name in ("someone/finbert", "someone/finbert@main")] == ["finbert", "finbert"]
    assert asked == [("someone/finbert", None), ("someone/finbert", "main")]


def test_a_hub_that_does_not_answer_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object, **__: object) -> str:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    with pytest.raises(ModelLoadError, match=r"^someone/finbert: no such directory, and the hub does not give it: no route$"):
        classifier("someone/finbert")


def test_a_failing_pass_is_an_inference_error(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = classifier(saved)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error.\nMore of it")

    monkeypatch.setattr(found._model, "forward", fail)
    with pytest.raises(InferenceError, match=r"^the forward pass of 1 texts through tiny-bert failed: CUDA error\.$"):
        found.sentiment(texts("x"))


def test_a_batch_that_does_not_fit_the_memory_is_halved(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = classifier(saved)
    given = texts(*(f"text {number}" for number in range(9)))
    expected, whole = found.sentiment(given), found._model.forward

    def forward(input_ids: torch.Tensor, **rest: object) -> object:
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return whole(input_ids=input_ids, **rest)

    monkeypatch.setattr(found._model, "forward", forward)
    assert np.allclose(found.sentiment(given), expected, atol=0.02)


def test_texts_of_a_set_language_are_judged_by_its_classifier(saved: Path) -> None:
    chinese = classifier(saved)
    given = [*texts("a", lang="en"), *texts("b", lang="zh-Hans"), *texts("c", lang="ZH-Hant"), *texts("d", lang="und")]
    routed, base = RoutedBackend(Base(), {"zh": chinese}).score(given), Base().score(given)
    assert (routed.sentiment[[0, 3]] == [0, 1, 0]).all()
    assert np.allclose(routed.sentiment[1:3], chinese.sentiment(given[1:3]))
    assert np.array_equal(routed.topics, base.topics)
    assert np.array_equal(routed.embedding, base.embedding)
    assert np.array_equal(np.stack(routed.entities), np.stack(base.entities))


def test_the_star_is_for_languages_that_are_not_set_by_themselves(saved: Path, tmp_path: Path) -> None:
    chinese, others = classifier(saved), classifier(tiny_classifier(tmp_path / "other", labels=["neg", "pos"], seed=6))
    given = [*texts("a", lang="en"), *texts("a", lang="zh-Hans"), *texts("a", lang="und")]
    found = RoutedBackend(Base(), {"*": others, "zh": chinese}).score(given).sentiment
    assert np.allclose(found[[0, 2]], others.sentiment(given)[[0, 2]])
    assert np.allclose(found[1], chinese.sentiment(given)[1])


def test_the_name_and_revision_say_all_that_take_part(saved: Path, tmp_path: Path) -> None:
    one, two = classifier(saved), classifier(tiny_classifier(tmp_path / "other", seed=6))
    routed = RoutedBackend(Base(), {"zh": two, "en": one, "*": one})
    assert routed.model == "base+tiny-bert+other"
    assert routed.revision == f"r+any-{one.revision}+en-{one.revision}+zh-{two.revision}"
    assert RoutedBackend(Base(), {"en": one}).revision != RoutedBackend(Base(), {"*": one}).revision


def test_a_text_counts_in_one_pass_whoever_else_reads_it(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The main encoder's passes are counted; a classifier's over the same texts add their time alone."""
    from models import registry  # noqa: PLC0415

    def tiny(_: Settings, *, on_batch: OnBatch | None) -> Scorer:
        reader = tiny_reader(tmp_path)
        return Scorer(reader, random_heads(reader.hidden), name="torch", model="tiny", revision="r", on_batch=on_batch)

    monkeypatch.setattr(registry, "load_base", tiny)
    counted = CollectorRegistry()
    judge = registry.load_judge(Settings(device="cpu", sentiment_models={"*": str(saved)}), metrics=WorkerMetrics(counted))
    judge.judge([document(title=f"shares rise {number}", text="") for number in range(20)])
    assert counted.get_sample_value("yuqing_inference_batch_documents_sum") == 20
    passes = counted.get_sample_value("yuqing_inference_batch_documents_count")
    assert passes == counted.get_sample_value("yuqing_inference_batch_tokens_count")
    for step in ("tokenise", "forward"):
        assert counted.get_sample_value("yuqing_inference_duration_seconds_count", {"step": step}) == passes
    assert (counted.get_sample_value("yuqing_inference_duration_seconds_sum", {"step": "sentiment"}) or 0) > 0


def test_the_setting_loads_each_model_once(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models import registry  # noqa: PLC0415

    monkeypatch.setattr(registry, "load_base", lambda settings, **_: Base())
    assert registry.load_backend(Settings()).model == "base"
    routed = registry.load_backend(Settings(device="cpu", sentiment_models={"zh": str(saved), "en": str(saved)}))
    assert isinstance(routed, RoutedBackend)
    assert routed._by_language["zh"] is routed._by_language["en"]
    assert routed.model == "base+tiny-bert"
