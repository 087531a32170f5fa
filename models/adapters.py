"""What our training adds to the encoder, as a file of a few megabytes, and its merging into a directory that loads like any other.

`<linear>.down` (rank, in) and `<linear>.up` (out, rank) add SCALE x up x down to a matrix; `<norm>.weight` and `.bias` replace a norm's;
`embeddings.kinds` (2, hidden) is added to every word of a news or social text. Halves of adapters may be kept in 8 bits, each of their `rank` vectors with a
`.scale` of its own: half the size, or twice the rank.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, save, save_file

from models.cache import locked
from models.encoder_files import ENCODER_FILE, KINDS, QKV, TOKENIZER_FILE, WORDS_FILE
from opinion.errors import ModelLoadError

log = structlog.get_logger()

Array = np.ndarray[Any, Any]
Tensors = Mapping[str, Array]

KINDS_NAME = KINDS
SCALE = 2.0
"""What an adapter's product is multiplied with: the common alpha / rank."""
_SCALE = ".scale"
_ALONG = {"up": 0, "down": 1}
"""The axis that a vector of an adapter's half runs along; the other is its rank."""
FORM = 1
"""Raised when the merged form changes, so that an old cache is not read."""


def adapters_bytes(tensors: Tensors, *, eight_bits: bool = False) -> bytes:
    """The adapters as a file: in float16, or their halves in 8 bits (an error of less than a percent of a vector's length). The same tensors give the same bytes."""
    kept: dict[str, Array] = {}
    for name in sorted(tensors):
        if eight_bits and (along := _ALONG.get(name.rpartition(".")[2])) is not None:
            kept[name], kept[f"{name}{_SCALE}"] = _in_eight_bits(tensors[name].astype(np.float32), along=along)
        else:
            kept[name] = np.ascontiguousarray(tensors[name], np.float16)
    return save(kept)


def adapters_from(data: bytes) -> dict[str, Array]:
    """The adapters of a file, whatever they are kept in.

    Errors:
        SafetensorError: no such file.
    """
    kept = load(data)
    scales = {name.removesuffix(_SCALE): kept.pop(name) for name in list(kept) if name.endswith(_SCALE)}
    with np.errstate(invalid="ignore"):  # what is no number is told by who merges it
        return {name: tensor * scales[name] if name in scales else tensor for name, tensor in kept.items()}


def _in_eight_bits(half: Array, *, along: int) -> tuple[Array, Array]:
    """Whole numbers from -127 to 127, and what to multiply each vector with."""
    scale = np.abs(half).max(axis=along, keepdims=True) / 127
    numbers = np.divide(half, scale, out=np.zeros_like(half), where=np.isfinite(scale) & (scale > 0))  # a scale that is no number makes all of its vector none
    return np.rint(numbers).astype(np.int8), scale.astype(np.float32)


def merged_directory(base: Path, file: Path, *, sha256: str, models_dir: Path) -> Path:
    """The directory of the encoder in `base` with the adapters of `file` merged: beside `base`, else under `models_dir`, and made there (1 s) where it is not there yet.

    Safe to call from several processes at once. The word table and tokenizer are links to those of `base` where the disk allows.

    Errors:
        ModelLoadError: no file, another hash than `sha256`, adapters of another encoder, or the directory cannot be written.
    """
    name = f"merged-{sha256[:12]}-on-{base.name}-{FORM}"
    directory = models_dir / name
    for made in (base.parent / name, directory):
        if made.is_dir():
            return made
    try:
        data = file.read_bytes()
        if (found := hashlib.sha256(data).hexdigest()) != sha256:
            msg = f"{file} has sha256 {found[:12]}, its card says {sha256[:12]}: it was changed or cut off"
            raise ModelLoadError(msg)
        with locked(models_dir / f".{directory.name}.lock"):
            if not directory.is_dir():
                log.info("merging adapters", into=str(directory))
                _merge(base, adapters_from(data), directory)
    except SafetensorError as error:
        msg = f"{file}: not a file of adapters: {error}"
        raise ModelLoadError(msg) from error
    except OSError as error:
        msg = f"cannot merge {file} into {directory}: {error.strerror or error}"
        raise ModelLoadError(msg) from error
    return directory


def _merge(base: Path, adapters: Tensors, directory: Path) -> None:
    with safe_open(base / ENCODER_FILE, framework="np") as file:
        shape = (file.metadata() or {})["shape"]
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    merged = merged_tensors(tensors, adapters)
    building = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        save_file(merged, building / ENCODER_FILE, metadata={"shape": json.dumps(json.loads(shape))})
        for name in (WORDS_FILE, TOKENIZER_FILE):
            _link(base / name, building / name)
        building.chmod(0o755)
        building.rename(directory)  # readers see all of it or nothing
    finally:
        shutil.rmtree(building, ignore_errors=True)


def merged_tensors(tensors: Tensors, adapters: Tensors) -> dict[str, Array]:
    """The encoder's tensors with the adapters in them, in float32 where an adapter changed them.

    Errors:
        ModelLoadError: adapters of another encoder, or ones that are no numbers.
    """
    merged = dict(tensors)
    for name, value in adapters.items():
        if not np.isfinite(value).all():
            msg = f"the adapter {name} holds values that are no numbers"
            raise ModelLoadError(msg)
        at, _, part = name.rpartition(".")
        try:
            if part == "up":
                _add(merged, at, value.astype(np.float32) @ adapters[f"{at}.down"].astype(np.float32) * SCALE)
            elif part != "down":
                merged[name] = _like(merged[name], value.astype(np.float32))
        except (KeyError, ValueError) as error:
            msg = f"the adapter {name} does not fit this encoder: {error}"
            raise ModelLoadError(msg) from error
    return merged


def _add(merged: dict[str, Array], at: str, change: Array) -> None:
    names = [f"{at.removesuffix('qkv')}{part}.weight" for part in QKV] if at.endswith("qkv") else [f"{at}.weight"]
    for name, part in zip(names, np.split(change, len(names)), strict=True):
        merged[name] = merged[name].astype(np.float32) + _like(merged[name], part)


def _like(old: Array, new: Array) -> Array:
    if old.shape != new.shape:
        msg = f"{new.shape} for {old.shape}"
        raise ValueError(msg)
    return np.ascontiguousarray(new)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)  # another disk, or one without links
