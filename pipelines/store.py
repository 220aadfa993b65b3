"""The MLflow store, the database with all runs and models, and the folder of their artifacts.

A store in SQLite keeps its artifacts in `artifacts/` beside the database, so that both can be moved
or copied together.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse

import mlflow
import psutil
from mlflow.entities import ExperimentTag
from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlLoggedModel, SqlRun
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from mlflow.utils.file_utils import ExclusiveFileLock, local_file_uri_to_path
from sqlalchemy import func, update
from sqlalchemy.engine import make_url
from sqlalchemy.orm import InstrumentedAttribute

from pipelines import catalog, store_errors
from pipelines.errors import UserError
from pipelines.store_errors import shown

DEFAULT_TRACKING_URI = "sqlite:///mlruns/mlflow.db"
# The artifact of a run that a comparison with others reads.
COMPARABLE = "test_resamples.json"
# The tag that MLflow shows as the description of a run or an experiment.
NOTE = "mlflow.note.content"
# What SQLAlchemy would decode in the path of a database.
_ENCODED = re.compile(r"%(?=[0-9a-fA-F]{2})")
# MLflow's pages show no tag that begins so.
_HIDDEN = "mlflow."
_PID, _STARTED = f"{_HIDDEN}process.id", f"{_HIDDEN}process.started"
_LOCK, _PARTIAL = ".{}.lock", ".{}.partial"


def tracking_uri() -> str:
    """Returns MLFLOW_TRACKING_URI, or else that of the store in `mlruns/`.

    The path of a database becomes absolute, so that processes in other folders find it, too.
    """
    uri = _chosen()
    database = _database(uri)
    return _sqlite(database, uri) if database else uri


def open_store(*, create: bool = True) -> str:
    """Points MLflow at the store, which is created if it is a missing database in SQLite.

    Runs of this machine whose process was killed are closed as FAILED.

    Returns:
        The tracking URI.

    Raises:
        UserError: The store cannot be used; the environment names a run of one that is not here;
            or there is none and none is to be created.
    """
    uri = tracking_uri()
    with store_errors.explained(uri):
        _open(uri, create)
    return uri


def _open(uri: str, create: bool) -> None:
    if database := _database(uri):
        if not database.exists():
            if not create:
                raise UserError(f"there is no store {shown(uri)}, so there is no run in it")
            _refuse_to_create_for_a_run_elsewhere()
            _create(database)
        _follow(database, uri)
    else:
        store_errors.be_brief()
    # MLflow would print addresses with their passwords.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    mlflow.set_tracking_uri(uri)
    _close_killed_runs()


def experiment(name: str, uri: str) -> str | None:
    """Returns the experiment of that name, or none if the environment names a run or experiment."""
    if "MLFLOW_RUN_ID" in os.environ or "MLFLOW_EXPERIMENT_ID" in os.environ:
        return None
    if known := mlflow.get_experiment_by_name(name):
        return known.experiment_id
    database = _database(uri)
    # Where there is no such folder, somebody else has created the store, with another place.
    own = _artifacts(database) / name if database and _artifacts(database).is_dir() else None
    try:
        return mlflow.create_experiment(name, str(own) if own else None)
    except mlflow.MlflowException as error:
        known = mlflow.get_experiment_by_name(name)
        if not known or not store_errors.exists_already(error):
            raise
        return known.experiment_id  # Another process was first.


def process_tags() -> dict[str, str]:
    """Returns the tags by which a later command finds out whether a run's process still runs."""
    process = psutil.Process()
    return {**_machine(), _PID: str(process.pid), _STARTED: f"{process.create_time():.2f}"}


def resume_command(pipeline: str, run_id: str) -> str:
    """Returns the command that goes on with a run."""
    return f"python -m pipelines {pipeline} --resume {run_id}"


def process_of(run: mlflow.entities.Run) -> int | None:
    """Returns the number of the process of a run, if it is one of this machine that still runs."""
    tags = _hidden(run.data.tags)
    if not _machine().items() <= tags.items() or _PID not in tags:
        return None
    pid = int(tags[_PID])
    return pid if _runs(pid, float(tags[_STARTED])) else None


def local_folder(artifacts: str) -> Path | None:
    """Returns the folder of artifacts on this machine, or none if they are elsewhere."""
    if urlparse(artifacts).scheme not in ("", "file"):
        return None
    return Path(local_file_uri_to_path(artifacts))


def state_folder(kind: str, run_id: str) -> Path:
    """Returns a folder on this machine for what a run of a server elsewhere keeps here."""
    database = _database(DEFAULT_TRACKING_URI)
    assert database is not None
    return database.parent / kind / run_id


def has_ended(tags: Mapping[str, str] | None) -> bool:
    """Returns whether the process of such tags was one of this machine, and runs no more."""
    tags = _hidden(tags or {})
    if not _machine().items() <= tags.items():
        return False
    return not _runs(int(tags[_PID]), float(tags[_STARTED]))


def beside(file: str) -> str:
    """Returns the URI of another SQLite database: beside the store, or in `mlruns/` of a server."""
    database = _database(tracking_uri()) or _database(DEFAULT_TRACKING_URI)
    assert database is not None
    database.parent.mkdir(exist_ok=True)
    return _sqlite(database.with_name(file))


def _chosen() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI


def _database(uri: str) -> Path | None:
    """Returns the file of a store in SQLite, or none if the store is something else."""
    if not uri.startswith("sqlite"):
        return None
    file = make_url(uri).database
    if not file or file == ":memory:":
        return None
    path = Path(file)
    return path.parent.resolve() / path.name


