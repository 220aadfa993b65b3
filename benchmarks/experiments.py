"""The experiments: which systems are compared, under which loads.

Systems take turns, round by round, so that a slow machine slows them all.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import recorded, systems
from benchmarks.load import Load, generate
from benchmarks.models import CONVNET, DENSE, HALF_PLUS_TWO, RESNET50, Model, ServedModel
from benchmarks.samples import Row
from benchmarks.systems import ModelServer, System

TRIVIAL = "half_plus_two"
LARGE = "half_plus_two beside large bodies"
BATCHING = "dense network"
IMAGES = "convnet, one image 32x32x3"
RESNET_ONE = "ResNet-50, one image 224x224x3"
RESNET_EIGHT = "ResNet-50, eight images 224x224x3"

BESIDE_BODIES, BESIDE_BUSY = "server, beside bodies of 6 MB", "server, beside a busy processor"
_LARGE_BATCH = 1_000_000

CONCURRENCY = (1, 8, 32, 64)
FRACTIONS = (0.25, 0.5, 0.75, 0.9)
_OPEN_CALLERS = 64
_MIN_ANSWERS = 5
_WARMUP_SECONDS = 0.3

# One thread: TensorFlow distributes a batch over the processors while the next one fills.
BATCHING_PARAMETERS = """
max_batch_size { value: 64 }
batch_timeout_micros { value: 8000 }
num_batch_threads { value: 1 }
max_enqueued_batches { value: 1000 }
"""


@dataclass(frozen=True)
class Bench:
    """The environment of experiments.

    Attributes:
        base: Folder of the SavedModels and of the servers' files.
        tensorflow: A process that runs TensorFlow.
        loader: A process that generates load.
        seconds: Length of one measurement.
        rounds: Repetitions of each measurement.
        workers: Processes of the server with several.
        mlflow: Whether `mlflow models serve` is included.
        real: Command of TensorFlow Serving's program; empty if there is none.
        report: Called with each result.
        fractions: Loads of open loops, as fractions of the system's rate in a closed loop.
        repository: Folder of the model repository whose models are measured.
    """

    base: Path
    tensorflow: Executor
    loader: Executor
    seconds: float
    rounds: int
    workers: int
    mlflow: bool
    real: Sequence[str]
    report: Callable[[Row], None]
    fractions: Sequence[float] = FRACTIONS
    repository: Path | None = None

    def compare(
        self,
        experiment: str,
        under_test: Sequence[System],
        load: Load | Callable[[System], Load],
    ) -> list[Row]:
        """Measures systems in turns, all under one load or each under its own."""
        loads = [load if isinstance(load, Load) else load(system) for system in under_test]
        rows = [
            Row(experiment, system.name, chosen, ())
            for system, chosen in zip(under_test, loads, strict=True)
        ]
        for system, chosen in zip(under_test, loads, strict=True):
            # The first requests wait for threads, queues and memory to be allocated.
            system.measure(Load(chosen.callers, min(_WARMUP_SECONDS, self.seconds)))
        for turn in range(self.rounds):
            for index, system in enumerate(under_test):
                sample, served = system.measure(replace(loads[index], seed=turn))
                row = rows[index]
                rows[index] = replace(row, rounds=(*row.rounds, sample), served=row.served + served)
        for row in rows:
            self.report(row)
        return rows

    def closed(self, callers: int) -> Load:
        return Load(callers, self.seconds, min_answers=_MIN_ANSWERS)

    def sweep(
        self, experiment: str, under_test: Sequence[System], concurrency: Sequence[int]
    ) -> list[Row]:
        """Measures closed loops."""
        return [
            row
            for callers in concurrency
            for row in self.compare(experiment, under_test, self.closed(callers))
        ]

    def open_loops(
        self, experiment: str, under_test: Sequence[System], closed: Sequence[Row]
    ) -> list[Row]:
        """Measures open loops, at fractions of each system's rate in a closed loop."""
        capacity = {
            system.name: max(row.rate for row in closed if row.system == system.name)
            for system in under_test
        }
        rows: list[Row] = []
        for fraction in self.fractions:
            able = [system for system in under_test if capacity[system.name]]
            rows += self.compare(
                experiment,
                able,
                lambda system, fraction=fraction: Load(  # type: ignore[misc]
                    _OPEN_CALLERS, self.seconds, rate=fraction * capacity[system.name]
                ),
            )
        return rows

    def serve(
        self, model: ServedModel, **options: Any
    ) -> contextlib.AbstractContextManager[ModelServer]:
        return systems.model_server(model, self.base, self.loader, **options)

    @contextlib.contextmanager
    def real_servers(self, model: Model, *, batching: str = "") -> Iterator[list[ModelServer]]:
        """Runs TensorFlow Serving's program, if there is one."""
        if not self.real:
            yield []
            return
        name = f"{systems.REAL}, batching" if batching else systems.REAL
        with self.serve(model, command=self.real, name=name, batching=batching) as server:
            yield [server]

    @contextlib.contextmanager
    def mlflow_servers(self, model: Model, batch: int) -> Iterator[list[System]]:
        """Runs `mlflow models serve`, unless it is skipped."""
        if not self.mlflow:
            yield []
            return
        with systems.mlflow_server(model, batch, self.base, self.tensorflow, self.loader) as server:
            yield [server]


