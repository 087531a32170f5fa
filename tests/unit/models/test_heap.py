from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROBE = """
import ctypes, psutil
from models.heap import give_large_blocks_back
give_large_blocks_back()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.free(libc.malloc(24 << 20))  # would raise glibc's own bound
kept = []
for step in range(40):  # ever larger blocks, each with a small one behind it that stays: what one leaves is too short for the next
    size = (4 << 20) + (step << 16)
    large = libc.malloc(size)
    ctypes.memset(large, 1, size)
    kept.append(libc.malloc(1000))
    libc.free(large)
print(psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc runs here")
def test_large_blocks_go_back_to_the_system() -> None:
    answer = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert int(answer.stdout) < 100_000_000
