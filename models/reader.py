"""Texts to what the heads read of them: tokens, batches, one pass of the encoder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
import torch
from msgspec import Struct

from models.backends.base import BatchStats, ModelInput
from models.batching import plan
from models.encoder import Encoder
from models.heads import Pooled, Span, groups_of, kinds_of, pooled
from models.tokens import Tokens, judged_text, token_span
from opinion.errors import InferenceError, ModelLoadError

log = structlog.get_logger()

MOST_ROWS = 256
"""Most texts in one pass, however short: more gains nothing on two cores and holds answers back."""


class Reading(Struct, frozen=True):
    """One pass."""

    indices: list[int]  # of the inputs it held
    names: list[tuple[int, int]]  # for each pooled span: row in `indices`, and which of its input's names
    pooled: Pooled
    stats: BatchStats


class _Read(Struct, frozen=True):
    """One input as tokens."""

    ids: list[int]
    names: list[tuple[int, int, int]]  # which name, and its tokens [start, end)


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

    def __init__(self, directory: Path, *, device: str = "auto", threads: int = 0, max_tokens: int = 256, batch_tokens: int = 1024) -> None:
        self.device = device_of(device)
        if threads:
            torch.set_num_threads(threads)
        self._encoder = Encoder(directory, device=self.device, dtype=dtype_of(self.device))
        if max_tokens > self._encoder.shape.positions:
            msg = f"max_tokens {max_tokens} is more than the {self._encoder.shape.positions} positions that this model knows"
            raise ModelLoadError(msg)
        self._tokens = Tokens(directory / "tokenizer.json", max_tokens=max_tokens)
        self._batch_tokens = batch_tokens
        self.hidden = self._encoder.shape.hidden

    def read(self, inputs: Sequence[ModelInput]) -> Iterator[Reading]:
        """Each pass over a part of `inputs`; every input is in one of them, and the passes are by length.

        Errors:
            InferenceError: the pass failed (retryable).
        """
        started = time.perf_counter()
        rows = self._tokenised(inputs)
        tokenise_s = time.perf_counter() - started
        for batch in plan([len(row.ids) for row in rows], most_tokens=self._batch_tokens, most_documents=MOST_ROWS):
            yield from self._readings(batch, rows, inputs, tokenise_s=tokenise_s / len(rows))

    def _readings(self, batch: list[int], rows: Sequence[_Read], inputs: Sequence[ModelInput], *, tokenise_s: float) -> Iterator[Reading]:
        """The pass over a batch; two over its halves where memory does not suffice."""
        began = time.perf_counter()
        chosen = [rows[index] for index in batch]
        names = [(row, which, start, end) for row, read in enumerate(chosen) for which, start, end in read.names]
        try:
            answer = self._pass(chosen, [inputs[index] for index in batch], [Span(row, start, end) for row, _, start, end in names])
        except torch.OutOfMemoryError as error:
            if len(batch) == 1:
                msg = f"one text of {len(chosen[0].ids)} tokens does not fit the memory"
                raise InferenceError(msg) from error
            log.warning("out of memory, halving the batch", texts=len(batch))
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                yield from self._readings(half, rows, inputs, tokenise_s=tokenise_s)
            return
        stats = BatchStats(len(batch), len(batch) * len(chosen[-1].ids), tokenise_s * len(batch), time.perf_counter() - began)
        yield Reading(batch, [(row, which) for row, which, _, _ in names], answer, stats)

    def _tokenised(self, inputs: Sequence[ModelInput]) -> list[_Read]:
        texts = [judged_text(item.title, item.text, max_tokens=self._tokens.max_tokens) for item in inputs]
        ids = self._tokens.ids(texts)
        naming = [index for index, item in enumerate(inputs) if item.names]
        pieces = dict(zip(naming, self._tokens.all_pieces([texts[index] for index in naming]), strict=True))
        read = []
        for index, item in enumerate(inputs):
            found = [(which, token_span(pieces[index].spans, start, end=end)) for which, (start, end) in enumerate(item.names)]
            read.append(_Read(ids[index], [(which, *span) for which, span in found if span is not None]))
        return read

    def _pass(self, rows: Sequence[_Read], inputs: Sequence[ModelInput], names: Sequence[Span]) -> Pooled:
        try:
            with torch.inference_mode():
                ids, real = self._encoder.padded([row.ids for row in rows])
                return pooled(self._encoder.layers(ids, real, kinds_of(groups_of(inputs, self.device))), real, names)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, IndexError) as error:
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
