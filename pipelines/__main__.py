"""The command `python -m pipelines PIPELINE [--option value …]`, which MLproject calls."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from architectures import pipes
from architectures.quiet import quiet
from pipelines import allocation, catalog, cli, mlproject, outcome
from pipelines.config import Config, check
from pipelines.errors import (
    StoreError,
    TrainingError,
    UnsentError,
    UserError,
    ValidationError,
    disk_is_full,
)
from pipelines.progress import console
from pipelines.training import cluster
from pipelines.words import as_called

if TYPE_CHECKING:
    from pipelines.run import Result

# Characters that a line of a list needs; a narrower terminal wraps it.
_WIDTH = 80
# From here on, names of scores and architectures fit side by side.
_WIDE = 100


def main(arguments: Sequence[str], prog: str = cli.PROGRAM) -> int:
    """Runs the command line, whose program help and usage call `prog`; returns its exit code.

    0: done. 1: training or the validation of the SavedModel failed. 2: user error.
    130: interrupted.
    """
    # `mlflow run` ends its child with SIGTERM when it is interrupted itself.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # MLflow's own progress bars for downloads would break into ours.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    allocation.keep_freed_memory()
    try:
        if not arguments or arguments[0] in ("-h", "--help"):
            _list_pipelines(prog)
            return 0
        if arguments[0] == "mlproject":
            return _write_mlproject(arguments[1:])
        if arguments[0] == "compare":
            return _compare(arguments[1:], prog)
        if arguments[0] == "ui":
            return _ui(arguments[1:], prog)
        if arguments[0] == "sweep":
            return _sweep(arguments[1:], prog)
        if arguments[0] == "export":
            return _export(arguments[1:], prog)
        if arguments[0] in ("data_service", "data-service"):
            return _with_tensorflow("pipelines.training.data_service").main(arguments[1:])
        pipeline, config = cli.parse(arguments, prog)
        if config.resume and cluster.workers_of(config.strategy, config.devices).is_chief:
            resuming = importlib.import_module("pipelines.resuming")
            config = resuming.resumed(pipeline, config)
        _check(pipeline, config)
        result = _run(pipeline, config)
    except UserError as error:
        _say(f"error: {error}")
        return 2
    except (TrainingError, ValidationError, UnsentError) as error:
        _say(f"error: {error}; nothing was registered{_notes(error)}")
        return 1
    except StoreError as error:
        _say(f"error: {error}{_notes(error)}")
        return 1
    except KeyboardInterrupt as error:
        _say(f"interrupted: the run was closed as KILLED, nothing was registered{_notes(error)}")
        return 130
    except Exception as error:
        if not disk_is_full(error):
            raise
        _say(f"error: the disk is full: {error}{_notes(error)}")
        return 1
    if result:
        outcome.show(config, result)
    return 0


def _say(message: str) -> None:
    """Prints an error in the words of the program that was called."""
    print(as_called(message), file=sys.stderr)


def _notes(error: BaseException) -> str:
    """Returns what a run has added to an error, as the command that goes on with it."""
    return "".join(f"; {note}" for note in getattr(error, "__notes__", ()))


def _check(pipeline: str, config: Config) -> None:
    """Raises `UserError` for wrong choices, as far as they show without TensorFlow."""
    check(config)
    workers = cluster.workers_of(config.strategy, config.devices)
    if len(workers.workers) > 1:
        if config.recipe.seeds > 1:
            raise UserError("--seeds does not go with several workers: train each seed by itself")
        if config.recipe.on_nan == "restore":
            raise UserError("--on_nan restore does not go with several workers")
        cluster.check_address(workers)
    if config.data_service:
        _with_tensorflow("pipelines.training.data_service").check(config.data_service)
    catalog.check_teacher(config)
    config.check_paths()
    # A pipeline of another package may have names of its own for its data.
    if pipeline in catalog.PIPELINES:
        # TFDS, which takes a moment, is imported for a run alone.
        lookup = importlib.import_module("pipelines.datasets.lookup")
        lookup.check(config.dataset, config.data_dir)


def _list_pipelines(prog: str) -> None:
    gap = 1 if console.width < _WIDE else 2  # The names take most of a narrow console.
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for header in ("pipeline", "task", "data set", "architecture"):
        table.add_column(header, no_wrap=header != "task", overflow="fold")
    for name, pipeline in catalog.pipelines().items():
        defaults = pipeline.defaults
        table.add_row(name, pipeline.summary, defaults.dataset, defaults.architecture)
    wide = Console(width=max(console.width, _WIDTH), highlight=False)
    wide.print(f"usage: {prog} PIPELINE [--help] [--option value …]")
    if prog == cli.PROGRAM:
        wide.print(f"       {prog} compare RUN RUN … [--help]")
        wide.print(f"       {prog} export RUN --variants NAME … [--help]")
        wide.print(f"       {prog} sweep PIPELINE --space FILE [--option value …]")
        wide.print(f"       {prog} ui [--port N]")
    wide.print()
    wide.print(table)
    for problem in catalog.foreign().problems.values():
        print(f"warning: {problem}", file=sys.stderr)


def _write_mlproject(arguments: Sequence[str]) -> int:
    if arguments:
        raise UserError(f"mlproject takes no arguments, but {arguments[0]!r} was given")
    files = {Path("MLproject"): mlproject.text()}
    if (folder := Path("pipelines/kubernetes")).is_dir():
        files[folder / "MLproject"] = mlproject.text(mlproject.CONTAINER)
    for file, text in files.items():
        partial = file.with_name(".MLproject.partial")
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, file)
        print(f"wrote {file.resolve()}")
    return 0


def _compare(arguments: Sequence[str], prog: str) -> int:
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    # MLflow, which takes a moment, is imported for what needs it alone.
    command = importlib.import_module("pipelines.comparison.command")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    command.main(arguments, prog)
    return 0


def _ui(arguments: Sequence[str], prog: str) -> int:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # MLflow reads it when it is imported.
    importlib.import_module("pipelines.ui").main(arguments, prog)
    return 0


def _sweep(arguments: Sequence[str], prog: str) -> int:
    # Optuna's space, and the database's URL, are for sweeps alone.
    sweep = importlib.import_module("pipelines.sweep.options").parse(arguments, prog)
    config = sweep.config({})
    several = config.strategy == "multi_worker"
    if several or len(cluster.workers_of(config.strategy, config.devices).workers) > 1:
        raise UserError(
            "a trial of a sweep trains on one machine: leave out --strategy multi_worker and "
            "TF_CONFIG, and start the same sweep on each machine"
        )
    _check(sweep.pipeline, config)
    winner = _loaded("pipelines.sweep.run", sweep.pipeline).run(sweep)
    if winner:
        outcome.show(winner.config, winner.result)
    return 0


def _export(arguments: Sequence[str], prog: str) -> int:
    # MLflow, which takes a moment, is imported for what needs it alone.
    command = importlib.import_module("pipelines.variants.command")
    run, names, max_loss = command.parse(arguments, prog)
    module = _loaded("pipelines.variants.export", run.data.tags.get("pipeline", ""))
    outcomes = []
    try:
        for each in module.export(run, names, max_loss):
            outcomes.append(each)
    except KeyboardInterrupt:
        done = ", ".join(each.name for each in outcomes if each.version) or "none"
        print(f"interrupted: of the variants, registered before: {done}", file=sys.stderr)
        return 130
    command.show(outcomes)
    return int(any(each.refusal for each in outcomes))


def _run(pipeline: str, config: Config) -> Result | None:
    """Runs the pipeline and returns its result; range tests and workers that help have none."""
    module = _loaded("pipelines.run", pipeline)
    if config.find_learning_rate:
        # The steps of several devices are those of one.
        config = replace(config, strategy="one", devices=0)
        outcome.show_range_test(*module.find_learning_rate(pipeline, config))
        return None
    if not cluster.workers_of(config.strategy, config.devices).is_chief:
        return _loaded("pipelines.assistant", pipeline).assist(pipeline, config)
    return module.run(pipeline, config)


def _loaded(name: str, pipeline: str) -> ModuleType:
    """Returns a module that needs TensorFlow, with which the task of a pipeline is loaded."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with console.status("loading TensorFlow"), quiet():
        module = importlib.import_module(name)
        importlib.import_module(catalog.get(pipeline).task.partition(":")[0])
    # Messages of libraries would break into the progress bars.
    for library in ("absl", "mlflow", "tensorflow", "urllib3"):
        logging.getLogger(library).setLevel(logging.ERROR)
    return module


def _with_tensorflow(module: str) -> ModuleType:
    """Imports a module that imports TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with console.status("loading TensorFlow"), quiet():
        return importlib.import_module(module)


if __name__ == "__main__":
    with pipes.may_close():
        sys.exit(main(sys.argv[1:]))
