"""From the MLflow model registry to the folder that a model server watches."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import yaml

from serving.errors import UserError

DEFAULT_TRACKING_URI = "sqlite:///mlruns/mlflow.db"


@dataclass(frozen=True)
class Deployment:
    """A version in the model repository; `fresh` unless it was there already."""

    name: str
    version: int
    path: Path
    fresh: bool


def deploy(
    name: str, repository: Path, *, alias: str = "champion", version: int | None = None
) -> Deployment:
    """Copies a registered version to `REPOSITORY/NAME/VERSION`, whole or not at all.

    Args:
        name: Registered model name, which is also the served name.
        repository: The model repository.
        alias: Which version to take, unless `version` says it.
        version: Registered version.

    Raises:
        UserError: The store cannot be read, or there is no such model, alias or version.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI
    scheme, _, file = uri.partition("?")[0].partition(":///")
    if scheme == "sqlite" and not Path(file).exists():  # MLflow would create an empty one.
        raise UserError(f"there is no tracking store {uri} here; train a model first")
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    try:
        if version is None:
            version = int(client.get_model_version_by_alias(name, alias).version)
        client.get_model_version(name, str(version))
    except mlflow.MlflowException as error:
        wanted = f"version {version}" if version is not None else f"alias {alias!r}"
        raise UserError(f"no model {name!r} with {wanted} in {uri}") from error

    target = repository / name / str(version)
    if target.exists():
        return Deployment(name, version, target, fresh=False)
    target.parent.mkdir(parents=True, exist_ok=True)
    # No server takes the name for a version, and within one folder a rename is atomic.
    with (
        _cleared(target.parent),
        tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{version}.") as partial,
    ):
        model = Path(
            mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=partial)
        )
        saved_model = model / _saved_model_folder(model)
        try:
            os.replace(saved_model, target)
        except OSError:
            if not target.exists():
                raise
            # Another deploy of the same version was quicker.
            return Deployment(name, version, target, fresh=False)
    return Deployment(name, version, target, fresh=True)


@contextlib.contextmanager
def _cleared(folder: Path) -> Iterator[None]:
    """Removes what deploys that were killed have left, unless another one is at work there.

    Whoever works holds a lock on the folder; where there are no locks, leftovers stay, which no
    server sees.
    """
    try:
        import fcntl
    except ImportError:  # Windows.
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for child in folder.iterdir():
                if re.fullmatch(r"\.[0-9]+\..+", child.name):
                    shutil.rmtree(child, ignore_errors=True)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def _saved_model_folder(model: Path) -> str:
    """Returns where a downloaded MLflow model keeps its SavedModel."""
    flavors = yaml.safe_load((model / "MLmodel").read_text())["flavors"]
    folder = flavors.get("tensorflow", {}).get("saved_model_dir", "")
    if not (model / folder / "saved_model.pb").exists():
        raise UserError(f"the model holds no SavedModel; its flavours are: {', '.join(flavors)}")
    return folder
