"""The default run of every pipeline, over several seeds, compared with its strongest baseline.

Each run is the command that a user types, `python -m pipelines PIPELINE --seed N`, in a process of
its own whose processor time is measured. Runs go to a store of their own, so that no model of the
user's is replaced; one that is there already, of the same commit, is not trained again.

A run wins if it beats the strongest baseline on validation, so that it gets an alias, and the 95 %
interval of the paired difference on test lies beyond zero.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.processes import ROOT, ProcessFailedError
from pipelines import environment
from pipelines.catalog import PIPELINES
from serving.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_TAG = "benchmark"
_CPU_SECONDS = "benchmark/cpu_seconds"

console = Console(highlight=False)


@dataclass(frozen=True)
class Row:
    """The default run of one pipeline over seeds.

    Attributes:
        pipeline: Its name.
        data: Data set and examples of its training split.
        architecture: The network.
        parameters: Their number.
        seconds: Processor time of the whole command, by seed.
        metric: The score that is compared.
        greater_is_better: Whether it is better when greater.
        baseline: Names of the baselines that were the strongest on validation.
        validation: The network's score less that of the baseline on validation, by seed.
        test: The network's score on test, by seed.
        baseline_test: The baseline's score on test, by seed.
        margins: 95 % interval of the paired difference on test, by seed.
    """

    pipeline: str
    data: str
    architecture: str
    parameters: int
    seconds: tuple[float, ...]
    metric: str
    greater_is_better: bool
    baseline: str
    validation: tuple[float, ...]
    test: tuple[float, ...]
    baseline_test: tuple[float, ...]
    margins: tuple[tuple[float, float], ...]

    @property
    def wins(self) -> int:
        """Number of seeds that win on validation, and on test beyond the interval."""
        sign = 1 if self.greater_is_better else -1
        return sum(
            sign * difference > 0 and min(sign * low, sign * high) > 0
            for difference, (low, high) in zip(self.validation, self.margins, strict=True)
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the benchmark."""
    parser.add_argument("--only", nargs="+", choices=list(PIPELINES), default=list(PIPELINES))
    parser.add_argument("--seeds", type=int, default=5, help="(default: 5)")
    parser.add_argument(
        "--folder", default="mlruns/defaults", help="of the runs' store (default: mlruns/defaults)"
    )
    parser.add_argument("--page", default="", help="Markdown file to write, as docs/results.md")
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
    rows = [row(name, options) for name in options.only]
    console.print(table(rows))
    from benchmarks import report

    chosen = {name: str(value) for name, value in vars(options).items()}
    found, store = report.log_tables("defaults", chosen, [_record(each) for each in rows], {})
    if options.page:
        text = page(rows, options, report.machine())
        partial = Path(f"{options.page}.partial")
        partial.write_text(text)
        partial.replace(options.page)
    console.print(f"run        {found} in {store}", soft_wrap=True)


