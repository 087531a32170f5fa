"""One training from rows to a model directory. The folder holds the configuration, what the losses were, the weights and their card."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog
import torch

from models.encoder_files import TOKENIZER_FILE
from models.reader import device_of, dtype_of
from models.tokens import Tokens
from models.training.config import TrainConfig
from models.training.examples import Example, examples_of
from models.training.finish import finish
from models.training.rows import Row, all_rows, apart
from models.training.split import Part, half_of, parts_of
from models.training.teacher import taught
from models.training.tune import Progress, Tuning
from opinion.errors import ConfigError

log = structlog.get_logger()

CONFIG, PROGRESS, METRICS = "config.toml", "progress.jsonl", "metrics.json"


def train(config: TrainConfig, out: Path, *, base: Path, device: str = "auto", threads: int = 0, on_progress: Callable[[Progress], None] = lambda _: None) -> dict[str, Any]:
    """Train on `models/datasets` over the encoder in `base`, write the folder `out`, return its card.

    Errors:
        ConfigError: `out` holds something already, or cannot be written.
        ModelLoadError: the device is not there, or the teacher's directory holds no model.
    """
    began = time.perf_counter()
    make_folder(out)
    if threads:
        torch.set_num_threads(threads)
    (out / CONFIG).write_bytes(msgspec.toml.encode(config))
    rows, parts = material()
    examples = examples_for(rows, parts, config, Tokens(base / TOKENIZER_FILE, max_tokens=config.max_tokens))
    where = device_of(device)
    taught_by = ""
    if config.teacher:
        log.info("asking the teacher", directory=config.teacher)
        examples, taught_by = taught(examples, Path(config.teacher), base=base, device=where)
    log.info("training", rows=len(examples), device=where.type, threads=torch.get_num_threads())
    tuning = Tuning(base, examples, config, device=where, dtype=dtype_of(where))
    with (out / PROGRESS).open("wb") as file:

        def heard(progress: Progress) -> None:
            file.write(msgspec.json.encode(progress) + b"\n")
            file.flush()
            on_progress(progress)

        tuned = tuning.run(heard)
    card = finish(
        adapters=tuned.adapters, heads=tuned.heads.stored(), rows=rows, parts=parts, base=base, out=out, name=config.name, max_tokens=config.max_tokens, taught_by=taught_by
    )
    metrics = {"rows": len(examples), "steps": tuned.steps, "training_s": round(tuned.seconds), "whole_s": round(time.perf_counter() - began), "scores": card["scores"]}
    (out / METRICS).write_bytes(msgspec.json.format(msgspec.json.encode(metrics), indent=2) + b"\n")
    return card


def material() -> tuple[list[Row], list[Part]]:
    """All rows and what each is for; of those kept apart one half sets temperatures, the other is measured."""
    rows, kept = all_rows(), list(apart())
    return [*rows, *kept], [*parts_of(rows), *[half_of(row) for row in kept]]


def examples_for(rows: Sequence[Row], parts: Sequence[Part], config: TrainConfig, tokens: Tokens) -> list[Example]:
    """The examples that an epoch is made of."""
    chosen = [row for row, part in zip(rows, parts, strict=True) if part is Part.TRAIN]
    if config.most_rows:
        chosen = chosen[:: max(1, len(chosen) // config.most_rows)][: config.most_rows]
    chosen += [row for row in chosen if row.dataset == "synthetic"] * (config.written_repeat - 1)
    return examples_of(chosen, tokens, weights=weights_of(chosen, power=config.class_power))


def weights_of(rows: Sequence[Row], *, power: float) -> list[float]:
    """What each row counts: (1 / share of its sentiment) to the power, 1 on average; 1 for rows without a sentiment."""
    labels = np.array([-1 if row.sentiment is None else row.sentiment for row in rows])
    counts = np.bincount(labels[labels >= 0], minlength=3)
    if not counts.any():
        return [1.0] * len(rows)
    weights = (counts.sum() / np.maximum(counts, 1)) ** power
    weights /= (weights * counts).sum() / counts.sum()
    return [float(weights[label]) if label >= 0 else 1.0 for label in labels]


def make_folder(out: Path) -> None:
    """Make the folder of a training.

    Errors:
        ConfigError: it holds something already, or cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise ConfigError(f"{out} is not empty: a training writes into a folder of its own")
    except OSError as error:
        raise ConfigError(f"{out}: {error.strerror}") from error
