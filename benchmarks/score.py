"""Scoring files offline, compared with requests one by one and with `mlflow models predict`.

The same SavedModel gets the same random rows from `python -m serving score`, which reads Parquet;
over gRPC from the embedded server, a row a request and one request at a time; and from MLflow's
command, which reads JSON. The commands count from start to end; the server is running already.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import models, systems
from benchmarks.comparison import Comparison, console, in_turns, show_and_log
from benchmarks.models import Model
from benchmarks.processes import ROOT, ProcessFailedError, isolated
from serving.client import Client
from serving.errors import UserError

MODELS = {model.name: model for model in (models.DENSE, models.CONVNET)}
_GOAL = 1.0
_QUICK_ROWS, _QUICK_ROUNDS, _ONE_BY_ONE = 4000, 3, 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument(
        "--only", nargs="+", choices=list(MODELS), metavar="NAME", help=", ".join(MODELS)
    )
    parser.add_argument("--rows", type=int, default=20_000, help="of a file (default: 20000)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: 5)")
    parser.add_argument("--processes", type=int, default=1, help="of scoring (default: 1)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"one network, {_QUICK_ROWS} rows, {_QUICK_ROUNDS} rounds",
    )


def run(options: argparse.Namespace) -> None:
    """Measures, prints the table and logs the run with MLflow.

    Raises:
        UserError: An option is out of its range, or the tracking store cannot be used.
        ProcessFailedError: A command failed, or the server did not start.
    """
    for name in ("rows", "rounds", "processes"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} must be at least 1, not {getattr(options, name)}")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="foundry-benchmark-") as folder:
        found = comparisons(options, Path(folder))
    show_and_log("score", "Scoring files", vars(options), found)


def comparisons(options: argparse.Namespace, folder: Path) -> list[Comparison]:
    """Returns what was measured, in milliseconds a row."""
    rows = min(options.rows, _QUICK_ROWS) if options.quick else options.rows
    rounds = min(options.rounds, _QUICK_ROUNDS) if options.quick else options.rounds
    chosen = options.only or (list(MODELS)[:1] if options.quick else list(MODELS))
    found: list[Comparison] = []
    with isolated(folder / "tensorflow.log") as tensorflow:
        for name in chosen:
            with console.status(name):
                found += _measured(
                    MODELS[name], folder, rows, rounds, options.processes, tensorflow
                )
    return found


def _measured(
    model: Model, folder: Path, rows: int, rounds: int, processes: int, tensorflow: Executor
) -> list[Comparison]:
    """Returns the comparisons of a model."""
    tensorflow.submit(models.save_all, [model], folder).result()
    tensorflow.submit(_save_for_mlflow, model.path(folder), folder / model.name).result()
    inputs = model.inputs(rows)
    write(inputs, model, folder / model.name)
    own = partial(scored, model, folder, rows, processes)
    with (
        systems.model_server(model, folder, tensorflow) as server,
        Client(server.address, timeout=60) as client,
    ):
        single = partial(one_by_one, client, model, inputs[:_ONE_BY_ONE])
        to_server = in_turns(own=own, other=single, rounds=rounds)
    to_mlflow = in_turns(own=own, other=partial(predicted, model, folder, rows), rounds=rounds)
    return [
        Comparison(model.name, reference, "ms a row", *costs, goal=_GOAL)
        for reference, costs in (
            ("gRPC, one by one", to_server),
            ("mlflow models predict", to_mlflow),
        )
    ]


def write(inputs: np.ndarray, model: Model, folder: Path) -> None:
    """Writes rows as Parquet, with lists without dimensions, and as JSON."""
    flat = pa.FixedSizeListArray.from_arrays(inputs.reshape(-1), inputs[0].size)
    pq.write_table(pa.table({model.input: flat}), folder / "rows.parquet")
    (folder / "rows.json").write_text(json.dumps({"inputs": {model.input: inputs.tolist()}}))


def scored(model: Model, folder: Path, rows: int, processes: int) -> float:
    """Scores the rows with this project's command; returns milliseconds a row."""
    place = folder / model.name
    shutil.rmtree(place / "scores", ignore_errors=True)
    arguments = ["serving", "score", str(model.path(folder)), "--keep", "--input"]
    arguments += [str(place / "rows.parquet"), "--output", str(place / "scores")]
    arguments += ["--processes", str(processes), "--batch_size", "256"]
    return _timed(arguments) / rows


def predicted(model: Model, folder: Path, rows: int) -> float:
    """Scores the rows with MLflow's command; returns milliseconds a row."""
    place = folder / model.name
    arguments = ["mlflow", "models", "predict", "--model-uri", str(place / "mlflow")]
    arguments += ["--input-path", str(place / "rows.json"), "--content-type", "json"]
    arguments += ["--env-manager", "local", "--output-path", str(place / "predictions.json")]
    return _timed(arguments) / rows


def one_by_one(client: Client, model: Model, inputs: np.ndarray) -> float:
    """Sends a request for each row, each after the last one; returns milliseconds a row."""
    started = time.perf_counter()
    for row in inputs:
        client.predict(model.name, {model.input: row[None]})
    return 1000 * (time.perf_counter() - started) / len(inputs)


def _timed(arguments: Sequence[str]) -> float:
    """Runs a module; returns milliseconds."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ProcessFailedError(f"{' '.join(arguments)} failed: {done.stderr[-2000:]}")
    return 1000 * (time.perf_counter() - started)


def _save_for_mlflow(saved_model: Path, folder: Path) -> None:
    """Writes the model as pipelines register it: the SavedModel, for MLflow's loader."""
    import mlflow.models

    from pipelines import model_registry

    (folder / "mlflow").mkdir()
    model_registry.save_model(str(folder / "mlflow"), mlflow.models.Model(), saved_model)
