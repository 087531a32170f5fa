"""ONNX Runtime with its reporting home switched off: its Linux wheel (1.32) gathers usage and sends it to its maker unless told not to.

The only place that imports it. The variable stands before the import, because the library reads it once.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

onnxruntime.disable_telemetry_events()

__all__ = ["onnxruntime", "quantise"]


def quantise(source: Path, target: Path) -> None:
    """Write the graph with its constant matrices as 8-bit integers, one scale per output; activations are scaled as they come."""
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - only for making graphs

    quantize_dynamic(source, target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8, extra_options={"MatMulConstBOnly": True})
