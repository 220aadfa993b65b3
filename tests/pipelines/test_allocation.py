"""Freed memory is kept: using it again takes no page from the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from pipelines.allocation import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = bytearray(64 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

{call}
faults()
print(faults())
"""


def faults(call: str) -> int:
    """Returns how many pages of a block of 64 MiB have to be had anew, when it is had again."""
    command = [sys.executable, "-c", _PROGRAM.format(call=call)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is Linux's")
def test_freed_memory_is_kept_for_the_next_step():
    assert faults("keep_freed_memory()") < faults("") / 100
