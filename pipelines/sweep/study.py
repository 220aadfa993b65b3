"""The study of a sweep: its trials in a database, which several processes work on."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from mlflow.utils.file_utils import ExclusiveFileLock
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from pipelines import store
from pipelines.errors import UserError
from pipelines.sweep.options import Sweep, SweepOptions
from pipelines.sweep.sampling import Sampler, pruner
from pipelines.sweep.space import Range, Space

# Seconds between two signs of life of a trial's process, and after which it counts as killed.
_HEARTBEAT, _GRACE = 10, 60
# A trial that was killed, or interrupted, is tried again this many times.
_RETRIES = 2
# Seconds for which a process waits for a database that another one writes to.
_TIMEOUT = 60
# How often a database is opened whose tables another process creates, and the seconds between.
_ATTEMPTS, _PAUSE = 5, 0.5
_DEFINITION, _PROCESS = "definition", "process"
# Those that failed were killed or interrupted, and are tried again.
_BEGUN = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)


@dataclass(frozen=True)
class Opened:
    """A study in its database.

    Attributes:
        study: The study.
        url: Its database.
        new: Whether this process has created it.
    """

    study: optuna.Study
    url: str
    new: bool

    @property
    def place(self) -> str:
        """The database as it is shown, without a password."""
        return _without_password(self.url)


def open_study(sweep: Sweep, *, greater_is_better: bool, seed: int, epochs: int) -> Opened:
    """Opens the study of a sweep; it is created if there is none.

    Args:
        sweep: The sweep.
        greater_is_better: Whether a higher score is better.
        seed: Of the sampler.
        epochs: Epochs of a trial.

    Raises:
        UserError: The database cannot be used, or has another sweep by this name.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    url = storage_url(sweep.options)
    chosen: dict[str, Any] = {
        "sampler": Sampler(sweep, seed),
        "pruner": pruner(sweep.options, epochs),
    }
    definition = json.loads(json.dumps(sweep.definition))
    try:
        storage, new = _storage(url), True
        try:
            study = optuna.create_study(
                study_name=sweep.name,
                storage=storage,
                direction="maximize" if greater_is_better else "minimize",
                **chosen,
            )
            study.set_user_attr(_DEFINITION, definition)
        except optuna.exceptions.DuplicatedStudyError:
            study, new = optuna.load_study(study_name=sweep.name, storage=storage, **chosen), False
        known = study.user_attrs.get(_DEFINITION, definition)
    except (SQLAlchemyError, ImportError, OSError, RuntimeError) as error:
        place = _without_password(url)
        raise UserError(f"--storage {place} cannot be used: {_reason(error)}") from error
    if known != definition:
        raise UserError(
            f"the sweep {sweep.name} in {_without_password(url)} was begun with "
            f"{_difference(known, definition)}; choose another --sweep"
        )
    return Opened(study, url, new)


def winners(opened: Opened) -> optuna.Study:
    """Returns the study whose trials are the trainings of the best of another study."""
    return optuna.create_study(
        study_name=f"{opened.study.study_name}: winner",
        storage=_storage(opened.url),
        load_if_exists=True,
    )


def _without_password(url: str) -> str:
    return make_url(url).render_as_string(hide_password=True)


def _reason(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]


def storage_url(options: SweepOptions) -> str:
    """Returns the URL of the database of sweeps, by default beside a store in SQLite."""
    return options.storage or store.beside("sweeps.db")


def _storage(url: str) -> RDBStorage:
    address = make_url(url)
    # Two processes cannot create the tables of one database at once: in a file one waits for the
    # other, in a server's database one finds that tables have come into being meanwhile.
    if address.get_backend_name() == "sqlite":
        file = Path(address.database) if address.database else None
        exists = file is not None and file.parent.is_dir()
        with ExclusiveFileLock(f"{file}.lock") if exists else nullcontext():
            return _opened(url, {"connect_args": {"timeout": _TIMEOUT}})
    for _ in range(_ATTEMPTS - 1):
        with suppress(IntegrityError, ProgrammingError):
            return _opened(url)
        time.sleep(_PAUSE)
    return _opened(url)


def _opened(url: str, engine: Mapping[str, Any] | None = None) -> RDBStorage:
    with warnings.catch_warnings():
        # The heartbeat is experimental in name; its interface has been the same since Optuna 2.5.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RDBStorage(
            url,
            engine_kwargs=dict(engine or {}),
            heartbeat_interval=_HEARTBEAT,
            grace_period=_GRACE,
            heartbeat_stale_trial_callback=_retry(),
        )