def _sqlite(database: Path, like: str = "sqlite://") -> str:
    """Returns the URI of a database, with the options of another URI.

    MLflow creates the folder that it reads in a URI, without decoding it. So only what SQLAlchemy
    would not read as it is gets encoded: no umlaut, and no apostrophe.
    """
    path = _ENCODED.sub("%25", str(database)).replace("?", "%3F")
    scheme, options = like.partition(":")[0], "".join(like.partition("?")[1:])
    return f"{scheme}:///{path}{options}"


def _artifacts(database: Path) -> Path:
    return database.parent / "artifacts"


def _refuse_to_create_for_a_run_elsewhere() -> None:
    """`mlflow run` of a Git URI starts the project's code in a folder of its own."""
    if os.environ.get("MLFLOW_RUN_ID"):
        raise UserError(
            f"MLFLOW_RUN_ID names a run, but its store {_chosen()} is not in {Path.cwd()}; before "
            "`mlflow run`, set MLFLOW_TRACKING_URI with an absolute path, such as "
            "sqlite:///$PWD/mlruns/mlflow.db"
        )


def _create(database: Path) -> None:
    """Creates a store as a whole, in one process of those that want to."""
    database.parent.mkdir(exist_ok=True)
    lock = database.with_name(_LOCK.format(database.name))
    partial = database.with_name(_PARTIAL.format(database.name))
    with ExclusiveFileLock(str(lock)):  # The lock ends with the process, even if that is killed.
        if database.exists():
            return
        try:
            _remove(partial)  # Of a process that was killed.
            _fill(partial, _artifacts(database))
            os.replace(partial, database)
        finally:
            _remove(partial)
    lock.unlink(missing_ok=True)  # Whoever waits for it will find the store.


def _remove(partial: Path) -> None:
    """Removes a database with SQLite's journal of it."""
    for file in partial.parent.glob(f"{partial.name}*"):
        file.unlink(missing_ok=True)


def _fill(database: Path, artifacts: Path) -> None:
    """Creates a store with an experiment per pipeline, all with artifacts in one folder.

    `mlflow run` writes into the store before any code of the project runs; experiments that it
    would have to create would keep their artifacts elsewhere.
    """
    artifacts.mkdir(exist_ok=True)
    store = SqlAlchemyStore(_sqlite(database), str(artifacts))
    for name, pipeline in catalog.pipelines().items():
        about = [ExperimentTag(NOTE, f"{pipeline.summary}: its training runs.")]
        store.create_experiment(name, str(artifacts / name), about)
    store.engine.dispose()


def _follow(database: Path, uri: str) -> None:
    """Tells a store that was moved, or copied, where its artifacts are: beside the database.

    MLflow keeps absolute paths. That of the experiment `Default` shows where the store was; a store
    that somebody else has created is left as it is.
    """
    here = _artifacts(database)
    if not here.is_dir():
        return
    with SqlAlchemyStore(uri, str(here)).ManagedSessionMaker() as session:
        default = session.get(SqlExperiment, int(SqlAlchemyStore.DEFAULT_EXPERIMENT_ID))
        before = Path(default.artifact_location).parent if default else here
        if before == here or before.name != here.name:
            return
        columns: tuple[InstrumentedAttribute[str | None], ...] = (
            SqlExperiment.artifact_location,
            SqlRun.artifact_uri,
            SqlLoggedModel.artifact_location,
            SqlModelVersion.source,
            SqlModelVersion.storage_location,
        )
        for column in columns:
            moved = str(here) + func.substr(column, len(str(before)) + 1)
            inside = column.startswith(f"{before}/", autoescape=True)
            session.execute(update(column.class_).where(inside).values({column: moved}))


def _close_killed_runs() -> None:
    """Closes runs of this machine as FAILED if their process was killed before it could do so."""
    runs = mlflow.search_runs(
        search_all_experiments=True,
        filter_string="attributes.status = 'RUNNING'",
        output_format="list",
    )
    client, here = mlflow.MlflowClient(), _machine().items()
    for run in runs:
        tags = _hidden(run.data.tags)
        if not here <= tags.items() or _runs(int(tags[_PID]), float(tags[_STARTED])):
            continue
        # It may have ended in the usual way since the search.
        if client.get_run(run.info.run_id).info.status != "RUNNING":
            continue
        reason = f"process {tags[_PID]} on {socket.gethostname()} ended without closing the run"
        if pipeline := tags.get("pipeline"):
            reason += f"; {resume_command(pipeline, run.info.run_id)} goes on with it"
        client.set_tag(run.info.run_id, "failure", reason)
        client.set_terminated(run.info.run_id, "FAILED")


def _runs(pid: int, started: float) -> bool:
    """Returns whether a process still runs; its number may be another one's by now."""
    try:
        # When a process has started is counted from the system's own start, which clocks correct.
        process = psutil.Process(pid)
        same = abs(process.create_time() - started) < 60
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _hidden(tags: Mapping[str, str]) -> dict[str, str]:
    """Returns tags by their names of now; earlier ones of a process were shown."""
    return {
        f"{_HIDDEN}{name}" if name.startswith("process.") else name: value
        for name, value in tags.items()
    }


def _machine() -> dict[str, str]:
    """Returns the tags of this machine, and of this container, which counts processes by itself."""
    namespace = Path("/proc/self/ns/pid")
    container = (
        {f"{_HIDDEN}process.namespace": os.readlink(namespace)} if namespace.exists() else {}
    )
    return {f"{_HIDDEN}process.host": socket.gethostname(), **container}
