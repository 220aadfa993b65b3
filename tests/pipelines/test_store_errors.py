"""What is said of a store that cannot be used."""

from __future__ import annotations

import os

import mlflow
import pytest
import requests
from mlflow.utils.rest_utils import MlflowHostCreds, http_request_safe, verify_rest_response

from pipelines import store_errors
from pipelines.errors import StoreError, UserError
from serving.engines.ports import free_port

RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"


def refused(status: int, body: str = "") -> mlflow.MlflowException:
    """Returns what MLflow makes of a server's answer."""
    answer = requests.Response()
    answer.status_code, answer._content = status, body.encode()
    with pytest.raises(mlflow.MlflowException) as raised:
        verify_rest_response(answer, "/api/2.0/mlflow/runs/get")
    return raised.value


def unreachable() -> mlflow.MlflowException:
    """Returns what MLflow makes of a port that nothing listens on."""
    nowhere = MlflowHostCreds(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(mlflow.MlflowException) as raised:
        http_request_safe(nowhere, "/api/2.0/mlflow/runs/get", "GET", max_retries=0)
    return raised.value


@pytest.fixture
def somebody(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")


def test_a_refusal_says_what_to_set(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # Without ~/.mlflow/credentials.
    assert store_errors.reason(refused(401)) == (
        "it asks for a user and a password: set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD"
    )


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "it does not accept the user somebody with the password of MLFLOW_TRACKING_PASSWORD"),
        (403, "the user somebody may not do that"),
    ],
)
def test_a_refusal_names_the_user(somebody, status, reason):
    assert store_errors.reason(refused(status)) == reason
    answer = requests.Response()
    answer.status_code = status
    assert store_errors.reason(requests.HTTPError(response=answer)) == reason


def test_other_failures_are_told_in_a_line_without_passwords():
    error = mlflow.MlflowException("postgresql://me:secret@host is full\nand more")
    assert store_errors.reason(error) == "postgresql://me:***@host is full"
    assert store_errors.reason(unreachable()) == "no server answers there"


def test_before_a_run_a_missing_driver_is_a_user_error():
    with (
        pytest.raises(UserError, match="cannot be used: the driver of its database is not inst"),
        store_errors.explained("postgresql://me:secret@host/db"),
    ):
        raise ModuleNotFoundError("No module named 'psycopg'")


def test_in_a_run_a_failing_store_is_one_sentence():
    with (
        pytest.raises(StoreError, match=r"^the tracking store http://me:\*\*\*@there failed: no"),
        store_errors.of_a_run("http://me:secret@there"),
    ):
        raise unreachable()


def test_patience_is_more_than_usual_unless_somebody_has_chosen(monkeypatch):
    monkeypatch.delenv(RETRIES, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    store_errors.be_brief()
    usual = int(os.environ[RETRIES])
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    with store_errors.patient():
        assert int(os.environ[RETRIES]) > usual
        with store_errors.patient():
            assert int(os.environ[RETRIES]) > usual
    assert int(os.environ[RETRIES]) == usual
    monkeypatch.setenv(RETRIES, "1")
    with store_errors.patient():
        assert os.environ[RETRIES] == "1"
    monkeypatch.delenv(RETRIES)