def _difference(known: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Returns what differs between two definitions of a sweep."""
    for kind, what in (("space", "another range or other choices"), ("options", "another value")):
        for name in sorted(known[kind].keys() | own[kind].keys()):
            if known[kind].get(name) != own[kind].get(name):
                return f"{what} of {name}"
    return "another pipeline, or other --trial_epochs"


def suggest(trial: Trial, space: Space) -> dict[str, Any]:
    """Returns the values of a trial by the names of their options."""
    for name, parameter in space.items():
        if not isinstance(parameter, Range):
            trial.suggest_categorical(name, parameter.texts)
        elif parameter.whole:
            step = int(parameter.step or 1)
            ends = int(parameter.low), int(parameter.high)
            trial.suggest_int(name, *ends, step=step, log=parameter.log)
        else:
            low, high = parameter.low, parameter.high
            trial.suggest_float(name, low, high, step=parameter.step, log=parameter.log)
    return values(trial.params, space)


def values(params: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """Returns the values of options from what Optuna keeps; floats with six digits, as shown."""
    found = {}
    for name, value in params.items():
        parameter = space[name]
        if not isinstance(parameter, Range):
            found[name] = json.loads(value)
        elif parameter.whole:
            found[name] = int(value)
        else:
            found[name] = min(max(float(f"{value:.6g}"), parameter.low), parameter.high)
    return found


def run_trials(
    opened: Opened,
    trials: int,
    objective: Callable[[Trial], float],
    report: Callable[[optuna.Study, FrozenTrial], None],
) -> None:
    """Runs trials until a study has as many, those of other processes included.

    A trial whose process was killed, or that was interrupted, is tried again, but no more than
    twice.

    Args:
        opened: The study.
        trials: How many trials it is to have.
        objective: What a trial computes.
        report: Called with each trial when it has ended.
    """
    study = opened.study

    def within(trial: Trial) -> float:
        if _is_enough(study, trial, trials):
            raise _EnoughError
        begin(trial)
        return objective(trial)

    while True:
        for number in give_up_killed(study):
            _try_again(study, number)
        begun = study.get_trials(deepcopy=False, states=_BEGUN)
        if len(begun) >= trials:
            return
        try:
            study.optimize(within, n_trials=1, catch=_EnoughError, callbacks=[report])
        except optuna.exceptions.UpdateFinishedTrialError:
            continue  # Another process took the trial over, as this one had been silent.
        except KeyboardInterrupt:
            own = [one for one in study.get_trials(deepcopy=False) if _is_own(one)]
            if own and own[-1].state == TrialState.FAIL:
                _try_again(study, own[-1].number)
            raise


class _EnoughError(Exception):
    """Other processes have begun the last trials at the same time."""


def begin(trial: Trial) -> None:
    """Records which process works at a trial."""
    trial.set_user_attr(_PROCESS, store.process_tags())


def _is_enough(study: optuna.Study, trial: Trial, trials: int) -> bool:
    """Returns whether other processes have begun the last trials at the same time."""
    begun = study.get_trials(deepcopy=False, states=_BEGUN)
    return sum(one.number < trial.number for one in begun) >= trials


def running(study: optuna.Study) -> list[FrozenTrial]:
    """Returns the trials that processes work at, or have been killed at."""
    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))


def give_up_killed(study: optuna.Study) -> list[int]:
    """Ends the trials whose process was one of this machine and is no more, and returns them.

    Those of other machines end by Optuna's heartbeat.
    """
    killed = [one.number for one in running(study) if store.has_ended(one.user_attrs.get(_PROCESS))]
    return [number for number in killed if _give_up(study, number)]


def _give_up(study: optuna.Study, number: int) -> bool:
    """Ends a trial that is not done, if no other process has done so."""
    try:
        study.tell(number, state=TrialState.FAIL)
    except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
        return False
    return True


def _try_again(study: optuna.Study, number: int) -> None:
    """Has a trial that was killed or interrupted tried again, unless that was so before."""
    _retry()(study, study.get_trials(deepcopy=True)[number])


def _retry() -> RetryHeartbeatStaleTrialCallback:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return RetryHeartbeatStaleTrialCallback(max_retry=_RETRIES)


def _is_own(trial: FrozenTrial) -> bool:
    """Returns whether this process works, or has worked, at a trial."""
    return trial.user_attrs.get(_PROCESS) == store.process_tags()
