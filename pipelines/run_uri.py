"""URIs of MLflow runs and registered models."""

from __future__ import annotations

import mlflow

from pipelines.errors import UserError
from pipelines.store_errors import is_missing


def run_id(uri: str) -> str:
    """Returns the ID of the run of `runs:/ID`, `models:/NAME@ALIAS` or `models:/NAME/VERSION`.

    Raises:
        UserError: There is no such model, alias or version; the message has those that there are.
        MlflowException: The registry cannot be read.
        ValueError: The URI has another form.
    """
    kind, _, rest = uri.partition(":/")
    rest = rest.strip("/")
    if kind == "runs" and rest:
        return rest
    if kind != "models" or not rest:
        raise ValueError(f"{uri} is neither runs:/… nor models:/…")
    client = mlflow.MlflowClient()
    name, at, alias = rest.partition("@")
    name, _, number = name.partition("/")
    try:
        found = (
            client.get_model_version_by_alias(name, alias)
            if at
            else client.get_model_version(name, number)
        )
    except mlflow.MlflowException as error:
        if not is_missing(error):
            raise
        lacks = f"alias {alias}" if at else f"version {number}" if number else "such version"
        raise UserError(f"{uri}: {_what_there_is(client, name, lacks)}") from error
    return found.run_id or ""


def _what_there_is(client: mlflow.MlflowClient, name: str, lacks: str) -> str:
    numbers = sorted(int(v.version) for v in client.search_model_versions(f"name = '{name}'"))
    if not numbers:
        return f"there is no registered model {name}"
    # A search leaves the aliases out.
    versions = [client.get_model_version(name, str(number)) for number in numbers]
    known = ", ".join(" ".join([str(each.version), *each.aliases]) for each in versions)
    return f"{name} has no {lacks}, only versions {known}; give models:/{name}/{numbers[-1]}"
