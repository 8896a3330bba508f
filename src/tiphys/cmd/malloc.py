"""How the C library's allocator keeps memory: large blocks go back to the system as soon as they are free.

glibc learns from freed blocks to keep ones of that size; after a burst of large lists a server would hold for
ever what it needed at its busiest. Called once by ``cmd.apiserver``; without glibc nothing happens.
"""

from __future__ import annotations

import ctypes
from typing import Final

LARGE_BYTES: Final = 1024 * 1024
_KEPT_FREE_BYTES: Final = 8 * 1024 * 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def return_large_blocks() -> bool:
    """Set the thresholds for this process; False where the C library has none."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mapped = mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
    return bool(mapped and mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES))
