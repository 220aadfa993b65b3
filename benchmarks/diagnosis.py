"""The cost of `--diagnose`: steps of training with probes, compared with steps without.

Each network is trained in rounds, of which every other one is diagnosed at the default interval;
the two of a pair follow each other in the same process. Times of steps are CPU seconds of all
threads, which other programs on the machine change little. Tracing the probe, which happens once in
a training, is timed by itself.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from serving.errors import UserError

GOAL = 0.05

console = Console(highlight=False)


@dataclass(frozen=True)
class Row:
    """The cost for one network.

    Attributes:
        network: Its name.
        without: CPU seconds of a step without a diagnosis, by pair.
        diagnosed: CPU seconds of a step with one, by pair.
        tracing: Seconds that the first probe takes.
        layers: Layers with weights that are looked at.
    """

    network: str
    without: Sequence[float]
    diagnosed: Sequence[float]
    tracing: float
    layers: int

    @property
    def overhead(self) -> float:
        """The median of the pairs' relative differences."""
        return float(np.median(np.array(self.diagnosed) / np.array(self.without))) - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument(
        "--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS), metavar="NAME"
    )
    parser.add_argument("--pairs", type=int, default=7, help="pairs of rounds (default: 7)")
    parser.add_argument("--probes", type=int, default=2, help="probes of a round (default: 2)")


def run(options: argparse.Namespace) -> None:
    """Measures each network, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    for name in ("pairs", "probes"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(options, name)}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    rows = []
    for name in options.only:
        rows.append(measure(name, options.pairs, options.probes))
        console.print(f"{name}: {rows[-1].overhead:+.1%}", soft_wrap=True)
    console.print(table(rows))
    from benchmarks import report

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    chosen = {name: str(value) for name, value in vars(options).items()}
    records = [{**vars(row), "overhead": row.overhead} for row in rows]
    run, store = report.log_tables("diagnosis", chosen, records, {})
    console.print(f"run        {run} in {store}", soft_wrap=True)


def measure(name: str, pairs: int, probes: int) -> Row:
    """Trains one network in pairs of rounds."""
    import keras

    from pipelines.config import Config
    from pipelines.testing import MemoryLog
    from pipelines.training.diagnosis import Diagnosis, interval
    from pipelines.training.probe import Probe

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    network, inputs, targets = NETWORKS[name]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.AdamW(1e-4), loss)
    every = interval(True, 1)
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensors((inputs, targets)).cache().repeat(probes * every)
    probe = Probe(network, network, (inputs, targets))
    started = time.perf_counter()
    probe.measure()
    tracing = time.perf_counter() - started

    def seconds(diagnosed: bool) -> float:
        diagnosis = Diagnosis(
            *(probe, MemoryLog(), Config(figures=False)),
            every=every,
            steps=probes * every,
            hyperparameters={},
        )
        callbacks = [diagnosis] if diagnosed else []
        started = time.process_time()
        network.fit(batches, callbacks=callbacks, shuffle=False, verbose=0)
        return (time.process_time() - started) / (probes * every)

    seconds(True)  # Traces the steps, the copy of the weights and the comparison with it.
    timed = [(seconds(False), seconds(True)) for _ in range(pairs)]
    without, diagnosed = zip(*timed, strict=True)
    return Row(name, without, diagnosed, tracing, len(probe.weight_rows))


def table(rows: Sequence[Row]) -> Table:
    """Returns the results as a table."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("network", "layers", "ms/step", "diagnosed", "overhead", "goal", "tracing, s"):
        shown.add_column(header, justify="left" if header == "network" else "right")
    for row in rows:
        without, diagnosed = (1000 * np.median(each) for each in (row.without, row.diagnosed))
        reached = f"{GOAL:.0%} {'✓' if row.overhead <= GOAL else '✗'}"
        shown.add_row(
            *(row.network, str(row.layers), f"{without:.1f}", f"{diagnosed:.1f}"),
            *(f"{row.overhead:+.1%}", reached, f"{row.tracing:.1f}"),
        )
    return shown


def _images(name: str, batch: int = 32, size: int = 8, **options: Any) -> Any:
    import architectures

    random = np.random.default_rng(0)
    shape = (size, size, 1)
    network = architectures.build(name, classes=10, input_shape=shape, **options)
    images = random.uniform(size=(batch, *shape)).astype(np.float32)
    return network, images, random.integers(0, 10, batch)


def _texts(name: str, batch: int = 32, length: int = 64) -> Any:
    import architectures

    random = np.random.default_rng(0)
    network = architectures.build(name, outputs=10, vocabulary=1000)
    ids = random.integers(1, 1000, (batch, length)).astype(np.int32)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    return network, inputs, random.integers(0, 10, batch)


NETWORKS: dict[str, Callable[[], Any]] = {
    "mlp": lambda: _images("mlp", size=28, batch=128),
    "convnet": lambda: _images("convnet", size=16),
    "resnet20": lambda: _images("resnet20", size=16),
    "lstm": lambda: _texts("lstm"),
}
