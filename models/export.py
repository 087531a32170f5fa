"""The encoder as an ONNX graph: from summed word embeddings to the hidden states that the heads read. Made once, kept in the cache.

The word table is not in the graph: it stays mapped from disk, and a pass touches only the rows of its words. Matrices are 8-bit integers with a scale per
output (dynamic quantisation: activations are scaled as they come), or float32 where the caller asks.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from safetensors import safe_open

from models.cache import locked
from models.encoder_files import ENCODER_FILE, QKV
from models.features import MEAN_LAYERS
from models.unpack import Floats, Shape
from opinion.errors import ModelLoadError

log = structlog.get_logger()

OPSET, IR_VERSION = 20, 10
FORM = 1
"""Raised when the graph changes, so that an old cache is not read."""
INT8, FLOAT32 = "int8", "float32"


def graph_file(directory: Path, precision: str) -> Path:
    """The graph of the encoder in `directory`, beside it; made (5 s) where it is not there yet. Safe to call from several processes at once.

    Errors:
        ModelLoadError: the directory holds no encoder, or cannot be written.
    """
    path = directory / f"encoder-{precision}-{FORM}.onnx"
    if path.is_file():
        return path
    try:
        with locked(directory / f".{path.name}.lock"):
            if not path.is_file():
                log.info("making a graph", precision=precision, into=str(path))
                _write(directory, path, precision)
    except OSError as error:
        msg = f"cannot write {path}: {error.strerror or error}"
        raise ModelLoadError(msg) from error
    return path


def _write(directory: Path, path: Path, precision: str) -> None:
    import onnx  # noqa: PLC0415 - only for making graphs

    with safe_open(directory / ENCODER_FILE, framework="np") as file:
        shape = Shape(**json.loads((file.metadata() or {})["shape"]))
        tensors = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118 - not a mapping
    building = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=directory))
    try:
        made = building / "float32.onnx"
        onnx.save(Graph(tensors, shape).model(), made)
        if precision == INT8:
            from models.onnx_runtime import quantise  # noqa: PLC0415 - only for making graphs

            quantise(made, building / "int8.onnx")
        (building / f"{precision}.onnx").rename(path)
    finally:
        shutil.rmtree(building, ignore_errors=True)


class Graph:
    """The graph as it is put together: nodes and weights, one layer after the other."""

    def __init__(self, tensors: Mapping[str, Floats], shape: Shape) -> None:
        self._tensors, self._shape = tensors, shape
        self._nodes: list[Any] = []
        self._weights: dict[str, np.ndarray[Any, Any]] = {}

    def model(self) -> Any:
        """The whole graph: `embedded` (rows, tokens, hidden) and `bias` (rows, 1, 1, tokens) in, `hidden_N` of MEAN_LAYERS out."""
        from onnx import TensorProto, helper, numpy_helper  # noqa: PLC0415

        hidden = self._normed("embedded", "embeddings.norm")
        for layer in range(self._shape.layers):
            hidden = self._layer(hidden, f"layers.{layer}")
            if layer + 1 in MEAN_LAYERS:
                hidden = self._add("Identity", [hidden], f"hidden_{layer + 1}")

        def value(name: str, *sizes: str | int) -> Any:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)

        wide = self._shape.hidden
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [value("embedded", "rows", "tokens", wide), value("bias", "rows", 1, 1, "tokens")],
            [value(f"hidden_{number}", "rows", "tokens", wide) for number in MEAN_LAYERS],
            [numpy_helper.from_array(weight, name) for name, weight in self._weights.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _layer(self, hidden: str, at: str) -> str:
        hidden = self._normed(self._add("Add", [hidden, self._attention(hidden, at)]), f"{at}.attention_norm")
        inner = self._add("Gelu", [self._linear(hidden, f"{at}.inner")])
        return self._normed(self._add("Add", [hidden, self._linear(inner, f"{at}.outer")]), f"{at}.outer_norm")

    def _attention(self, hidden: str, at: str) -> str:
        shape = self._shape
        size = shape.hidden // shape.heads
        parts = [f"{at}.{part}" for part in QKV]
        scale = np.concatenate([np.full(shape.hidden, 1 / math.sqrt(size)), np.ones(2 * shape.hidden)]).astype(np.float32)  # of the query, once for all
        weight = np.concatenate([self._tensors[f"{part}.weight"] for part in parts]) * scale[:, None]
        bias = np.concatenate([self._tensors[f"{part}.bias"] for part in parts]) * scale
        together = self._product(hidden, weight, bias, f"{at}.qkv")
        split = [f"{at}.{part}" for part in "qkv"]
        self._nodes.append(_node("Split", [together], split, axis=2, num_outputs=3))
        heads = self._constant("shape.heads", [0, 0, shape.heads, size])
        query, key, value = (
            self._add("Transpose", [self._add("Reshape", [name, heads])], perm=order) for name, order in zip(split, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = self._add("Softmax", [self._add("Add", [self._add("MatMul", [query, key]), "bias"])], axis=-1)
        mixed = self._add("Transpose", [self._add("MatMul", [scores, value])], perm=[0, 2, 1, 3])
        return self._linear(self._add("Reshape", [mixed, self._constant("shape.hidden", [0, 0, shape.hidden])]), f"{at}.attention")

    def _linear(self, hidden: str, at: str) -> str:
        return self._product(hidden, self._tensors[f"{at}.weight"], self._tensors[f"{at}.bias"], at)

    def _product(self, hidden: str, weight: Floats, bias: Floats, at: str) -> str:
        self._weights[f"{at}.weight"], self._weights[f"{at}.bias"] = np.ascontiguousarray(weight.T, np.float32), bias.astype(np.float32)
        return self._add("Add", [self._add("MatMul", [hidden, f"{at}.weight"]), f"{at}.bias"])

    def _normed(self, hidden: str, at: str) -> str:
        for part in ("weight", "bias"):
            self._weights[f"{at}.{part}"] = self._tensors[f"{at}.{part}"].astype(np.float32)
        return self._add("LayerNormalization", [hidden, f"{at}.weight", f"{at}.bias"], axis=-1, epsilon=self._shape.epsilon)

    def _constant(self, name: str, values: list[int]) -> str:
        self._weights[name] = np.array(values, np.int64)
        return name

    def _add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(_node(kind, inputs, [output], **attributes))
        return output


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> Any:
    from onnx import helper  # noqa: PLC0415

    return helper.make_node(kind, inputs, outputs, name=outputs[0] + "_node", **attributes)
