"""Memory that is freed stays with the process, for the next batch.

A training step frees what the next one asks for again. By default glibc hands large blocks back to the system each time, and
the system clears every page before it gives it out anew; `benchmarks` measures what that costs. On a GPU torch's own allocator
keeps what it has; this asks the same of the C library.
"""

import ctypes
import os
import platform
from functools import cache

TRIM, MMAP = -1, -3  # mallopt's names for what is set
LARGEST = 32 * 2**20  # bytes; glibc takes no larger threshold for blocks that come from the heap


@cache
def keep_freed() -> bool:
    """Ask the C library to keep up to two gigabytes of freed memory; whether it does. Results are the same to the bit.

    For the whole process, once. Does nothing where the C library is not glibc, or where the environment sets it up already
    (``MALLOC_...`` or ``GLIBC_TUNABLES``).
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(MMAP, LARGEST) and library.mallopt(TRIM, 2**31 - 1))
