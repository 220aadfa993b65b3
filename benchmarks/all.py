"""All benchmarks one after the other, and the page of their tables."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from benchmarks import BENCHMARKS
from benchmarks.comparison import console
from benchmarks.processes import ROOT, ProcessFailedError

# One needs hours and has a page of its own, the other a GPU.
_APART = ("all", "defaults", "gpu")
NAMES = tuple(name for name in BENCHMARKS if name not in _APART)
_PAGE = Path("docs/performance.md")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES)
    )
    parser.add_argument("--quick", action="store_true", help="--quick of each of them")
    parser.add_argument(
        "--page", type=Path, default=_PAGE, metavar="FILE", help=f"(default: {_PAGE})"
    )


def run(options: argparse.Namespace) -> None:
    """Runs the chosen benchmarks and writes the page.

    Raises:
        UserError: The tracking store cannot be used.
        ProcessFailedError: Benchmarks failed; the others have run, and the page is written.
    """
    failed, begun = [], time.monotonic()
    for number, name in enumerate(options.only, 1):
        console.rule(f"{name} ({number} of {len(options.only)})")
        started = time.monotonic()
        if _code(name, options.quick):
            failed.append(name)
        console.print(f"{name} took {_duration(started)}")
    console.rule()
    from benchmarks import performance

    performance.write(options.page)
    console.print(f"wrote {options.page} after {_duration(begun)}", soft_wrap=True)
    if failed:
        raise ProcessFailedError(f"failed, see above: {', '.join(failed)}")


def _code(name: str, quick: bool) -> int:
    """Runs a benchmark to its end; returns its exit code."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", name, *(["--quick"] if quick else [])],
        env={**os.environ, "PYTHONPATH": path},
    )
    try:
        return process.wait()
    except BaseException:
        process.terminate()  # It ends what it has started.
        process.wait()
        raise


def _duration(started: float) -> str:
    return str(timedelta(seconds=round(time.monotonic() - started)))
