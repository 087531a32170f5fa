"""Text to token ids: what of a document is judged, and the encoder's own tokenizer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from models.unpack import E5File
from opinion.errors import InferenceError, ModelLoadError

PREFIX = "query: "
"""What e5 expects before a text (Wang et al. 2024, arXiv:2402.05672, section 4)."""
MIN_TOKENS = 6
"""Tokens of `<s>`, the prefix, one piece of text and `</s>`, with one to spare: a shorter limit would judge the prefix alone."""
CHARS_PER_TOKEN = 10
"""Characters read for each token wanted. Prose takes 1.5 (Chinese) to 4.5 (English); a tokenizer reads all it is given before it truncates."""
CONTROL_SCORE = -1e4
"""Log-probability of `<s>`, `</s>`, `<pad>` and `<unk>` spelt out in a text: never chosen, so a text cannot forge the frame of another."""

_NOISE = re.compile(r"https?://\S+|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Pieces(Struct, frozen=True):
    """The tokens of one text: ids with the frame around them, and where each lies in the text (start, end; frame and prefix are (0, 0))."""

    ids: list[int]
    spans: list[tuple[int, int]]


def judged_text(title: str, text: str, *, max_tokens: int) -> str:
    r"""The title and lead that a model of `max_tokens` reads; every character is where it was in `title + newline + text`.

    Links, control characters and lone surrogates become blanks: a link costs ten tokens and says nothing, a surrogate breaks tokenizers.

    >>> judged_text("Up 5%", "see https://t.co/x now", max_tokens=32)
    'Up 5%\\nsee                now'
    """
    limit = max_tokens * CHARS_PER_TOKEN
    joined = f"{title[:limit]}\n{text[:limit]}" if title and text else (title or text)
    return _NOISE.sub(lambda match: " " * len(match.group()), joined[:limit])


def tokenizer_of(file: E5File) -> Tokenizer:
    """The tokenizer of an unpacked model: unigram pieces over NFKC text with collapsed white space."""
    shape = file.shape
    control = {shape.bos, shape.eos, shape.pad, shape.unk}
    vocabulary = [(piece, CONTROL_SCORE if id_ in control else score) for id_, (piece, score) in enumerate(zip(file.pieces, file.scores, strict=True))]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=shape.unk))
    blanks = normalizers.Replace(Regex(r"[\s\u200b\ufeff]+"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), blanks, normalizers.Strip()])
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", shape.bos), ("</s>", shape.eos)])
    return tokenizer


class Tokens:
    """Token ids of judged texts, at most `max_tokens` each, frame and prefix counted.

    Errors:
        ModelLoadError: `path` is no tokenizer file, or `max_tokens` is under MIN_TOKENS.
    """

    def __init__(self, path: Path, *, max_tokens: int) -> None:
        if max_tokens < MIN_TOKENS:
            msg = f"max_tokens {max_tokens} leaves no room for a text"
            raise ModelLoadError(msg)
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises bare Exception for a missing or damaged file
            msg = f"{path}: no tokenizer: {error}"
            raise ModelLoadError(msg) from error
        self._tokenizer.enable_truncation(max_tokens)
        self.max_tokens = max_tokens

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, in order.

        Errors:
            InferenceError: the tokenizer refused a text of the batch.
        """
        try:
            return [encoding.ids for encoding in self._tokenizer.encode_batch_fast([PREFIX + text for text in texts])]
        except (TypeError, UnicodeEncodeError) as error:
            msg = f"the tokenizer refused a text: {error}"
            raise InferenceError(msg) from error

    def pieces(self, text: str) -> Pieces:
        """The ids of one text, and the span of the text that each stands for."""
        return self.all_pieces([text])[0]

    def all_pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """The ids of each text with their spans, in order. Spans cost time: `ids` does without.

        Errors:
            InferenceError: the tokenizer refused a text of the batch.
        """
        shift = len(PREFIX)
        try:
            encodings = self._tokenizer.encode_batch([PREFIX + text for text in texts])
        except (TypeError, UnicodeEncodeError) as error:
            msg = f"the tokenizer refused a text: {error}"
            raise InferenceError(msg) from error
        return [Pieces(one.ids, [(max(0, start - shift), max(0, end - shift)) for start, end in one.offsets]) for one in encodings]


def token_span(spans: Sequence[tuple[int, int]], start: int, *, end: int) -> tuple[int, int] | None:
    """The tokens [first, last) that stand for the characters [start, end) of a text; None where they were cut off.

    >>> token_span([(0, 0), (0, 5), (5, 11), (0, 0)], 6, end=11)
    (2, 3)
    """
    inside = [index for index, (left, right) in enumerate(spans) if left < end and right > start and right > left]
    return (inside[0], inside[-1] + 1) if inside else None
