"""Memory of the process: what a training step frees is kept for the next one.

glibc gives large blocks back to the system at once, which then clears their pages again for the
next step. In training of small networks that took a third of the processor time.
"""

from __future__ import annotations

import ctypes

# Of mallopt(3).
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST = 2**31 - 1


def keep_freed_memory() -> None:
    """Has this process keep the memory that it frees; without glibc, as on macOS, does nothing."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_TRIM_THRESHOLD, _LARGEST)
    mallopt(_MMAP_THRESHOLD, 1 << 30)
