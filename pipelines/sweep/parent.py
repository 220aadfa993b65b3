"""The MLflow run of a sweep, in which its trials are nested; several processes work on it."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import mlflow
import optuna
from optuna.trial import TrialState

from pipelines import metric_names, store, store_errors
from pipelines.config import Config
from pipelines.errors import StoreError, UnsentError
from pipelines.style import DPI
from pipelines.sweep import study as studies
from pipelines.sweep.figures import figures
from pipelines.sweep.options import Sweep
from pipelines.sweep.space import Space
from pipelines.sweep.study import Opened
from pipelines.sweep.trial import FAILURE, RUN

_PARENT = "run"
# Seconds for which a process waits for the one that creates the run.
_WAIT = 30.0


@contextmanager
def parent_run(sweep: Sweep, opened: Opened, config: Config) -> Iterator[str]:
    """Runs its body inside the run of a sweep, which it creates or goes on with.

    A run that `mlflow run` has started becomes the run of a new sweep; it is linked to the run of
    one that exists. At the end the run is FINISHED; KILLED after Ctrl-C, or FAILED after another
    exception; RUNNING while other processes work on the sweep.

    Yields:
        The ID of the run.

    Raises:
        UserError: The tracking store cannot be used, or does not have the run of the sweep.
        StoreError: It fails the sweep.
    """
    uri, joined = store.tracking_uri(), os.environ.get("MLFLOW_RUN_ID", "")
    with store_errors.explained(uri):
        experiment = store.experiment(sweep.pipeline, uri)
        os.environ.pop("MLFLOW_RUN_ID", None)
        known = opened.study.user_attrs.get(_PARENT) if opened.new else _known(opened.study)
        active = mlflow.start_run(
            run_id=known or joined or None,
            experiment_id=experiment,
            run_name=None if known or joined else config.run_name or f"sweep {sweep.name}",
            tags={**store.process_tags(), "sweep": sweep.name},
        )
    run_id: str = active.info.run_id
    if known:
        _go_on(sweep, run_id, joined)
    else:
        _describe(sweep, config)
        opened.study.set_user_attr(_PARENT, run_id)
    try:
        with store_errors.of_a_run(uri):
            yield run_id
            with store_errors.patient():
                _end(opened.study, "FINISHED")
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if killed else f"{type(error).__name__}: {error}"[:5000]
        if killed or isinstance(error, StoreError | UnsentError):
            error.add_note("the same command goes on with the sweep")
        with suppress(mlflow.MlflowException, OSError):  # It may be what has failed.
            if not studies.running(opened.study):
                mlflow.set_tag("failure", reason)
            _end(opened.study, "KILLED" if killed else "FAILED")
        raise


def _known(study: optuna.Study) -> str | None:
    """Returns the run of a study, for which the process that creates it may need a moment."""
    ends = time.monotonic() + _WAIT
    while (found := study.user_attrs.get(_PARENT)) is None and time.monotonic() < ends:
        time.sleep(0.2)
    return found


def _describe(sweep: Sweep, config: Config) -> None:
    """Logs the options that all trials share, the space, and how it is searched."""
    options = sweep.options
    mlflow.set_tags(
        {**config.tags, "sweep.sampler": options.sampler, "sweep.pruner": options.pruner}
    )
    if config.note:
        mlflow.set_tag("mlflow.note.content", config.note)
    active = mlflow.active_run()
    assert active is not None
    known = mlflow.get_run(active.info.run_id).data.params
    shared = {
        name: value for name, value in config.hyperparameters().items() if name not in sweep.space
    }
    values = {"pipeline": sweep.pipeline, **shared}
    mlflow.log_params({name: value for name, value in values.items() if name not in known})
    mlflow.log_artifact(options.space)


def _go_on(sweep: Sweep, run_id: str, joined: str) -> None:
    if "failure" in mlflow.get_run(run_id).data.tags:
        mlflow.delete_tag("failure")
    if joined:
        client = mlflow.MlflowClient()
        client.set_tag(joined, "sweep", sweep.name)
        client.set_tag(joined, "mlflow.note.content", f"Works on the sweep of run {run_id}.")


def _end(study: optuna.Study, status: str) -> None:
    mlflow.end_run("RUNNING" if studies.running(study) else status)


def hold(run_id: str) -> None:
    """Marks the run as one that this process works on, whatever became of others."""
    client = mlflow.MlflowClient()
    with suppress(mlflow.MlflowException, OSError):  # A server that is away ends no sweep.
        for key, value in store.process_tags().items():
            client.set_tag(run_id, key, value)
        client.update_run(run_id, "RUNNING")


def log_best(study: optuna.Study, number: int, score: str) -> None:
    """Logs the best score so far, at the number of a trial."""
    if any(trial.state == TrialState.COMPLETE for trial in study.get_trials(deepcopy=False)):
        with suppress(mlflow.MlflowException, OSError):
            mlflow.log_metric(metric_names.part(score, "best"), study.best_value, step=number)


def log_trials(study: optuna.Study, space: Space, score: str) -> None:
    """Logs the table of trials, and the figures of the sweep."""
    mlflow.log_text(table(study, space, score), "trials.csv")
    for name, figure in figures(study, space, metric_names.words(score)):
        mlflow.log_figure(figure, f"figures/{name}.png", save_kwargs={"dpi": DPI})


def table(study: optuna.Study, space: Space, score: str) -> str:
    """Returns all trials as CSV: number, state, score, options, epochs, run and what went wrong."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", "state", score, *space, "epochs", RUN, FAILURE])
    for trial in study.get_trials(deepcopy=False):
        complete = trial.state == TrialState.COMPLETE
        values = studies.values(trial.params, space)
        writer.writerow(
            [
                *(trial.number, trial.state.name.lower(), trial.value if complete else ""),
                *(values.get(name, "") for name in space),
                len(trial.intermediate_values),
                *(trial.user_attrs.get(key, "") for key in (RUN, FAILURE)),
            ]
        )
    return file.getvalue()
