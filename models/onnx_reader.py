"""The encoder in ONNX Runtime: texts to what the heads read of them. Needs no torch, whose import alone takes half a gigabyte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from models.backends.base import Floats, ModelInput
from models.encoder_files import ENCODER_FILE, KINDS, WORDS, WORDS_FILE
from models.export import INT8, graph_file
from models.features import MEAN_LAYERS, SPAN_LAYERS, Pooled, Span, groups_of, kinds_of
from models.onnx_runtime import onnxruntime
from models.passes import NoRoom, Passes, Read
from models.unpack import Shape
from opinion.errors import InferenceError, ModelLoadError

FAR = -1e4
"""Added to the scores of padding."""


class OnnxReader(Passes):
    """The encoder and tokenizer in `directory`, its graph in `precision` (exponnxruntime.INT8 or FLOAT32).

    Errors:
        ModelLoadError: they cannot be loaded, or the graph cannot be made.
    """

    device = "cpu"

    def __init__(self, directory: Path, *, precision: str = INT8, threads: int = 0, max_tokens: int = 256, batch_tokens: int = 1024) -> None:
        try:
            with safe_open(directory / ENCODER_FILE, framework="np") as file:
                self._shape = shape = Shape(**json.loads((file.metadata() or {})["shape"]))
                self._positions, self._kinds = (file.get_tensor(name).astype(np.float32) for name in ("embeddings.positions", KINDS))
            self._words = load_file(directory / WORDS_FILE)[WORDS]
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # beside other processes a spinning thread holds up the others
            self._session = onnxruntime.InferenceSession(str(graph_file(directory, precision)), options, providers=["CPUExecutionProvider"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            msg = f"{directory} holds no encoder that ONNX Runtime can run: {error}"
            raise ModelLoadError(msg) from error
        super().__init__(directory, hidden=shape.hidden, positions=shape.positions, max_tokens=max_tokens, batch_tokens=batch_tokens)

    def _pass(self, rows: Sequence[Read], inputs: Sequence[ModelInput], names: Sequence[Span]) -> Pooled:
        ids, real = self._padded([row.ids for row in rows])
        embedded = self._words[ids].astype(np.float32) + self._positions[: ids.shape[1]] + self._kinds[kinds_of(groups_of(inputs))][:, None]
        bias = np.where(real, np.float32(0), np.float32(FAR))[:, None, None, :]
        try:
            layers = self._session.run(None, {"embedded": embedded, "bias": bias})
        except MemoryError as error:
            raise NoRoom from error
        except Exception as error:  # the library's own errors have no common class but Exception
            msg = f"the forward pass of {len(rows)} texts failed: {error}"
            raise InferenceError(msg.splitlines()[0]) from error
        return pooled(dict(zip(MEAN_LAYERS, layers, strict=True)), real, names)

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        lengths = np.array([[len(row)] for row in rows])
        real = np.arange(int(lengths.max()))[None, :] < lengths
        ids = np.full(real.shape, self._shape.pad, np.int64)
        ids[real] = np.concatenate([np.asarray(row, np.int64) for row in rows])
        return ids, real


def pooled(layers: dict[int, Floats], real: NDArray[np.bool_], names: Sequence[Span]) -> Pooled:
    """What the heads read, from the hidden states (rows, tokens, hidden) of some layers."""
    weights = real[..., None].astype(np.float32)
    counts = weights.sum(1)
    means = [(layers[number] * weights).sum(1) / counts for number in MEAN_LAYERS]
    last = layers[MEAN_LAYERS[-1]]
    spans = [np.concatenate([layers[number][name.row, name.start : name.end].mean(0) for number in SPAN_LAYERS]) for name in names]
    width = last.shape[-1] * len(SPAN_LAYERS)
    return Pooled(np.concatenate([*means, last[:, 0]], axis=1), np.stack(spans) if spans else np.zeros((0, width), np.float32))
