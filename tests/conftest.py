"""Settings of all tests: a quick TensorFlow, no store of the user's, a repeatable Hypothesis.

Most tests use tiny networks for moments, where compiling takes longer than computing. So "auto",
Keras' default of `jit_compile`, does not compile by XLA here, and graphs are not rewritten to run
faster; tests of XLA ask for it, and processes that tests start do both as users' do.
"""

import contextlib
import functools
import gc
import os
import sqlite3
import sys
from collections import defaultdict
from heapq import nlargest
from itertools import chain
from typing import Any

import pytest
from hypothesis import settings

from pipelines.allocation import keep_freed_memory

keep_freed_memory()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# `make test` and users set it; what a test runs uses a store of its own.
os.environ.pop("MLFLOW_TRACKING_URI", None)

settings.register_profile("foundry", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("foundry")


def pytest_collectstart() -> None:
    if "tensorflow" in sys.modules:
        _split_cpu()  # Before the next module of tests, which may compute something.


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "keras" in sys.modules:
        _make_keras_quick()
    if "sqlalchemy" in sys.modules:
        _make_sqlite_quick()
    if "tensorflow" in sys.modules:
        _split_cpu()
        # The messages of a server are those of graphs that were rewritten.
        _rewrite_graphs("serving" in item.path.relative_to(item.config.rootpath).parts)


@functools.cache
def _make_sqlite_quick() -> None:
    """Waits for no disk, which takes SQLite 15 ms for each value that is logged.

    Files are there all the same for other processes, and after a process was killed.
    """
    import sqlalchemy

    @sqlalchemy.event.listens_for(sqlalchemy.Engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            # What is no database is told later, as without this: here MLflow would try again.
            with contextlib.suppress(sqlite3.DatabaseError):
                connection.execute("PRAGMA synchronous = OFF")


@functools.cache
def _split_cpu() -> None:
    """Makes two devices of the CPU, which cannot be done once TensorFlow has computed something.

    What asks for no device computes on the first one, as ever.
    """
    import tensorflow as tf

    cpu, *_ = tf.config.list_physical_devices("CPU")
    with contextlib.suppress(RuntimeError):  # A module that was imported has computed something.
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
        )


@functools.lru_cache(maxsize=1)
def _rewrite_graphs(wanted: bool) -> None:
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not wanted})


@functools.cache
def _make_keras_quick() -> None:
    from keras.src.trainers.trainer import Trainer

    Trainer._resolve_auto_jit_compile = lambda model: False
    # What the imports have made stays, and need not be looked at by each collection of garbage.
    gc.collect()
    gc.freeze()
    # Tracing graphs makes objects so fast that looking after every 700 takes a tenth of the time.
    gc.set_threshold(10_000, 10, 10)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tells which folders and files take most of the time, which the slowest tests do not tell."""
    files: dict[str, float] = defaultdict(float)
    folders: dict[str, float] = defaultdict(float)
    for report in chain(*terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            file = report.nodeid.partition("::")[0]
            files[file] += report.duration
            folders[f"{file.rpartition('/')[0]}/"] += report.duration
    if len(folders) > 1:
        terminalreporter.section(f"slowest of {sum(files.values()):.0f} seconds")
        for count, places in ((30, folders), (50, files)):
            for place in nlargest(count, places, key=places.__getitem__):
                terminalreporter.write_line(f"{places[place]:6.0f}s {place}")
