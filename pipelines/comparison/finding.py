"""Finding runs in the tracking store by what people call them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import mlflow
from mlflow.entities import Run, ViewType

from architectures.words import nearest
from pipelines.errors import UserError
from pipelines.run_uri import run_id
from pipelines.store_errors import is_missing

_PARENT = "mlflow.parentRunId"
_PAGE = 1000
_MIN_PREFIX = 4
_MAX_SHOWN = 5


def find(names: Sequence[str]) -> list[Run]:
    """Returns the run of each name.

    Args:
        names: Each an ID, its beginning where that is unique, the name of a run, `runs:/ID`,
            `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        UserError: There is no such run, or there are several; or a run is named twice.
    """
    runs = [_one(name) for name in names]
    for number, run in enumerate(runs):
        for earlier in range(number):
            if runs[earlier].info.run_id == run.info.run_id:
                raise UserError(f"{names[earlier]} and {names[number]} are the same run")
    return runs


def select(experiment: str, tags: Mapping[str, str], last: int) -> list[Run]:
    """Returns the `last` runs of an experiment that have all of `tags`, the newest last.

    Runs within others, as those of a sweep's trials, are left out, unless the tag
    `mlflow.parentRunId` asks for them.

    Args:
        experiment: Its name, or "" for all experiments.
        tags: Values by key.
        last: Maximum number of runs.

    Raises:
        UserError: There is no such experiment, or none of its runs has the tags.
    """
    if experiment:
        found = mlflow.get_experiment_by_name(experiment)
        if found is None:
            known = sorted(each.name for each in mlflow.search_experiments())
            raise UserError(
                f"there is no experiment {experiment!r}; {nearest(experiment, known)}there are "
                f"{', '.join(known)}"
            )
        experiments = [found.experiment_id]
    else:
        experiments = [each.experiment_id for each in mlflow.search_experiments()]
    chosen: list[Run] = []
    for run in _runs(experiments):
        own = run.data.tags
        nested = _PARENT in own and _PARENT not in tags
        if not nested and all(own.get(key) == value for key, value in tags.items()):
            chosen.append(run)
        if len(chosen) == last:
            break
    if not chosen:
        where = f"experiment {experiment}" if experiment else "the tracking store"
        having = "".join(f" with the tag {key}={value}" for key, value in tags.items())
        raise UserError(f"{where} has no run{having}")
    return chosen[::-1]


def _one(name: str) -> Run:
    if name.startswith(("runs:/", "models:/")):
        try:
            return _by_id(run_id(name), name)
        except ValueError as error:
            raise UserError(f"{name} leads to no run") from error
    if re.fullmatch(r"[0-9a-f]{32}", name):
        return _by_id(name, name)
    every = [each.experiment_id for each in mlflow.search_experiments()]
    # MLflow has no escape for the quotes that a string is in.
    quote = '"' if "'" in name else "'"
    found = [*_runs(every, f"attributes.run_name = {quote}{name}{quote}")]
    if not found and len(name) >= _MIN_PREFIX and re.fullmatch(r"[0-9a-f]+", name):
        found = [run for run in _runs(every) if run.info.run_id.startswith(name)]
    if not found:
        raise UserError(
            f"there is no run {name!r}; a run is an ID or its beginning, a run's name, runs:/ID, "
            "models:/NAME@ALIAS or models:/NAME/VERSION"
        )
    if len(found) > 1:
        ids = ", ".join(run.info.run_id[:8] for run in found[:_MAX_SHOWN])
        more = ", …" if len(found) > _MAX_SHOWN else ""
        raise UserError(
            f"{len(found)} runs are called {name!r}: {ids}{more}; give one of these instead"
        )
    return found[0]


def _by_id(identifier: str, name: str) -> Run:
    try:
        run = mlflow.get_run(identifier)
    except mlflow.MlflowException as error:
        if not is_missing(error):
            raise
        raise UserError(f"there is no run {name}") from error
    if run.info.lifecycle_stage != "active":
        raise UserError(f"the run {name} is deleted")
    return run


def _runs(experiments: list[str], filter_string: str = "") -> Iterator[Run]:
    """Yields active runs, the newest first."""
    client, token = mlflow.MlflowClient(), None
    while True:
        page = client.search_runs(
            experiments,
            filter_string,
            ViewType.ACTIVE_ONLY,
            max_results=_PAGE,
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return