def trivial(bench: Bench) -> list[Row]:
    """A model without cost, which measures the server alone."""
    model, batch = HALF_PLUS_TWO, 3
    several = max(2, bench.workers)
    with (
        bench.serve(model) as one,
        bench.serve(model, workers=several) as many,
        systems.echo(model, batch, bench.base, bench.loader) as echo,
        systems.echo(model, batch, bench.base, bench.loader, messages=True) as parsed,
        bench.real_servers(model) as real,
    ):
        servers = [one, many, *real]
        over_grpc = [*(server.predict(model, batch) for server in servers), echo, parsed]
        closed = bench.sweep(TRIVIAL, over_grpc, CONCURRENCY)
        alone = systems.in_process(model, batch, bench.base, bench.tensorflow)
        others = bench.sweep(TRIVIAL, [one.rest(model, batch), alone], CONCURRENCY[:2])
        return [*closed, *others, *bench.open_loops(TRIVIAL, over_grpc, closed)]


def large(bench: Bench) -> list[Row]:
    """Small calls over gRPC while the same server reads and writes large bodies over REST.

    That takes a processor; so the reference is the same server beside a process that takes one.
    """
    model = HALF_PLUS_TWO
    with bench.serve(model) as server:
        bodies = server.rest_target(model, _LARGE_BATCH)
        alone = server.predict(model, 3)
        under_test = [
            alone,
            systems.beside(
                alone, BESIDE_BODIES, lambda chosen: generate(bodies, Load(1, chosen.seconds))
            ),
            systems.beside(alone, BESIDE_BUSY, lambda chosen: _compute(chosen.seconds)),
        ]
        return bench.sweep(LARGE, under_test, CONCURRENCY[:2])


def _compute(seconds: float) -> None:
    """Keeps a processor busy."""
    code = f"import time; end = time.time() + {seconds}\nwhile time.time() < end: pass"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)


def batching(bench: Bench) -> list[Row]:
    """A network for which 64 rows take little longer than one."""
    with (
        bench.serve(DENSE) as off,
        bench.serve(DENSE, batching=BATCHING_PARAMETERS) as on,
        bench.real_servers(DENSE) as real_off,
        bench.real_servers(DENSE, batching=BATCHING_PARAMETERS) as real_on,
    ):
        both = [server.predict(DENSE, 1) for server in (off, on, *real_off, *real_on)]
        closed = bench.sweep(BATCHING, both, CONCURRENCY)
        return [*closed, *bench.open_loops(BATCHING, both, closed)]


def images(bench: Bench) -> list[Row]:
    """Small images: gRPC, REST and MLflow's server."""
    with (
        bench.serve(CONVNET) as server,
        bench.mlflow_servers(CONVNET, 1) as mlflow,
        bench.real_servers(CONVNET) as real,
    ):
        over_grpc = [own.predict(CONVNET, 1) for own in (server, *real)]
        under_test = [*over_grpc, server.rest(CONVNET, 1), *mlflow]
        alone = systems.in_process(CONVNET, 1, bench.base, bench.tensorflow)
        return bench.sweep(IMAGES, [alone, *under_test], CONCURRENCY[:2])


def resnet50(bench: Bench) -> list[Row]:
    """A large network, for which TensorFlow should take all the time."""
    rows: list[Row] = []
    with (
        bench.serve(RESNET50) as server,
        bench.mlflow_servers(RESNET50, 1) as mlflow,
        bench.real_servers(RESNET50) as real,
    ):
        for experiment, batch, others in (
            (RESNET_ONE, 1, [server.rest(RESNET50, 1), *mlflow]),
            (RESNET_EIGHT, 8, []),
        ):
            alone = systems.in_process(RESNET50, batch, bench.base, bench.tensorflow)
            over_grpc = [own.predict(RESNET50, batch) for own in (server, *real)]
            rows += bench.sweep(experiment, [alone, *over_grpc, *others], CONCURRENCY[:1])
    return rows


def repository(bench: Bench) -> list[Row]:
    """The models of a repository on a recorded example: gRPC, REST and TensorFlow in process."""
    rows: list[Row] = []
    assert bench.repository
    for model in recorded.models(bench.repository):
        with bench.serve(model) as server:
            alone = systems.in_process(model, 1, bench.base, bench.tensorflow)
            under_test = [alone, server.predict(model, 1), server.rest(model, 1)]
            rows += bench.sweep(f"{model.name}, one example", under_test, CONCURRENCY[:1])
    return rows


EXPERIMENTS: dict[str, tuple[Callable[[Bench], list[Row]], Model | None]] = {
    "trivial": (trivial, HALF_PLUS_TWO),
    "large": (large, HALF_PLUS_TWO),
    "batching": (batching, DENSE),
    "images": (images, CONVNET),
    "resnet50": (resnet50, RESNET50),
    "repository": (repository, None),
}
"""The experiments by name, with their models."""
