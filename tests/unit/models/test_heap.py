from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

PROBE = """
import ctypes, sys
from models.heap import give_large_blocks_back

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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another C library than glibc 2.33 or newer runs here")
@pytest.mark.parametrize(("bound", "mapped_apart"), [("fixed", 1), ("glibc's own", 0)])
def test_large_blocks_are_mapped_apart_also_after_larger_ones_were_freed(bound: str, mapped_apart: int) -> None:
    answer = subprocess.run([sys.executable, "-c", PROBE, bound], capture_output=True, text=True, check=True)
    assert int(answer.stdout) == mapped_apart
