"""The model to score with: a version of the registry, of a repository, or a SavedModel's folder."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.message import DecodeError

from serving.client import calls
from serving.client.calls import Signature
from serving.client.traffic import STABLE
from serving.errors import UserError
from serving.protocol import messages
from serving.rollout import models_config
from serving.rollout.admission import admit
from serving.rollout.model_repository import Repository

_URI = re.compile(r"models:/([^/@]+)(?:@([^/@]+)|/(\d+))")
_SAVED_MODEL = "saved_model.pb"


@dataclass(frozen=True)
class Model:
    """A SavedModel and where it comes from.

    Attributes:
        name: Its name.
        version: Its version; empty where it has none.
        source: Its version in the registry as a URI, or its folder.
        folder: Folder of the SavedModel.
        digest: SHA-256 of its files.
    """

    name: str
    version: str
    source: str
    folder: Path
    digest: str

    def __str__(self) -> str:
        return f"{self.name} version {self.version}" if self.version else self.name


def find(
    named: str,
    repository: Repository,
    cache: Path,
    *,
    version: int | None = None,
    label: str | None = None,
    allowed_ops: Collection[str] = (),
) -> Model:
    """Returns the model that is meant, checked as before a deployment.

    Args:
        named: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, a SavedModel's folder, or the name of
            a model in the repository.
        repository: The model repository.
        cache: Folder for files that are downloaded from a registry; replaced.
        version: A version of the repository.
        label: A label of the repository instead; by default `stable`.
        allowed_ops: Unsafe ops that it may have.

    Raises:
        UserError: There is no such model, or it has unsafe ops that are not allowed.
        RolloutError: It cannot be downloaded, or its files have changed since it was registered
            or deployed.
    """
    chosen = "--version" if version is not None else "--label" if label else ""
    if named.startswith("models:"):
        if chosen:
            raise UserError(f"{named} names a version already; leave out {chosen}")
        return _registered(named, cache, allowed_ops)
    folder = Path(named)
    if (folder / _SAVED_MODEL).exists():
        if chosen:
            raise UserError(f"{named} is the folder of one SavedModel; leave out {chosen}")
        digest = admit(folder, named, digest=None, allowed_ops=allowed_ops)
        return Model(folder.resolve().name, "", named, folder, digest)
    return _deployed(named, repository, version, label, allowed_ops)


def signatures(folder: Path) -> dict[str, Signature]:
    """Returns the signatures of a SavedModel that can be called.

    Raises:
        UserError: The SavedModel cannot be read, or has no signatures.
    """
    try:
        content = messages.SavedModel.FromString((folder / _SAVED_MODEL).read_bytes())
    except (OSError, DecodeError) as error:
        raise UserError(f"{folder} holds no readable SavedModel: {error}") from error
    served = [graph for graph in content.meta_graphs if "serve" in graph.meta_info_def.tags]
    found = calls.signatures(served[0].signature_def) if served else {}
    found.pop("__saved_model_init_op", None)
    if not found:
        raise UserError(f"the SavedModel in {folder} has no signatures to call")
    return found


def _registered(named: str, cache: Path, allowed_ops: Collection[str]) -> Model:
    match = _URI.fullmatch(named)
    if not match:
        raise UserError(
            f"a model of the registry is models:/NAME@ALIAS or models:/NAME/VERSION, not {named}"
        )
    from serving.rollout.model_registry import Registry  # Imports MLflow, which takes seconds.

    name, alias, number = match.groups()
    registry = Registry()
    found = registry.find(name, alias=alias or "", version=int(number) if number else None)
    shutil.rmtree(cache, ignore_errors=True)
    cache.mkdir(parents=True)
    folder = registry.download(found, cache)
    title = f"{found.name} version {found.version}"
    digest = admit(folder, title, digest=found.digest, allowed_ops=allowed_ops)
    return Model(found.name, str(found.version), found.uri, folder, digest)


def _deployed(
    name: str,
    repository: Repository,
    version: int | None,
    label: str | None,
    allowed_ops: Collection[str],
) -> Model:
    there = repository.versions(name) if name else []
    if not there:
        known = ", ".join(repository.models())
        raise UserError(
            f"there is no model {name} in {repository.path}"
            + (f", only {known}" if known else "")
            + f", and no SavedModel in a folder {name}; deploy it: python -m serving deploy {name}"
        )
    if version is None:
        labels = models_config.entry(repository.config(), name).labels
        label = label or STABLE
        if label not in labels:
            listed = ", ".join(f"{each} {number}" for each, number in sorted(labels.items()))
            raise UserError(
                f"{name} has no label {label} in {repository.path}"
                + (f", only {listed}" if listed else f"; choose a --version of {there}")
            )
        version = labels[label]
    if version not in there:
        raise UserError(
            f"{name} version {version} is not in {repository.path}, only "
            f"{', '.join(map(str, there))}"
        )
    folder = repository.version(name, version)
    record = repository.record(name, version) or {}  # Other ways lead into a repository, too.
    title = f"{name} version {version}"
    digest = admit(folder, title, digest=record.get("digest"), allowed_ops=allowed_ops)
    return Model(name, str(version), str(folder), folder, digest)