def row(pipeline: str, options: argparse.Namespace) -> Row:
    """Returns the results of one pipeline, trained where they are missing.

    Raises:
        ProcessFailedError: A run failed.
    """
    from mlflow import MlflowClient

    folder = Path(options.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = []
    for seed in range(options.seeds):
        done = _found(client, pipeline, seed, options.options) or _train(
            client, pipeline, seed, options.options, folder
        )
        seconds = done.data.metrics[_CPU_SECONDS]
        console.print(f"{pipeline}, seed {seed}: {seconds:.0f} s of processor time")
        runs.append(done)
    return _row(client, pipeline, runs)


def _train(client: MlflowClient, pipeline: str, seed: int, options: str, folder: Path) -> Run:
    """Runs the command, and adds its processor time to its run."""
    tags = ["--tag", f"{_TAG}={_tag(seed, options)}"]
    command = [sys.executable, "-m", "pipelines", pipeline, f"--seed={seed}", *options.split()]
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    log = folder / f"{pipeline}_{seed}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *tags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri},
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
    run = _runs(client, pipeline, seed, options)[0]
    client.log_metric(run.info.run_id, _CPU_SECONDS, used.ru_utime + used.ru_stime)
    return client.get_run(run.info.run_id)


def _found(client: MlflowClient, pipeline: str, seed: int, options: str) -> Run | None:
    """Returns a finished run of the same code."""
    if not Path(client.tracking_uri.removeprefix("sqlite:///")).exists():
        return None
    commit, changes = environment.code_version()
    for run in _runs(client, pipeline, seed, options):
        tags = run.data.tags
        same = (tags.get("code.commit"), tags.get("code.changed")) == (commit, str(bool(changes)))
        if same and not changes and _CPU_SECONDS in run.data.metrics:
            return run
    return None


def _runs(client: MlflowClient, pipeline: str, seed: int, options: str) -> list[Run]:
    """Returns the finished runs of this benchmark, the newest first."""
    experiment = client.get_experiment_by_name(pipeline)
    if experiment is None:
        return []
    chosen = f"tags.{_TAG} = '{_tag(seed, options)}' and attributes.status = 'FINISHED'"
    runs = client.search_runs([experiment.experiment_id], chosen, order_by=["start_time DESC"])
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def _tag(seed: int, options: str) -> str:
    return " ".join(["defaults", str(seed), *options.replace("'", "").split()])


def _row(client: MlflowClient, pipeline: str, runs: Sequence[Run]) -> Row:
    from pipelines.store import COMPARABLE

    first = runs[0]
    with tempfile.TemporaryDirectory() as folder:
        file = client.download_artifacts(first.info.run_id, COMPARABLE, folder)
        compared = json.loads(Path(file).read_text())
    metric, params = compared["metric"], first.data.params

    def each(name: str) -> tuple[float, ...]:
        return tuple(run.data.metrics[name] for run in runs)

    ends = (each(f"margin_test_{metric}_{end}") for end in ("low", "high"))
    return Row(
        pipeline=pipeline,
        data=f"{params['dataset']}, {int(params['data.train']):,} training examples",
        architecture=params["architecture"],
        parameters=int(params["model_parameters"]),
        seconds=each(_CPU_SECONDS),
        metric=metric,
        greater_is_better=compared["greater_is_better"],
        baseline=" or ".join(dict.fromkeys(run.data.tags["baseline"] for run in runs)),
        validation=each(f"margin_validation_{metric}"),
        test=each(f"test_{metric}"),
        baseline_test=each(f"baseline_test_{metric}"),
        margins=tuple(zip(*ends, strict=True)),
    )


def table(rows: Sequence[Row]) -> Table:
    """Returns the results for the console."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("pipeline", "score", "network", "baseline", "margin", "95 % interval", "wins"):
        shown.add_column(header, overflow="fold")
    for each in rows:
        shown.add_row(each.pipeline, *_scores(each))
    return shown


def page(rows: Sequence[Row], options: argparse.Namespace, machine: Mapping[str, Any]) -> str:
    """Returns the results as a page in Markdown."""
    command = f"python -m benchmarks defaults --seeds {options.seeds} --page {options.page}"
    if options.options:
        command += f" --options='{options.options}'"
    lines = [
        "# Results of the default runs",
        "",
        f"Written by `{command}` on {date.today()}, commit {environment.code_version()[0][:12]}: "
        f"each command ran with {_seeds(options.seeds)}, in a process of its own, on "
        f"{machine['cpus']} × {machine['processor']} with TensorFlow {machine['tensorflow']}. "
        "Data sets, networks and recipes were chosen by validation alone; this page is what looks "
        "at test.",
        "",
        "Scores are on test, mean ± standard deviation over seeds, as is the processor time of the "
        "whole command (data, baselines, training, evaluation, export, validation). The baseline "
        "is the strongest on validation. The margin is the network's score less the baseline's, "
        "and its interval is that of the paired difference on 200 resamples of test; the lowest "
        "and the highest end over seeds are shown. A seed wins if the network beats the baseline "
        "on validation, which is what gives it an alias, and its interval lies beyond zero.",
        "",
        "| command | data | network | processor time | score | network | strongest baseline | "
        "margin | 95 % interval | wins |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in rows:
        score, own, baseline, margin, interval, wins = _scores(each)
        cells = (
            f"`python -m pipelines {each.pipeline}`",
            each.data,
            f"`{each.architecture}`, {each.parameters:,} parameters",
            f"{spread(each.seconds, 0)} s",
            score,
            own,
            f"{each.baseline}: {baseline}",
            margin,
            interval,
            wins,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float], digits: int = 4) -> str:
    """Returns mean ± standard deviation; the value itself if there is one."""
    mean = f"{statistics.fmean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def _scores(each: Row) -> tuple[str, str, str, str, str, str]:
    """Returns the score's name, both scores, the margin, its interval, and how many seeds win."""
    margin = statistics.fmean(each.test) - statistics.fmean(each.baseline_test)
    low, high = min(low for low, _ in each.margins), max(high for _, high in each.margins)
    return (
        f"{each.metric.replace('_', ' ')} {'↑' if each.greater_is_better else '↓'}",
        spread(each.test),
        spread(each.baseline_test),
        f"{margin:+.4f}",
        f"{low:+.4f} … {high:+.4f}",
        f"{each.wins} of {len(each.margins)}",
    )


def _seeds(count: int) -> str:
    return "seed 0" if count == 1 else f"the seeds 0 to {count - 1}"


def _record(each: Row) -> dict[str, Any]:
    """Returns a line of `results.csv`."""
    return {
        **{name: value for name, value in vars(each).items() if not isinstance(value, tuple)},
        "cpu_seconds": statistics.fmean(each.seconds),
        "test": statistics.fmean(each.test),
        "baseline_test": statistics.fmean(each.baseline_test),
        "lowest": min(low for low, _ in each.margins),
        "highest": max(high for _, high in each.margins),
        "wins": each.wins,
    }
