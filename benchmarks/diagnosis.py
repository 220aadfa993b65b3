"""The cost of `--diagnose`: steps of training with probes, compared with steps without.

Each network is first trained until the default interval has been chosen, and then in rounds, of
which every other one is diagnosed at that interval; the two of a pair follow each other in the same
process. Times are CPU seconds of all threads, which other programs on the machine change little;
logging the values with MLflow, to a database on this machine, is a part of them.
Tracing the probe, which happens once in a training, is timed by itself.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.table import Table

from serving.errors import UserError

if TYPE_CHECKING:
    from pipelines.training.callbacks import Log

GOAL = 0.05
# Epochs of the shortest interval that are trained until the interval is chosen.
_CHOOSING = 5
_QUICK_NETWORKS, _QUICK_PAIRS = 2, 3

console = Console(highlight=False)


@dataclass(frozen=True)
class Row:
    """The cost for one network.

    Attributes:
        network: Its name.
        without: CPU seconds of a step without a diagnosis, by pair.
        diagnosed: CPU seconds of a step with one, by pair.
        every: Steps from one probe to the next.
        share: CPU seconds of probes and of logging their values over those of steps, which varies
            less than the difference of two rounds.
        tracing: CPU seconds that the first probe takes.
        layers: Layers with weights that are looked at.
    """

    network: str
    without: Sequence[float]
    diagnosed: Sequence[float]
    every: int
    share: float
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
    parser.add_argument(
        "--quick", action="store_true", help=f"{_QUICK_NETWORKS} networks, {_QUICK_PAIRS} pairs"
    )


def run(options: argparse.Namespace) -> None:
    """Measures each network, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    for name in ("pairs", "probes"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(options, name)}")
    if options.quick:
        options.only, options.pairs = options.only[:_QUICK_NETWORKS], _QUICK_PAIRS
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from benchmarks import report

    rows = []
    with stored() as log:
        for name in options.only:
            rows.append(measure(name, options.pairs, options.probes, log))
            console.print(f"{name}: {rows[-1].overhead:+.1%}", soft_wrap=True)
    console.print(table(rows))
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    chosen = {name: str(value) for name, value in vars(options).items()}
    records = [{**vars(row), "overhead": row.overhead} for row in rows]
    run, store = report.log_tables("diagnosis", chosen, records, {})
    console.print(f"run        {run} in {store}", soft_wrap=True)


@contextmanager
def stored() -> Iterator[Log]:
    """A log whose metrics go to a database of their own, as those of a run do."""
    import mlflow
    from mlflow.entities import Metric

    from pipelines.testing import MemoryLog

    class Stored(MemoryLog):
        def steps(self, values: Mapping[int, Mapping[str, float]]) -> None:
            now = int(1000 * time.time())
            metrics = [Metric(*one, now, step) for step in values for one in values[step].items()]
            for start in range(0, len(metrics), 1000):
                client.log_batch(run.info.run_id, metrics[start : start + 1000])

    logging.getLogger("alembic").setLevel(logging.ERROR)
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
        run = client.create_run(client.create_experiment("cost", str(folder)))
        yield Stored()


def measure(name: str, pairs: int, probes: int, log: Log) -> Row:
    """Trains one network in pairs of rounds."""
    import keras

    from pipelines.config import Config
    from pipelines.training.diagnosis import Diagnosis, interval
    from pipelines.training.pace import Pace
    from pipelines.training.probe import Probe

    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    network, inputs, targets = NETWORKS[name]()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.AdamW(1e-4), loss)
    import tensorflow as tf

    batch = tf.data.Dataset.from_tensors((inputs, targets)).cache()
    probe = Probe(network, network, (inputs, targets))
    started = time.process_time()
    probe.measure()
    tracing = time.process_time() - started

    def seconds(steps: int, pace: Pace | None, epochs: int = 1) -> float:
        callbacks = []
        if pace:
            config = Config(figures=False)
            callbacks.append(
                Diagnosis(probe, log, config, pace=pace, steps=steps, hyperparameters={})
            )
        started = time.process_time()
        network.fit(
            batch.repeat(epochs * steps),
            epochs=epochs,
            steps_per_epoch=steps,
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
        return (time.process_time() - started) / steps / epochs

    shortest = interval(True, 1)
    pace = Pace(shortest, grows=True, clock=time.process_time)
    seconds(shortest, pace, _CHOOSING)
    every, steps = pace.every, probes * pace.every
    timed = [(seconds(steps, None), seconds(steps, Pace(every))) for _ in range(pairs)]
    without, diagnosed = zip(*timed, strict=True)
    return Row(name, without, diagnosed, every, pace.share, tracing, len(probe.weight_rows))


def table(rows: Sequence[Row]) -> Table:
    """Returns the results as a table."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in (
        *("network", "layers", "ms/step", "every", "probes", "diagnosed", "overhead", "goal"),
        "tracing, s",
    ):
        shown.add_column(header, justify="left" if header == "network" else "right")
    for row in rows:
        without, diagnosed = (1000 * np.median(each) for each in (row.without, row.diagnosed))
        reached = f"{GOAL:.0%} {'✓' if row.share <= GOAL else '✗'}"
        shown.add_row(
            *(row.network, str(row.layers), f"{without:.1f}", str(row.every)),
            *(
                f"{row.share:.1%}",
                f"{diagnosed:.1f}",
                f"{row.overhead:+.1%}",
                reached,
                f"{row.tracing:.1f}",
            ),
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


def _masks(batch: int = 4, size: int = 32) -> Any:
    import architectures

    random = np.random.default_rng(0)
    shape = (size, size, 1)
    network = architectures.build(
        "unet", classes=5, input_shape=shape, filters=8, depth=3, padding="same"
    )
    images = random.uniform(size=(batch, *shape)).astype(np.float32)
    return network, images, random.integers(0, 5, (batch, *shape[:2]))


NETWORKS: dict[str, Callable[[], Any]] = {
    "mlp": lambda: _images("mlp", size=28, batch=128),
    "convnet": lambda: _images("convnet", size=16),
    "resnet20": lambda: _images("resnet20", size=16),
    "lstm": lambda: _texts("lstm"),
    "bilstm": lambda: _texts("bilstm"),
    "unet": _masks,
}
