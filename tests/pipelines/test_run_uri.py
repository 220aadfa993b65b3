"""URIs of runs and registered models."""

from __future__ import annotations

import mlflow
import pytest

from pipelines.errors import UserError
from pipelines.run_uri import run_id


@pytest.mark.parametrize("uri", ["runs:/0123abc", "runs:/0123abc/"])
def test_the_uri_of_a_run_names_it(uri):
    assert run_id(uri) == "0123abc"


@pytest.mark.parametrize(
    "uri", ["runs:/", "models:/", "0123abc", "./folder", "https://localhost/1"]
)
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
    client.create_model_version("numbers", "somewhere", run.info.run_id)
    there = "only versions 1 champion, 2; give models:/numbers/2"
    for uri, message in (
        ("models:/numbers@challenger", f"numbers has no alias challenger, {there}"),
        ("models:/numbers/3", f"numbers has no version 3, {there}"),
        ("models:/numbers/latest", f"numbers has no version latest, {there}"),
        ("models:/numbers", f"numbers has no such version, {there}"),
        ("models:/others/1", "there is no registered model others"),
        ("models:/others@champion", "there is no registered model others"),
    ):
        with pytest.raises(UserError) as raised:
            run_id(uri)
        assert str(raised.value) == f"{uri}: {message}"
