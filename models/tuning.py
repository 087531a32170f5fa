"""A process made ready to run the model beside others: threads that sleep while they wait or are not there, a heap that gives large blocks back."""

from __future__ import annotations

import ctypes
import os

from threadpoolctl import ThreadpoolController

_M_MMAP_THRESHOLD = -3
THRESHOLD_BYTES = 1 << 18
"""Activations of a batch are larger than this, tokens and strings smaller."""

PLANS = 16
"""Plans of matrix products kept, one per shape: a pass needs four, nearly every pass has shapes of its own. oneDNN's 1,024 take 160 MB more (measured)."""


def make_ready() -> None:
    """Tune this process; to be called before torch is imported, whose thread library reads its setting once.

    Its threads spin at every barrier unless told otherwise, and a spinning thread keeps the one it waits for off the core: beside one busy
    process on two cores that made 5 documents a second of 109, where sleeping threads make 60 (measured). A policy set by the operator stays.
    """
    wait_asleep()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(PLANS))
    give_large_blocks_back()
    multiply_on_one_thread()


def wait_asleep() -> None:
    """Have torch's threads sleep at barriers; all that a training needs, which lives by keeping the plans of its products (twice as fast, measured)."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def multiply_on_one_thread() -> None:
    """Have numpy's OpenBLAS use one thread.

    A head's product takes a millisecond. Half of it handed to a second thread, which the encoder's threads keep off its core, takes twenty:
    a sixth of the time of a worker alone on two cores, a quarter beside others (measured).
    """
    import numpy as np  # noqa: PLC0415, F401 - loads the library that is looked for

    ThreadpoolController().select(internal_api="openblas").limit(limits=1)


def give_large_blocks_back() -> None:
    """Have glibc map every large block apart and unmap it when it is freed; does nothing where another C library runs.

    By itself glibc raises the bound with each large block that is freed, up to 32 MB; from then on activations, which have another size in
    every batch, fragment its heap: 200 MB after 3,000 texts of mixed length, 30 MB with the bound fixed (measured).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, THRESHOLD_BYTES)
