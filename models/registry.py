"""Which model judges: the shipped one, a promoted one or a directory of the same form, loaded and checked."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from models.backends.base import Backend, BatchStats, OnBatch
from models.cards import ADAPTERS, HEADS
from models.shelf import model_of
from models.tuning import make_ready
from opinion.errors import ModelLoadError
from opinion.metrics import WorkerMetrics
from opinion.settings import Settings

if TYPE_CHECKING:
    from models.judge import Judge
    from models.passes import Passes

log = structlog.get_logger()


def load_backend(settings: Settings, *, on_batch: OnBatch | None = None, on_sentiment: OnBatch | None = None) -> Backend:
    """The backend of the configured model, with the classifiers of `sentiment_models` where some are set: `on_batch` hears of its passes, `on_sentiment` of theirs.

    Errors:
        ModelLoadError: a model is missing or damaged, was made for another encoder, or has labels that are not known.
    """
    base = load_base(settings, on_batch=on_batch)
    if not settings.sentiment_models:
        return base
    need_torch("`sentiment_models`")
    from models.backends.classifier import RoutedBackend, SentimentClassifier  # noqa: PLC0415 - see load_base

    loaded = {
        name: SentimentClassifier(name, device=settings.device, threads=settings.threads, max_tokens=settings.max_tokens, batch_tokens=settings.batch_tokens, on_batch=on_sentiment)
        for name in sorted(set(settings.sentiment_models.values()))
    }
    for language, name in sorted(settings.sentiment_models.items()):
        log.info("sentiment is judged by another model", language=language, model=f"{loaded[name].name}@{loaded[name].revision}")
    return RoutedBackend(base, {language: loaded[name] for language, name in settings.sentiment_models.items()})


def load_base(settings: Settings, *, on_batch: OnBatch | None = None) -> Backend:
    """The backend of `model` alone; unpacks the encoder first where that was not done.

    Errors:
        ModelLoadError: the model is missing, damaged, or made for another encoder.
    """
    make_ready()
    from models import encoder_files  # noqa: PLC0415 - torch takes seconds: only those who judge pay
    from models.adapters import merged_directory  # noqa: PLC0415
    from models.backends.scorer import Scorer  # noqa: PLC0415
    from models.choice import chosen  # noqa: PLC0415
    from models.heads import load_heads  # noqa: PLC0415

    directory, card = model_of(settings)
    base = encoder_files.prepare_model(settings.models_dir)
    merged = merged_directory(base, directory / ADAPTERS, sha256=card.adapters_sha256, models_dir=_place_for_more(settings))
    name = settings.backend if settings.backend != "auto" else chosen(merged, device=settings.device, threads=settings.threads)
    reader = reader_of(name, merged, device=settings.device, threads=settings.threads, max_tokens=settings.max_tokens, batch_tokens=settings.batch_tokens)
    heads = load_heads(directory / HEADS, sha256=card.heads_sha256, hidden=reader.hidden)
    return Scorer(reader, heads, name=name, model=card.name, revision=card.revision, on_batch=on_batch)


def _place_for_more(settings: Settings) -> Path:
    """Where a model is merged that is not in the cache: beside it, or, where the cache came with an image and is read-only, in the data directory."""
    return settings.models_dir if os.access(settings.models_dir, os.W_OK) else settings.data_dir / "models"


def need_torch(what: str) -> None:
    """Return where torch is installed; the image `cpu` is without.

    Errors:
        ModelLoadError: it is not.
    """
    if find_spec("torch") is None:
        raise ModelLoadError(f"{what} needs torch, which is not installed here; the image `cuda` has it, and runs without a GPU as well")


def reader_of(name: str, directory: Path, *, device: str, threads: int, max_tokens: int = 256, batch_tokens: int = 1024) -> Passes:
    """The encoder in `directory` on the backend `torch`, `onnx` or `onnx-int8`.

    Errors:
        ModelLoadError: it cannot be loaded.
    """
    make_ready()
    if name.startswith("onnx"):
        if device == "cuda":
            raise ModelLoadError(f"the backend `{name}` runs on the processor; for a GPU set `backend` to `torch`")
        from models.export import FLOAT32, INT8  # noqa: PLC0415 - see load_base
        from models.onnx_reader import OnnxReader  # noqa: PLC0415

        return OnnxReader(directory, precision=INT8 if name == "onnx-int8" else FLOAT32, threads=threads, max_tokens=max_tokens, batch_tokens=batch_tokens)
    need_torch("the backend `torch`")
    from models.reader import Reader  # noqa: PLC0415

    return Reader(directory, device=device, threads=threads, max_tokens=max_tokens, batch_tokens=batch_tokens)


def load_judge(settings: Settings, *, metrics: WorkerMetrics | None = None) -> Judge:
    """A judge with the configured model and the shipped table of companies and those of `names_files`; it counts into `metrics`.

    Errors:
        ModelLoadError: the model cannot be loaded.
        ConfigError: a file of names is missing or not of the right form.
    """
    from models.entities import Linker  # noqa: PLC0415 - see load_base
    from models.judge import Judge  # noqa: PLC0415

    backend = load_backend(settings, on_batch=_counting(metrics) if metrics else None, on_sentiment=_timing(metrics) if metrics else None)
    if metrics is not None:
        metrics.model_info.labels(backend.model, backend.revision, backend.name, backend.device).set(1)
    return Judge(backend, Linker.load(extra=settings.names_files), entity_seconds=metrics.inference_duration.labels("entities").observe if metrics else None)


def _counting(metrics: WorkerMetrics) -> OnBatch:
    def count(stats: BatchStats) -> None:
        metrics.batch_documents.observe(stats.documents)
        metrics.batch_tokens.observe(stats.tokens)
        metrics.inference_duration.labels("tokenise").observe(stats.tokenise_s)
        metrics.inference_duration.labels("forward").observe(stats.forward_s)

    return count


def _timing(metrics: WorkerMetrics) -> OnBatch:
    """For passes over texts that were counted already: only their time is news."""

    def observe(stats: BatchStats) -> None:
        metrics.inference_duration.labels("sentiment").observe(stats.tokenise_s + stats.forward_s)

    return observe
