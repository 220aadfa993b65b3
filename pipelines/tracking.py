"""MLflow tracking: how a run begins, goes on and ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import mlflow
import tensorflow as tf
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from pipelines import catalog, interruption, store, store_errors
from pipelines.config import Config
from pipelines.errors import DivergenceError, UserError, ValidationError
from pipelines.progress import console
from pipelines.tracked_run import TrackedRun

# Seconds for what is left to send when a run ends before its time.
_LAST_WAIT = 5.0


@contextmanager
def run(pipeline: str, config: Config, *, parent: TrackedRun | None = None) -> Iterator[TrackedRun]:
    """Runs its body inside an MLflow run, joining the one that `mlflow run` has started.

    Inside the body of another run it becomes a child of that run. It ends FINISHED, KILLED after
    Ctrl-C or SIGTERM, or FAILED after any other exception; the exception propagates, and the tag
    `failure` gives the reason, the tag `resume` the command that goes on with it. A run that ends
    with a `UserError` before anything was trained is deleted, unless `mlflow run` has started it.

    With `config.resume` it is that run, which goes on, and the one that `mlflow run` has started
    only points to it. A child of `parent` goes on, too, if there is one with the same parameters,
    and keeps its checkpoints until the parent ends.

    Raises:
        UserError: The tracking store cannot be used.
        StoreError: It fails the run.
    """
    uri, joined = store.tracking_uri(), "MLFLOW_RUN_ID" in os.environ
    outer = mlflow.active_run()
    # A server that starts again costs no run within another one.
    patience = store_errors.patient() if outer else nullcontext()
    with store_errors.explained(uri), patience:
        store.open_store()
        earlier = _earlier(pipeline, config, parent) if config.resume else ""
        if earlier and joined:
            _link_to(earlier)
        active = mlflow.start_run(
            run_id=earlier or None,
            experiment_id=None if earlier else store.experiment(pipeline, uri),
            run_name=config.run_name or (None if earlier else catalog.title(pipeline, config)),
            nested=outer is not None,
            tags={**_tags(pipeline, config), **store.process_tags()},
            log_system_metrics=_system_metrics(),
        )
    tracked = TrackedRun(
        active,
        uri,
        figures=config.figures,
        resumed=_count(active) if earlier else 0,
        warn=_warn,
    )
    resume = store.resume_command(pipeline, tracked.id)
    # A child is resumed with its parent.
    hint = {} if outer else {"resume": resume}

    def give_up() -> None:
        """Marks the run when SIGTERM finds the process in something that takes too long."""
        print(f"interrupted: the run was closed as KILLED; go on with {resume}", file=sys.stderr)
        client = mlflow.MlflowClient()
        for key, value in {"failure": "interrupted", **hint}.items():
            client.set_tag(tracked.id, key, value)
        client.set_terminated(tracked.id, "KILLED")

    with interruption.bounded(give_up) if not outer else nullcontext():
        try:
            with store_errors.of_a_run(uri):
                if earlier:
                    _reopen(tracked)
                tracked.config(pipeline, config)
                yield tracked
                tracked.sent()
                with store_errors.patient():
                    mlflow.end_run("FINISHED")
        except KeyboardInterrupt as error:
            _close(tracked, "KILLED", {"failure": "interrupted", **hint})
            if hint:
                error.add_note(f"go on with {resume}")
            raise
        except BaseException as error:
            wrong = isinstance(error, UserError) and not (tracked.trained or joined)
            reason = f"{type(error).__name__}: {error}"[:5000]
            _close(tracked, "FAILED", {"failure": reason} | ({} if wrong else hint))
            if wrong:
                mlflow.delete_run(tracked.id)
            elif hint and not isinstance(error, UserError | DivergenceError | ValidationError):
                error.add_note(f"go on with {resume}")
            raise
        tracked.outbox.close()
        if parent:
            parent.children.append(tracked)
            return
        for ended in (tracked, *tracked.children):
            ended.checkpoints.remove()


def _tags(pipeline: str, config: Config) -> dict[str, str]:
    """Returns tags by which people filter runs; MLflow shows them before those that follow."""
    values = {"dataset": config.dataset, "architecture": config.architecture}
    return {"pipeline": pipeline, **{key: value for key, value in values.items() if value}}


def _system_metrics() -> bool | None:
    """Returns True where a GPU's load is worth a look; None leaves it to MLflow's own variable.

    MLflow's pages show the load before the scores.
    """
    return True if tf.config.list_physical_devices("GPU") else None


def _earlier(pipeline: str, config: Config, parent: TrackedRun | None) -> str:
    """Returns the ID of the run to go on with; of a child, none if there is none."""
    if parent is None:
        return config.resume
    values = {name: str(value) for name, value in config.hyperparameters().items()}
    children = mlflow.search_runs(
        search_all_experiments=True,
        filter_string=f"tags.`mlflow.parentRunId` = '{parent.id}' and tags.pipeline = '{pipeline}'",
        output_format="list",
    )
    same = [child for child in children if values.items() <= child.data.params.items()]
    return same[0].info.run_id if same else ""


def _count(active: mlflow.entities.Run) -> int:
    """Returns how often a run is resumed now."""
    return 1 + int(active.data.tags.get("resumed", 0))


def _link_to(run_id: str) -> None:
    """Links the run that `mlflow run` has started to the one that goes on, and leaves it."""
    client, opened = mlflow.MlflowClient(), os.environ.pop("MLFLOW_RUN_ID")
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    client.set_tag(opened, "resumes", run_id)
    client.set_tag(opened, store.NOTE, f"Goes on with run {run_id}.")
    client.set_tag(run_id, "resumed_by", opened)


def _reopen(tracked: TrackedRun) -> None:
    """Marks a run as one that goes on."""
    tracked.outbox.log(tags={"resumed": tracked.resumed})
    tags = mlflow.get_run(tracked.id).data.tags
    for key in ("failure", "resume"):
        if key in tags:
            mlflow.delete_tag(key)


def _close(tracked: TrackedRun, status: str, tags: Mapping[str, str]) -> None:
    """Closes a run that has failed, even if the store cannot be reached or written to."""
    try:
        tracked.outbox.log(tags=tags)
        tracked.outbox.drain(_LAST_WAIT)
        mlflow.end_run(status)
    except (mlflow.MlflowException, SQLAlchemyError, OSError) as error:
        reason = str(error).partition("\n")[0]
        _warn(f"the run could not be closed as {status}: {reason}")
    tracked.checkpoints.finish(_LAST_WAIT)
    tracked.outbox.close()


def _warn(sentence: str) -> None:
    console.print(Text(f"note: {sentence}"), soft_wrap=True)
