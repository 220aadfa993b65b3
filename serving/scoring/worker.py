"""A process of the local engine: it loads the model once and scores shards one after the other."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

from serving.scoring.formats.rows import Shard
from serving.scoring.shard import Done, Job, Runner, score


class _Counter:
    """The rows that all processes have done, which the parent shows."""

    value: Synchronized[int] | None = None


def set_up(counter: Synchronized[int], threads: int, log: Path) -> None:
    """Prepares a process: it ends with its parent, leaves Ctrl-C to it, and writes to a log."""
    with log.open("ab") as output:
        os.dup2(output.fileno(), 2)
    _Counter.value = counter
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_environment(threads)


def set_environment(threads: int) -> None:
    """Sets the variables that TensorFlow reads when it is imported; those of the user stay."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", str(threads))


def run(job: Job, shard: Shard) -> Done:
    """Scores a shard in this process."""
    return score(job, shard, load(job.model), _advance)


@functools.cache
def load(folder: Path) -> Runner:
    """Returns the model, which a process loads once. Imports TensorFlow.

    Raises:
        ServingError: The folder holds no SavedModel, or a damaged one.
    """
    from serving.server.servables.session import Session

    return Session(folder)


def _advance(rows: int) -> None:
    if _Counter.value is not None:
        with _Counter.value.get_lock():
            _Counter.value.value += rows


def _end_with_parent() -> None:
    """Ends this process with its parent, however that ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
