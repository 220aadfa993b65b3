"""What a tracking store says when it cannot be used, in one sentence and without passwords."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
import requests
from mlflow.utils.credentials import read_mlflow_creds
from sqlalchemy.exc import SQLAlchemyError

from pipelines.errors import StoreError, UserError, disk_is_full

_NAME, _PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
# Of an address as postgresql://user:password@host/database.
_WITH_PASSWORD = re.compile(r"(?<=://)([^/@:\s]*):[^/@\s]*@")
# What MLflow says if a server cannot be reached, or cannot answer for now.
_TEMPORARY = ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED")
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
# How often MLflow itself asks a server that is away: for a quarter of a minute, for two minutes.
_RETRIES, _FEW, _MANY = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3", "6"
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"  # In seconds.


def shown(text: str) -> str:
    """Returns an address, or a text that has some, without the passwords in them."""
    return _WITH_PASSWORD.sub(r"\1:***@", text)


def reason(error: BaseException) -> str:
    """Returns why a store cannot be used, without passwords."""
    status, (name, password) = _status(error), read_mlflow_creds()
    if status == 401 and name and password:
        return f"it does not accept the user {name} with the password of {_PASSWORD}"
    if status == 401:
        return f"it asks for a user and a password: set {_NAME} and {_PASSWORD}"
    if status == 403:
        return f"the user {name or 'of its address'} may not do that"
    if _is_away(error):
        return "no server answers there"
    if isinstance(error, ImportError):
        return f"the driver of its database is not installed: {error}"
    return shown(str(error).partition("\n")[0])


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Raises `UserError` with one sentence where its body cannot use the store at `uri`."""
    try:
        yield
    except (mlflow.MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        raise UserError(
            f"the tracking store {shown(uri)} cannot be used: {reason(error)}"
        ) from error


@contextmanager
def of_a_run(uri: str) -> Iterator[None]:
    """Raises `StoreError` with one sentence where the store fails a run that has begun."""
    try:
        yield
    except (mlflow.MlflowException, SQLAlchemyError, requests.RequestException) as error:
        if disk_is_full(error):
            raise
        raise StoreError(f"the tracking store {shown(uri)} failed: {reason(error)}") from error


def be_brief() -> None:
    """Lets MLflow ask a server that is away for seconds, unless the environment says otherwise."""
    os.environ.setdefault(_RETRIES, _FEW)
    os.environ.setdefault(_TIMEOUT, "30")


@contextmanager
def patient() -> Iterator[None]:
    """Lets MLflow ask for minutes in its body, unless the environment says otherwise."""
    before = os.environ.get(_RETRIES)
    if before == _FEW:
        os.environ[_RETRIES] = _MANY
    try:
        yield
    finally:
        if before == _FEW:
            os.environ[_RETRIES] = _FEW


def is_temporary(error: BaseException) -> bool:
    """Returns whether an error says that a server is away, or cannot answer for now."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    if isinstance(error, requests.RequestException | ConnectionError | TimeoutError):
        return True
    return isinstance(error, mlflow.MlflowException) and error.error_code in _TEMPORARY


def is_missing(error: mlflow.MlflowException) -> bool:
    """Returns whether an error says that there is no such thing, and nothing else."""
    return error.error_code in _MISSING


def exists_already(error: mlflow.MlflowException) -> bool:
    """Returns whether an error says that another process was first to create something."""
    return error.error_code == "RESOURCE_ALREADY_EXISTS"


def _status(error: BaseException) -> int:
    """Returns the HTTP status by which a server refuses a user; 0 for other errors."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return error.response.status_code
    codes = {"UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403}
    return codes.get(getattr(error, "error_code", ""), 0)


def _is_away(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, requests.ConnectionError | requests.Timeout):
            return True
        error = error.__cause__ or error.__context__
    return False
