"""Texts to what the heads read of them: tokens, batches, one pass of the encoder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from msgspec import Struct

from models.backends.base import BatchStats, ModelInput
from models.batching import plan
from models.encoder import Encoder
from models.heads import MEAN_LAYERS, Pooled, pooled
from models.tokens import Tokens, judged_text
from opinion.errors import InferenceError, ModelLoadError

MOST_ROWS = 256
"""Most texts in one pass, however short: more gains nothing on two cores and holds answers back."""


class Reading(Struct, frozen=True):
    """One pass."""

    indices: list[int]  # of the inputs it held
    pooled: Pooled
    stats: BatchStats


def device_of(wanted: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`.

    Errors:
        ModelLoadError: `cuda` was asked for and there is none.
    """
    able = wanted != "cpu" and torch.cuda.is_available()
    if wanted == "cuda" and not able:
        msg = "device `cuda` was asked for, but no GPU is usable"
        raise ModelLoadError(msg)
    return torch.device("cuda" if able else "cpu")


def dtype_of(device: torch.device) -> torch.dtype:
    """The number form that is fast and exact enough there: bfloat16 keeps cosines to float32 above .9999 and is 3 times as fast (measured)."""
    if device.type == "cuda":
        return torch.bfloat16
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("avx512_bf16") or able.get("amx_bf16") else torch.float32


class Reader:
    """The encoder and tokenizer in `directory`.

    Errors:
        ModelLoadError: they cannot be loaded, or the device is not there.
    """

    def __init__(self, directory: Path, *, device: str = "auto", threads: int = 0, max_tokens: int = 128, batch_tokens: int = 1024) -> None:
        self.device = device_of(device)
        if threads:
            torch.set_num_threads(threads)
        self._encoder = Encoder(directory, device=self.device, dtype=dtype_of(self.device))
        self._tokens = Tokens(directory / "tokenizer.json", max_tokens=max_tokens)
        self._batch_tokens = batch_tokens
        self.hidden = self._encoder.shape.hidden
        self.width = self.hidden * (len(MEAN_LAYERS) + 1)

    def read(self, inputs: Sequence[ModelInput]) -> Iterator[Reading]:
        """Each pass over a part of `inputs`; every input is in one of them, and the passes are by length.

        Errors:
            InferenceError: the pass failed (retryable).
        """
        started = time.perf_counter()
        rows = self._tokens.ids([judged_text(item.title, item.text, max_tokens=self._tokens.max_tokens) for item in inputs])
        tokenise_s = time.perf_counter() - started
        for batch in plan([len(row) for row in rows], most_tokens=self._batch_tokens, most_documents=MOST_ROWS):
            began = time.perf_counter()
            answer = self._pass([rows[index] for index in batch])
            stats = BatchStats(len(batch), len(batch) * len(rows[batch[-1]]), tokenise_s * len(batch) / len(rows), time.perf_counter() - began)
            yield Reading(batch, answer, stats)

    def _pass(self, rows: Sequence[Sequence[int]]) -> Pooled:
        try:
            with torch.inference_mode():
                ids, real = self._encoder.padded(rows)
                return pooled(self._encoder.layers(ids, real), real)
        except (RuntimeError, IndexError) as error:  # torch's own, out of memory among them
            msg = f"the forward pass of {len(rows)} texts failed: {error}"
            raise InferenceError(msg.splitlines()[0]) from error

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the pieces that the model reads lie in `text`: [start, end), in order, blanks left out."""
        found: list[tuple[int, int]] = []
        for start, end in self._tokens.pieces(judged_text("", text, max_tokens=self._tokens.max_tokens)).spans:
            piece = text[start:end]
            if piece.strip():
                found.append((end - len(piece.lstrip()), start + len(piece.rstrip())))
        return found
