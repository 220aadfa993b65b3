"""Denormal numbers count as zero in a run, whichever thread it is in.

TensorFlow flushes them in its own threads, for speed. A graph that runs in the thread of the
request has that thread's floating-point environment, so it is set for the time of the run.

Counterpart: tsl/platform/denormal.cc, which sets the same bits.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from contextlib import AbstractContextManager, nullcontext

# The C library's fenv_t on x86-64: 28 bytes of the x87 unit, then the register MXCSR.
_SIZE, _MXCSR = 32, 28
# Its bits "denormals are zero" (of operands) and "flush to zero" (of results).
_DENORMALS_ARE_ZERO, _FLUSH_TO_ZERO = 0x40, 0x8000


class _Flushed(AbstractContextManager[None]):
    """Sets the environment of the calling thread; may be entered by many threads."""

    def __init__(self) -> None:
        # Without releasing the interpreter's lock, which takes longer than the call.
        library = ctypes.PyDLL(None)
        self._set = library.fesetenv
        self._usual = ctypes.create_string_buffer(_SIZE)
        library.fegetenv(self._usual)
        register = int.from_bytes(self._usual.raw[_MXCSR:], "little")
        changed = (register | _DENORMALS_ARE_ZERO | _FLUSH_TO_ZERO).to_bytes(4, "little")
        content = self._usual.raw[:_MXCSR] + changed
        self._flushing = ctypes.create_string_buffer(content, _SIZE)

    def __enter__(self) -> None:
        self._set(self._flushing)

    def __exit__(self, *_: object) -> None:
        self._set(self._usual)


FLUSHED: AbstractContextManager[None] = (
    _Flushed() if sys.platform == "linux" and platform.machine() == "x86_64" else nullcontext()
)
"""A context in which the calling thread flushes denormals; without effect but on x86-64."""
