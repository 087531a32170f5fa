from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from models.tuning import make_ready

PROBE = """
import ctypes, sys
from models.tuning import give_large_blocks_back

class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]

libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
if sys.argv[1] == "fixed":
    give_large_blocks_back()
libc.free(libc.malloc(24 << 20))  # raises glibc's own bound
before = libc.mallinfo2().hblks
libc.malloc(4 << 20)
print(libc.mallinfo2().hblks - before)
"""

LOADING = """
import sys
import models.registry
from opinion.settings import Settings

models.registry.make_ready = lambda: sys.exit("torch" in sys.modules)
models.registry.load_judge(Settings())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another C library than glibc 2.33 or newer runs here")
@pytest.mark.parametrize(("bound", "mapped_apart"), [("fixed", 1), ("glibc's own", 0)])
def test_large_blocks_are_mapped_apart_also_after_larger_ones_were_freed(bound: str, mapped_apart: int) -> None:
    answer = subprocess.run([sys.executable, "-c", PROBE, bound], capture_output=True, text=True, check=True)
    assert int(answer.stdout) == mapped_apart


def test_threads_sleep_while_they_wait_unless_the_operator_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    make_ready()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    make_ready()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


def test_small_products_are_made_on_one_thread() -> None:
    np.ones((2, 2)) @ np.ones((2, 2))
    make_ready()
    libraries = [library for library in threadpool_info() if library["internal_api"] == "openblas"]
    assert libraries
    assert {library["num_threads"] for library in libraries} == {1}


def test_the_process_is_made_ready_before_torch_is_loaded() -> None:
    answer = subprocess.run([sys.executable, "-c", LOADING], check=False)
    assert answer.returncode == 0
