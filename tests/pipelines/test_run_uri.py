"""URIs of runs and registered models."""

from __future__ import annotations

import mlflow
import pytest

from pipelines.run_uri import run_id


@pytest.mark.parametrize("uri", ["runs:/0123abc", "runs:/0123abc/"])
def test_the_uri_of_a_run_names_it(uri):
    assert run_id(uri) == "0123abc"


@pytest.mark.parametrize("uri", ["runs:/", "0123abc", "./folder", "https://localhost/runs/1"])
def test_another_form_is_an_error(uri):
    with pytest.raises(ValueError, match=r"is neither runs:/… nor models:/…"):
        run_id(uri)


def test_a_registered_version_leads_to_its_run(store):
    client = mlflow.MlflowClient()
    client.create_registered_model("numbers")
    with mlflow.start_run() as run:
        client.create_model_version("numbers", "somewhere", run.info.run_id)
    client.set_registered_model_alias("numbers", "champion", "1")
    for uri in ("models:/numbers/1", "models:/numbers@champion"):
        assert run_id(uri) == run.info.run_id
    for uri in ("models:/numbers/2", "models:/numbers@challenger", "models:/others/1"):
        with pytest.raises(mlflow.MlflowException):
            run_id(uri)
