"""`--resume`: the run that is meant, and the config that it goes on with."""

from __future__ import annotations

import tempfile
from dataclasses import fields, replace
from typing import Any

import mlflow

from pipelines import catalog, store, store_errors
from pipelines.cli import parse
from pipelines.config import Config
from pipelines.errors import UserError

LATEST = "latest"
# Options that change nothing in what is trained.
_FREE = (
    "resume",
    "figures",
    "run_name",
    "tag",
    "note",
    "data_dir",
    "manual_dir",
    "checkpoint_every",
    "diagnose",
    "strategy",
    "devices",
    "data_service",
    "cache",
)
_PARENT = "mlflow.parentRunId"


def resumed(pipeline: str, given: Config) -> Config:
    """Returns the config of the run that `given.resume` names, which becomes the run's ID.

    Options that stand beside `--resume` must be those of the run, or such as change nothing in what
    is trained. An option's default counts as not given.

    Raises:
        UserError: There is no such run, it cannot be resumed, or an option would change it.
    """
    with store_errors.explained(store.tracking_uri()):
        store.open_store(create=False)
        run = _run(pipeline, given.resume)
    run_id = run.info.run_id
    config = _config(pipeline, run_id)
    defaults = catalog.get(pipeline).defaults.parameters()
    theirs = config.parameters()
    changed = {
        name: value
        for name, value in given.parameters().items()
        if value != defaults.get(name) and name != "resume"
    }
    for name, value in changed.items():
        if name not in _FREE and value != theirs.get(name):
            raise UserError(
                f"--{name} cannot be changed by --resume: run {run_id} has "
                f"{theirs.get(name, 'none')}, not {value}; without --resume, a new run takes it"
            )
    free = {name: changed[name] for name in _FREE if name in changed}
    return _with(config, {**free, "resume": run_id})


def _run(pipeline: str, name: str) -> mlflow.entities.Run:
    """Returns the run of that ID, or the latest one, if it can be resumed."""
    if name == LATEST:
        found = mlflow.search_runs(
            search_all_experiments=True,
            filter_string=f"tags.pipeline = '{pipeline}'",
            order_by=["attributes.start_time DESC"],
            output_format="list",
        )
        runs = [run for run in found if _PARENT not in run.data.tags]
        if not runs:
            raise UserError(f"--resume latest: there is no run of {pipeline} yet")
        run = runs[0]
    else:
        run_id = name.removeprefix("runs:/").strip("/")
        try:
            run = mlflow.get_run(run_id)
        except mlflow.MlflowException as error:
            if not store_errors.is_missing(error):
                raise
            raise UserError(
                f"--resume must be the ID of a run, runs:/ID or latest, and there is no run "
                f"{run_id!r} in {store.shown(store.tracking_uri())}"
            ) from error
    run_id, tags = run.info.run_id, run.data.tags
    if run.info.lifecycle_stage != "active":
        raise UserError(f"run {run_id} was deleted; `mlflow runs restore` brings it back")
    if tags.get("pipeline", pipeline) != pipeline:
        raise UserError(
            f"run {run_id} is of another pipeline: {store.resume_command(tags['pipeline'], run_id)}"
        )
    if _PARENT in tags:
        raise UserError(f"run {run_id} is a part of run {tags[_PARENT]}; resume that one")
    if run.info.status == "FINISHED":
        raise UserError(f"run {run_id} has finished: there is nothing left to do")
    if run.info.status == "RUNNING" and (process := store.process_of(run)):
        raise UserError(f"run {run_id} still runs, as process {process} of this machine")
    return run


def _config(pipeline: str, run_id: str) -> Config:
    """Returns the config that a run has logged."""
    try:
        with tempfile.TemporaryDirectory() as scratch:
            file = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path="config.yaml", dst_path=scratch
            )
            return parse([pipeline, "--config", file])[1]
    except (OSError, mlflow.MlflowException) as error:
        raise UserError(f"run {run_id} has no config.yaml, so it cannot be resumed") from error


def _with(config: Config, values: dict[str, Any]) -> Config:
    """Returns the config with other values of options, those of its recipe among them."""
    own = {field.name for field in fields(config)}
    recipe = {name: value for name, value in values.items() if name not in own}
    chosen = {name: value for name, value in values.items() if name in own}
    return replace(config, **chosen, recipe=replace(config.recipe, **recipe))
