"""The default run of every pipeline, over several seeds, compared with its strongest baseline.

Each run is the command that a user types, `python -m pipelines PIPELINE --seed N`, in a process of
its own whose processor time is measured. Runs go to a store of their own, so that no model of the
user's is replaced. One that is there already is not trained again if its config and its data are
those of today and its code had no uncommitted changes; the page names its commit.

A run wins if it beats the strongest baseline on validation, so that it gets an alias, and the 95 %
interval of the paired difference on test lies beyond zero.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from benchmarks.default_rows import Row, page, table
from benchmarks.processes import ROOT, ProcessFailedError
from pipelines import environment, metric_names
from pipelines.catalog import PIPELINES
from pipelines.cli import parse
from pipelines.tasks.distillation.config import DistillationConfig
from serving.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from pipelines.config import Config

_TAG = "benchmark"
_CPU_SECONDS = "benchmark/cpu_seconds"

console = Console(highlight=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument("--only", nargs="+", choices=list(PIPELINES), default=list(PIPELINES))
    parser.add_argument("--seeds", type=int, default=5, help="(default: 5)")
    parser.add_argument(
        "--folder", default="mlruns/defaults", help="of the runs' store (default: mlruns/defaults)"
    )
    parser.add_argument(
        "--page",
        default="",
        help="Markdown file to write, as docs/results.md; pipelines without runs keep their lines",
    )
    parser.add_argument(
        "--recorded", action="store_true", help="take the runs that are there, and train none"
    )
    parser.add_argument(
        "--note", default="", help="sentence for the page on how it was measured, as the load"
    )
    parser.add_argument(
        "--options", default="", help="more options of every run, as --options='--epochs 1'"
    )


def run(options: argparse.Namespace) -> None:
    """Trains what is missing, prints the table, logs it with MLflow, and writes the page.

    Raises:
        ProcessFailedError: A run failed.
        UserError: An option is out of its range, or the tracking store cannot be used.
    """
    if options.seeds < 1:
        raise UserError(f"--seeds must be at least 1, not {options.seeds}")
    if options.page and not Path(options.page).absolute().parent.is_dir():
        raise UserError(f"--page {options.page}: its folder does not exist")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    found = [row(name, options) for name in options.only]
    rows = [each for each in found if each]
    if not rows:
        raise UserError(f"--recorded: {options.folder} has no run of today's defaults")
    console.print(table(rows))
    from benchmarks import report

    chosen = {name: str(value) for name, value in vars(options).items()}
    logged, store = report.log_tables("defaults", chosen, [each.record() for each in rows], {})
    if options.page:
        written = Path(options.page)
        previous = written.read_text() if written.exists() else ""
        text = page(rows, _command(options), report.machine(), options.note, previous)
        partial = Path(f"{options.page}.partial")
        partial.write_text(text)
        partial.replace(written)
    console.print(f"run        {logged} in {store}", soft_wrap=True)


def _command(options: argparse.Namespace) -> str:
    """Returns the command without what does not change its results."""
    command = f"python -m benchmarks defaults --seeds {options.seeds}"
    if set(options.only) != set(PIPELINES):
        command += f" --only {' '.join(options.only)}"
    if options.options:
        command += f" --options={shlex.quote(options.options)}"
    if options.recorded:
        command += " --recorded"
    return f"{command} --page {options.page}"


def row(pipeline: str, options: argparse.Namespace) -> Row | None:
    """Returns the results of one pipeline, trained where they are missing; None without any.

    Raises:
        ProcessFailedError: A run failed.
        UserError: An option of the runs cannot be used.
    """
    folder = Path(options.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    # Of the default run with these options, which has the data of all seeds.
    today = functools.cache(lambda: _data_digest(*_parsed(pipeline, 0, options.options)))
    runs = []
    for seed in range(options.seeds):
        done = _found(folder, pipeline, seed, options.options, today)
        if not done and options.recorded:
            break
        done = done or _train(folder, pipeline, seed, options.options)
        seconds = done.data.metrics[_CPU_SECONDS]
        console.print(f"{pipeline}, seed {seed}: {seconds:.0f} s of processor time")
        runs.append(done)
    return _row(_client(folder), pipeline, runs) if runs else None


def _parsed(pipeline: str, seed: int, options: str) -> tuple[str, Config]:
    return parse([pipeline, f"--seed={seed}", *options.split()])


def _data_digest(pipeline: str, config: Config) -> str:
    """Returns the digest of a config's data set; a student's is that of its teacher's."""
    from pipelines.run import load

    if isinstance(config, DistillationConfig):
        pipeline, config = config.teacher, PIPELINES[config.teacher].defaults
    return load(pipeline, config)[1].digest


