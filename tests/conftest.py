"""Settings of all tests: a quick TensorFlow, no store of the user's, a repeatable Hypothesis.

Most tests use tiny networks for moments, where compiling takes longer than computing. So "auto",
Keras' default of `jit_compile`, does not compile by XLA here, and graphs are not rewritten to run
faster; tests of XLA ask for it, and processes that tests start do both as users' do.
"""

import functools
import gc
import os
import sys
from collections import defaultdict
from heapq import nlargest
from itertools import chain

import pytest
from hypothesis import settings

from pipelines.allocation import keep_freed_memory

keep_freed_memory()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# `make test` and users set it; what a test runs uses a store of its own.
os.environ.pop("MLFLOW_TRACKING_URI", None)

settings.register_profile("foundry", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("foundry")


def pytest_runtest_setup(item: pytest.Item) -> None:
    if "keras" in sys.modules:
        _make_keras_quick()
    if "tensorflow" in sys.modules:
        # The messages of a server are those of graphs that were rewritten.
        _rewrite_graphs("serving" in item.path.relative_to(item.config.rootpath).parts)


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
