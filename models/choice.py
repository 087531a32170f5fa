"""Which backend runs the model on this machine: both are tried once, each in a process of its own, and the answer is kept beside the model."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import msgspec
import structlog
from msgspec import Struct

from models.cache import locked
from opinion.errors import ModelLoadError

log = structlog.get_logger()

BACKENDS = ("onnx", "torch")
WORTH = 1.15
"""How much faster torch must be to be taken: it needs half a gigabyte more, and seconds to start. 8-bit integers are not tried: they cost accuracy."""
TEXTS = [" ".join([text] * (1 + number % 7)) for number in range(96) for text in ("Shares rose after the results.", "公司净利润同比下降，股价大跌，遭监管立案调查。")]
"""Of many lengths, as they come: with every new shape of a batch ONNX Runtime plans its memory anew."""
TRY_S = 3.0
"""Least time that a backend is timed."""
ANSWERS_WITHIN_S = 120.0


class Trial(Struct, frozen=True):
    """What was found on this machine. None: it did not run."""

    key: str
    texts_per_s: dict[str, float | None]


def chosen(directory: Path, *, device: str, threads: int, trial: Callable[[str], float | None] | None = None) -> str:
    """The backend for the encoder in `directory`: torch where there is a GPU to use, else the faster of both. `trial` measures one.

    Where torch is not installed there is nothing to choose. Where the directory cannot be written, as in an image, the answer is not kept.

    Errors:
        ModelLoadError: neither runs.
    """
    if device == "cuda":
        return "torch"
    if find_spec("torch") is None:
        return "onnx"
    if device == "auto" and Path("/dev/nvidia0").exists():
        return "torch"
    key = f"{directory.name} {_processor()} {os.cpu_count()} {threads} " + " ".join(version(name) for name in ("onnxruntime", "torch"))
    path = directory / "backend.json"
    kept = os.access(directory, os.W_OK)
    with locked(directory / ".backend.lock") if kept else nullcontext():
        known = _known(path)
        if known is None or known.key != key:
            log.info("trying which backend is faster here", backends=list(BACKENDS))
            known = Trial(key, {name: (trial or _in_a_process(directory, threads))(name) for name in BACKENDS})
            log.info("tried", texts_per_s=known.texts_per_s)
            if kept:
                path.write_bytes(msgspec.json.encode(known))
    return _best(known.texts_per_s)


def _best(rates: dict[str, float | None]) -> str:
    onnx, torch = rates["onnx"], rates["torch"]
    if onnx is None and torch is None:
        raise ModelLoadError("neither backend runs the model; `yuqing score --backend torch` says why")
    return "torch" if torch is not None and (onnx is None or torch > WORTH * onnx) else "onnx"


def _known(path: Path) -> Trial | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Trial)
    except (OSError, msgspec.MsgspecError):
        return None


def _processor() -> str:
    """The processor's name and what it can do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    able = [flag for flag in found.get("flags", "").split() if "bf16" in flag or "vnni" in flag]
    return f"{found.get('model name', '')} {' '.join(able)}"


def _in_a_process(directory: Path, threads: int) -> Callable[[str], float | None]:
    def run(name: str) -> float | None:
        command = [sys.executable, "-m", "models.choice", name, str(directory), str(threads)]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=ANSWERS_WITHIN_S)  # noqa: S603 - our own module
            return float(json.loads(answer.stdout.splitlines()[-1]))
        except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
            log.warning("a backend does not run here", backend=name, error=str(error))
            return None

    return run


def texts_per_s(name: str, directory: Path, *, threads: int, texts: Sequence[str] = TEXTS) -> float:
    """Texts a second of one backend in this process."""
    from models.backends.base import ModelInput  # noqa: PLC0415
    from models.registry import reader_of  # noqa: PLC0415 - the registry asks here

    reader = reader_of(name, directory, device="cpu", threads=threads, max_tokens=128)
    inputs = [ModelInput("", text) for text in texts]
    for _ in reader.read(inputs):
        pass
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < TRY_S:
        done += sum(len(reading.indices) for reading in reader.read(inputs))
    return done / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(texts_per_s(sys.argv[1], Path(sys.argv[2]), threads=int(sys.argv[3]))) + "\n")