def _train(folder: Path, pipeline: str, seed: int, options: str) -> Run:
    """Runs the command, and adds its processor time to its run."""
    tags = ["--tag", f"{_TAG}={_tag(seed, options)}"]
    command = [sys.executable, "-m", "pipelines", pipeline, f"--seed={seed}", *options.split()]
    log = folder / f"{pipeline}_{seed}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *tags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": _uri(folder)},
        )
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if status:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
        raise ProcessFailedError(f"{' '.join(command)} failed; the end of {log}:\n{end}")
    run, client = _runs(folder, pipeline, seed, options)[0], _client(folder)
    client.log_metric(run.info.run_id, _CPU_SECONDS, used.ru_utime + used.ru_stime)
    return client.get_run(run.info.run_id)


def _found(
    folder: Path, pipeline: str, seed: int, options: str, today: Callable[[], str]
) -> Run | None:
    """Returns the newest finished run that counts today.

    Args:
        folder: That of the benchmark's store.
        pipeline: Its name.
        seed: Its seed.
        options: More of its options.
        today: Returns the digest of the data set as it is today.
    """
    commit, changes = environment.code_version()
    _, config = _parsed(pipeline, seed, options)
    for run in _runs(folder, pipeline, seed, options):
        tags = run.data.tags
        if tags.get("code.changed") != "False" or _CPU_SECONDS not in run.data.metrics:
            continue
        if tags["code.commit"] == commit and not changes:
            return run
        if _same_config(run, config) and run.data.params["data.digest"] == today():
            return run
    return None


def _same_config(run: Run, config: Config) -> bool:
    """Returns whether a run has the hyperparameters of a config.

    An option that is newer than the run has to be at the default of all pipelines.
    """
    general = type(config)().hyperparameters()
    return all(
        run.data.params.get(name, str(general.get(name))) == str(value)
        for name, value in config.hyperparameters().items()
    )


def _runs(folder: Path, pipeline: str, seed: int, options: str) -> list[Run]:
    """Returns the finished runs of this benchmark, the newest first."""
    if not (folder / "mlflow.db").exists():
        return []  # The first run creates the store, with its artifacts beside it.
    client = _client(folder)
    experiment = client.get_experiment_by_name(pipeline)
    if experiment is None:
        return []
    chosen = f"tags.{_TAG} = '{_tag(seed, options)}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment.experiment_id], chosen, order_by=["start_time DESC"])
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def _client(folder: Path) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(_uri(folder))


def _uri(folder: Path) -> str:
    return f"sqlite:///{folder / 'mlflow.db'}"


def _tag(seed: int, options: str) -> str:
    return " ".join(["defaults", str(seed), *options.replace("'", "").split()])


def _row(client: MlflowClient, pipeline: str, runs: Sequence[Run]) -> Row:
    from pipelines.store import COMPARABLE

    first = runs[0]
    with tempfile.TemporaryDirectory() as folder:
        file = client.download_artifacts(first.info.run_id, COMPARABLE, folder)
        compared = json.loads(Path(file).read_text())
        file = client.download_artifacts(first.info.run_id, "baselines.json", folder)
        baselines = json.loads(Path(file).read_text())
    metric, params = compared["metric"], first.data.params

    def each(name: str) -> tuple[float, ...]:
        return tuple(metric_names.read(run.data.metrics)[name] for run in runs)

    validation, test = (metric_names.score(split, metric) for split in ("validation", "test"))
    margin = metric_names.part(test, "margin")
    return Row(
        pipeline=pipeline,
        commits=tuple(dict.fromkeys(run.data.tags["code.commit"] for run in runs)),
        data=_data(params),
        architecture=params["architecture"],
        parameters=int(params["model_parameters"]),
        seconds=each(_CPU_SECONDS),
        metric=metric,
        greater_is_better=compared["greater_is_better"],
        baseline=" or ".join(dict.fromkeys(run.data.tags["baseline"] for run in runs)),
        baselines={
            name: (scores["validation"][metric], scores["test"][metric])
            for name, scores in baselines.items()
        },
        validation=each(metric_names.part(validation, "margin")),
        test=each(test),
        baseline_test=each(metric_names.part(test, "baseline")),
        margins=tuple(zip(*map(each, metric_names.bounds(margin)), strict=True)),
    )


def _data(params: Mapping[str, str]) -> str:
    """Returns the name of a data set and the sizes of its splits."""
    sizes = [f"{int(params[f'data.{split}']):,}" for split in ("train", "validation", "test")]
    return f"`{params.get('dataset') or 'that of the teacher'}`, {' / '.join(sizes)}"
