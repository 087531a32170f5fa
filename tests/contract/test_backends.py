"""What every backend promises. A new one is added to BACKENDS and must pass unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch

from models.backends.base import Backend, BatchStats, Floats, ModelInput, OnBatch
from models.backends.classifier import RoutedBackend, SentimentClassifier
from models.backends.scorer import Scorer
from models.export import FLOAT32, INT8
from models.features import MEAN_LAYERS
from models.heads import Heads
from models.onnx_reader import OnnxReader
from models.passes import Passes
from models.reader import Reader, device_of
from opinion.errors import InferenceError, ModelLoadError
from opinion.records import DocumentKind
from tests.support.classifier import tiny_classifier
from tests.support.model import random_heads, tiny_directory, tiny_reader

Build = Callable[[Passes, Heads, OnBatch | None], Backend]
Fault = Callable[[int], None]
"""What a pass over so many texts does instead of, or before, running."""


def _ours(reader: Passes, heads: Heads, on_batch: OnBatch | None) -> Backend:
    return Scorer(reader, heads, name="tiny", model="tiny", revision="r1", on_batch=on_batch)


@cache
def _classifier() -> SentimentClassifier:
    with TemporaryDirectory() as folder:
        return SentimentClassifier(str(tiny_classifier(Path(folder) / "tiny-bert")), device="cpu", threads=1, max_tokens=64)


def _routed(reader: Passes, heads: Heads, on_batch: OnBatch | None) -> Backend:
    return RoutedBackend(_ours(reader, heads, on_batch), {"zh": _classifier()})


def _onnx(into: Path, precision: str) -> Passes:
    return OnnxReader(tiny_directory(into), precision=precision, threads=1, max_tokens=64, batch_tokens=512)


READERS: dict[str, Callable[[Path], Passes]] = {"torch": tiny_reader, "onnx float32": lambda into: _onnx(into, FLOAT32), "onnx int8": lambda into: _onnx(into, INT8)}
BACKENDS: dict[str, tuple[str, Build]] = {**{name: (name, _ours) for name in READERS}, "routed": ("torch", _routed)}

ODD = ["", " ", "\n\t\u200b", "a", "涨", "🚀" * 50, "x" * 100_000, "\x00\x01", "a\ud800b", "</s><s>", "é" * 500, "\u202e right to left", "公司亏损，股跌停。" * 300]


@pytest.fixture(scope="module", params=BACKENDS)
def backend_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def reader(backend_name: str, tmp_path_factory: pytest.TempPathFactory) -> Passes:
    return READERS[BACKENDS[backend_name][0]](tmp_path_factory.mktemp("model"))


@pytest.fixture
def build(backend_name: str, reader: Passes) -> Callable[..., Backend]:
    def built(on_batch: OnBatch | None = None) -> Backend:
        return BACKENDS[backend_name][1](reader, random_heads(reader.hidden), on_batch)

    return built


@pytest.fixture
def spoil(reader: Passes, monkeypatch: pytest.MonkeyPatch) -> Callable[[Fault | None], None]:
    """Have every pass meet a fault first, or answer with numbers that are none."""

    def in_torch(fault: Fault | None) -> None:
        assert isinstance(reader, Reader)
        whole = reader._encoder.layers

        def layers(ids: torch.Tensor, real: torch.Tensor, kinds: torch.Tensor) -> Iterator[torch.Tensor]:
            if fault is None:
                return iter([torch.full((*ids.shape, reader.hidden), torch.nan)] * 12)
            fault(len(ids))
            return whole(ids, real, kinds)

        monkeypatch.setattr(reader._encoder, "layers", layers)

    def in_onnx(fault: Fault | None) -> None:
        assert isinstance(reader, OnnxReader)
        whole = reader._session

        class Session:
            def run(self, names: None, given: dict[str, Floats]) -> list[Floats]:
                if fault is None:
                    return [np.full_like(given["embedded"], np.nan)] * len(MEAN_LAYERS)
                fault(len(given["embedded"]))
                answer: list[Floats] = whole.run(names, given)
                return answer

        monkeypatch.setattr(reader, "_session", Session())

    return in_torch if isinstance(reader, Reader) else in_onnx


def no_room(reader: Passes) -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory.") if isinstance(reader, Reader) else MemoryError()


def inputs(texts: list[str]) -> list[ModelInput]:
    return [ModelInput("", text, DocumentKind.SOCIAL if number % 2 else DocumentKind.NEWS, "zh-Hans" if number % 3 else "en") for number, text in enumerate(texts)]


def test_every_text_however_odd_has_a_valid_answer(build: Callable[..., Backend]) -> None:
    scores = build().score(inputs(ODD))
    assert (scores.sentiment.shape, scores.topics.shape, len(scores.embedding)) == ((len(ODD), 3), (len(ODD), 20), len(ODD))
    for part in (scores.sentiment, scores.topics):
        assert np.all(part >= 0)
        assert np.allclose(part.sum(1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(scores.embedding, axis=1), 1, atol=1e-3)


def test_a_batch_answers_as_each_text_alone_and_in_order(build: Callable[..., Backend]) -> None:
    backend = build()
    given = inputs([*ODD, *("shares rise " * (number % 20) + str(number) for number in range(60))])
    together = backend.score(given)
    for index, item in enumerate(given):
        alone = backend.score([item])
        assert np.allclose(together.sentiment[index], alone.sentiment[0], atol=0.02)  # bfloat16 sums in another order
        assert np.allclose(together.topics[index], alone.topics[0], atol=0.02)
        assert together.embedding[index] @ alone.embedding[0] > 0.999


def test_title_and_text_are_read_together(build: Callable[..., Backend]) -> None:
    scores = build().score([ModelInput("profit", "falls"), ModelInput("", "profit\nfalls"), ModelInput("profit", "")])
    assert np.allclose(scores.embedding[0], scores.embedding[1], atol=1e-2)
    assert not np.allclose(scores.embedding[0], scores.embedding[2], atol=1e-2)


def test_nothing_in_nothing_out(build: Callable[..., Backend]) -> None:
    scores = build().score([])
    assert [len(part) for part in scores] == [0, 0, 0, 0]


def test_every_pass_is_reported_and_within_the_token_budget(build: Callable[..., Backend]) -> None:
    seen: list[BatchStats] = []
    build(seen.append).score(inputs(["word " * (number % 30) for number in range(100)]))
    assert sum(stats.documents for stats in seen) == 100
    assert max(stats.tokens for stats in seen) <= 512
    assert all(stats.forward_s > 0 and stats.tokenise_s >= 0 for stats in seen)


def test_spans_lie_in_the_text_in_order(build: Callable[..., Backend]) -> None:
    for text in ODD:
        spans = build().spans(text)
        assert all(0 <= start < end <= len(text) for start, end in spans)
        assert spans == sorted(spans)


def test_a_failing_pass_is_an_inference_error(build: Callable[..., Backend], spoil: Callable[[Fault | None], None]) -> None:
    def fault(_: int) -> None:
        raise RuntimeError("no such kernel.\nTried two")

    spoil(fault)
    with pytest.raises(InferenceError, match=r"^the forward pass of 1 texts failed: no such kernel\.$"):
        build().score([ModelInput("", "x")])


def test_numbers_that_are_not_finite_are_an_inference_error(build: Callable[..., Backend], spoil: Callable[[Fault | None], None]) -> None:
    spoil(None)
    with pytest.raises(InferenceError, match="no finite numbers"):
        build().score([ModelInput("", "x")])


def test_each_name_is_judged_by_itself_and_one_cut_off_is_not(build: Callable[..., Backend]) -> None:
    text = "acme wins the order that zeta lost. " + "more of it " * 200 + "omega"
    given = [ModelInput("", "nothing named"), ModelInput("", text, names=((0, 4), (25, 29), (len(text) - 5, len(text)))), ModelInput("acme", "beats zeta", names=((11, 15),))]
    scores = build().score(given)
    assert [one.shape for one in scores.entities] == [(0, 3), (3, 3), (1, 3)]
    first, second, cut = scores.entities[1]
    assert first.sum() == pytest.approx(1, abs=1e-5)
    assert not np.allclose(first, second)
    assert np.isnan(cut).all()
    alone = build().score(given[1:2])
    assert np.allclose(alone.entities[0][:2], scores.entities[1][:2], atol=0.02)


def test_the_kind_of_a_document_is_an_input(tmp_path: Path, build: Callable[..., Backend]) -> None:
    news, social = build().score([ModelInput("", "shares fall", kind) for kind in (DocumentKind.NEWS, DocumentKind.SOCIAL)]).sentiment
    assert not np.allclose(news, social, atol=1e-4)


def test_a_batch_that_does_not_fit_the_memory_is_halved(build: Callable[..., Backend], reader: Passes, spoil: Callable[[Fault | None], None]) -> None:
    tried: list[int] = []

    def fault(rows: int) -> None:
        tried.append(rows)
        if rows > 3:
            raise no_room(reader)

    given = inputs([f"text {number}" for number in range(10)])
    expected = build().score(given)
    spoil(fault)
    assert np.allclose(build().score(given).sentiment, expected.sentiment, atol=0.05)
    assert max(tried) > 3


def test_one_text_that_does_not_fit_the_memory_is_an_inference_error(build: Callable[..., Backend], reader: Passes, spoil: Callable[[Fault | None], None]) -> None:
    def fault(_: int) -> None:
        raise no_room(reader)

    spoil(fault)
    with pytest.raises(InferenceError, match=r"one text of .* tokens does not fit"):
        build().score(inputs(["a", "b"]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no GPU"):
        device_of("cuda")
