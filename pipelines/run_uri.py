"""URIs of MLflow runs and registered models."""

from __future__ import annotations

import mlflow


def run_id(uri: str) -> str:
    """Returns the ID of the run of `runs:/ID`, `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        MlflowException: There is no such version.
        ValueError: The URI has another form.
    """
    kind, _, name = uri.partition(":/")
    name = name.strip("/")
    if kind == "runs" and name:
        return name
    if kind != "models":
        raise ValueError(f"{uri} is neither runs:/… nor models:/…")
    client = mlflow.MlflowClient()
    if "@" in name:
        found = client.get_model_version_by_alias(*name.split("@", 1))
    else:
        name, _, number = name.partition("/")
        found = client.get_model_version(name, number)
    return found.run_id or ""
