"""Texts to passes of an encoder, whatever runs it: tokens, batches, and the halving of a batch that does not fit. No framework is imported here."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from msgspec import Struct

from models.backends.base import BatchStats, ModelInput
from models.batching import plan
from models.encoder_files import TOKENIZER_FILE
from models.features import Pooled, Span
from models.tokens import Tokens, judged_text, token_span
from opinion.errors import InferenceError, ModelLoadError

log = structlog.get_logger()

MOST_ROWS = 256
"""Most texts in one pass, however short: more gains nothing on two cores and holds answers back."""


class NoRoom(Exception):
    """A pass does not fit the memory."""


class Reading(Struct, frozen=True):
    """One pass."""

    indices: list[int]  # of the inputs it held
    names: list[tuple[int, int]]  # for each pooled span: row in `indices`, and which of its input's names
    pooled: Pooled
    stats: BatchStats


class Read(Struct, frozen=True):
    """One input as tokens."""

    ids: list[int]
    names: list[tuple[int, int, int]]  # which name, and its tokens [start, end)


class Passes(ABC):
    """The tokenizer of `directory` and the plan of passes; how a pass is made is for those who inherit.

    Errors:
        ModelLoadError: no tokenizer there, or more tokens than the encoder has `positions`.
    """

    device: str  # `cpu`, `cuda`

    def __init__(self, directory: Path, *, hidden: int, positions: int, max_tokens: int, batch_tokens: int) -> None:
        if max_tokens > positions:
            msg = f"max_tokens {max_tokens} is more than the {positions} positions that this model knows"
            raise ModelLoadError(msg)
        self.hidden = hidden
        self._tokens = Tokens(directory / TOKENIZER_FILE, max_tokens=max_tokens)
        self._batch_tokens = batch_tokens

    @abstractmethod
    def _pass(self, rows: Sequence[Read], inputs: Sequence[ModelInput], names: Sequence[Span]) -> Pooled:
        """One pass over a batch.

        Errors:
            NoRoom: it does not fit the memory.
            InferenceError: it failed otherwise.
        """

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

    def _readings(self, batch: list[int], rows: Sequence[Read], inputs: Sequence[ModelInput], *, tokenise_s: float) -> Iterator[Reading]:
        """The pass over a batch; two over its halves where memory does not suffice."""
        began = time.perf_counter()
        chosen = [rows[index] for index in batch]
        names = [(row, which, start, end) for row, read in enumerate(chosen) for which, start, end in read.names]
        try:
            answer = self._pass(chosen, [inputs[index] for index in batch], [Span(row, start, end) for row, _, start, end in names])
        except NoRoom as error:
            if len(batch) == 1:
                msg = f"one text of {len(chosen[0].ids)} tokens does not fit the memory"
                raise InferenceError(msg) from error
            log.warning("out of memory, halving the batch", texts=len(batch))
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                yield from self._readings(half, rows, inputs, tokenise_s=tokenise_s)
            return
        stats = BatchStats(len(batch), len(batch) * len(chosen[-1].ids), tokenise_s * len(batch), time.perf_counter() - began)
        yield Reading(batch, [(row, which) for row, which, _, _ in names], answer, stats)

    def _tokenised(self, inputs: Sequence[ModelInput]) -> list[Read]:
        texts = [judged_text(item.title, item.text, max_tokens=self._tokens.max_tokens) for item in inputs]
        ids = self._tokens.ids(texts)
        naming = [index for index, item in enumerate(inputs) if item.names]
        pieces = dict(zip(naming, self._tokens.all_pieces([texts[index] for index in naming]), strict=True))
        read = []
        for index, item in enumerate(inputs):
            found = [(which, token_span(pieces[index].spans, start, end=end)) for which, (start, end) in enumerate(item.names)]
            read.append(Read(ids[index], [(which, *span) for which, span in found if span is not None]))
        return read

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the pieces that the model reads lie in `text`: [start, end), in order, blanks left out."""
        found: list[tuple[int, int]] = []
        for start, end in self._tokens.pieces(judged_text("", text, max_tokens=self._tokens.max_tokens)).spans:
            piece = text[start:end]
            if piece.strip():
                found.append((end - len(piece.lstrip()), start + len(piece.rstrip())))
        return found
