"""The MLflow model registry: versions, aliases, tags and files of registered models."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow
import requests
import yaml
from mlflow.entities.model_registry import ModelVersion
from mlflow.utils.credentials import read_mlflow_creds
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from serving.client.traffic import STABLE
from serving.errors import RolloutError, UserError
from serving.rollout.models_config import ALIASES, CANARY

DEFAULT_TRACKING_URI = "sqlite:///mlruns/mlflow.db"
BLESSED = "blessed"
GATE, REFUSED = "gate", "refused"
DIGEST = "saved_model.digest"

CHAMPION, CHALLENGER = ALIASES[STABLE], ALIASES[CANARY]

# MLflow passes on what a database says when it is opened, and that its driver is missing.
_ERRORS = (mlflow.MlflowException, SQLAlchemyError, ImportError)
# How often MLflow itself asks a server that is away, for a quarter of a minute, and for how many
# seconds it waits for an answer.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
_NAME, _PASSWORD = "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"
_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Registered:
    """A registered version.

    Attributes:
        name: Registered name, which is also the served name.
        version: Registered version, which is also the served one.
        run_id: The run that trained it; empty if the registry has none.
        source: Location of its files according to the registry.
        commit: Code version of the run; empty if it has none.
        aliases: Its aliases.
        tags: Its tags.
    """

    name: str
    version: int
    run_id: str
    source: str
    commit: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"

    @property
    def refused(self) -> bool:
        """Whether the gate of its run refused it, as it does not beat the baseline."""
        return self.tags.get(GATE) == REFUSED and not self.aliases

    @property
    def digest(self) -> str | None:
        """The digest of its files when a pipeline registered it; None if something else did."""
        return self.tags.get(DIGEST)

    @property
    def is_champion(self) -> bool:
        return CHAMPION in self.aliases


class Registry:
    """The registry behind MLFLOW_TRACKING_URI, or else the one in `mlruns/`.

    Raises:
        UserError: There is none, or it cannot be opened.
    """

    def __init__(self) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI
        self.uri = _shown(uri)
        self._database = _database(uri)
        if self._database and not self._database.exists():  # MLflow would create an empty one.
            raise UserError(
                f"there is no tracking store {self.uri} here; train a model first, "
                "or set MLFLOW_TRACKING_URI"
            )
        for variable, value in _PATIENCE.items():
            os.environ.setdefault(variable, value)
        mlflow.set_tracking_uri(uri)
        # MLflow's own bars for downloads would break into the lines of a rollout.
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
        try:
            self._client = mlflow.MlflowClient()
        except _ERRORS as error:
            raise self._unreadable(error) from error

    def find(self, name: str, *, alias: str = "champion", version: int | None = None) -> Registered:
        """Returns the version that an alias names, or the one of that number.

        Raises:
            UserError: There is no such model, alias or version, or the registry cannot be read.
        """
        try:
            if version is None:
                version = int(self._client.get_model_version_by_alias(name, alias).version)
            return self._registered(self._client.get_model_version(name, str(version)))
        except _ERRORS as error:
            if getattr(error, "error_code", "") not in _MISSING:
                raise self._unreadable(error) from error
            wanted = f"version {version}" if version is not None else f"alias {alias!r}"
            raise UserError(
                f"no model {name!r} with {wanted} in {self.uri}{self._what_there_is(name)}"
            ) from error

    def versions(self, name: str) -> list[Registered]:
        """Returns all versions of a model, in order; none if it is not registered.

        Raises:
            UserError: The registry cannot be read.
        """
        try:
            found = self._client.search_model_versions(f"name = '{name}'")
        except _ERRORS as error:
            raise self._unreadable(error) from error
        numbers = sorted(int(version.version) for version in found)
        # A search leaves the aliases out.
        return [self.find(name, version=number) for number in numbers]

    def download(self, found: Registered, folder: Path) -> Path:
        """Downloads a version and returns its SavedModel, within `folder`.

        Raises:
            UserError: It holds no SavedModel.
            RolloutError: It cannot be downloaded.
        """
        try:
            model = Path(
                mlflow.artifacts.download_artifacts(self._files(found), dst_path=str(folder))
            )
        except (*_ERRORS, OSError) as error:
            raise RolloutError(f"{found.uri} cannot be downloaded: {_reason(error)}") from error
        flavors = yaml.safe_load((model / "MLmodel").read_text())["flavors"]
        inside = flavors.get("tensorflow", {}).get("saved_model_dir", "")
        if not (model / inside / "saved_model.pb").exists():
            raise UserError(
                f"the model holds no SavedModel; its flavours are: {', '.join(flavors)}"
            )
        return model / inside

    def _files(self, found: Registered) -> str:
        """Returns where a version's files are: beside the database, if this was moved with them.

        The registry has absolute paths, until a pipeline opens the store in its new place.
        """
        if self._database:
            recorded = self._client.get_model_version_download_uri(found.name, str(found.version))
            _, _, inside = recorded.rpartition("/artifacts/")
            beside = self._database.parent.resolve() / "artifacts" / inside
            if inside and beside.is_dir():
                return str(beside)
        return found.uri

    def log_report(
        self,
        found: Registered,
        name: str,
        folder: Path,
        page: str,
        metrics: Mapping[str, float],
    ) -> str:
        """Logs a report on a version as a run within the one that trained it.

        Args:
            found: The version.
            name: What is reported, a word.
            folder: The files of the report.
            page: What the run's page shows, in Markdown.
            metrics: Numbers by name.

        Returns:
            The run's experiment and id.

        Raises:
            UserError: MLflow does not take it.
        """
        try:
            experiment = self._client.get_run(found.run_id).info.experiment_id
            tags = {
                "mlflow.runName": f"{name} of {found.name} version {found.version}",
                "mlflow.note.content": page,
                "mlflow.parentRunId": found.run_id,
                "report": name,
                "model": found.uri,
            }
            run = self._client.create_run(experiment, tags=tags).info
            for key, value in metrics.items():
                self._client.log_metric(run.run_id, re.sub(r"[^\w\-. :/]", "_", key), value)
            self._client.log_artifacts(run.run_id, str(folder))
            self._client.set_terminated(run.run_id)
            return f"run {run.run_id} of {self._client.get_experiment(experiment).name}"
        except (*_ERRORS, OSError) as error:
            raise UserError(
                f"the report cannot be logged in {self.uri}: {_reason(error)}; write it into a "
                "folder: --report FOLDER"
            ) from error

    def bless(self, found: Registered, tags: Mapping[str, str]) -> None:
        """Tags a version as `blessed`, and with `blessed.NAME` for each of `tags`.

        Raises:
            UserError: The registry refuses the tags.
        """
        try:
            for name, value in tags.items():
                self._tag(found, f"{BLESSED}.{name}", value)
            self._tag(found, BLESSED, "true")
        except _ERRORS as error:
            raise UserError(
                f"the registry {self.uri} does not take the tags of {found.name} version "
                f"{found.version}: {_reason(error)}; deploy it again to repeat that"
            ) from error

    def follow(self, name: str, labels: Mapping[str, int], moved: str) -> list[str]:
        """Moves the alias of a label to the label's version: stable is champion, canary challenger.

        A challenger that is no canary stays one, unless it has become the champion. A champion that
        is a canary first stays champion. A version that the gate refused gets no alias.

        Args:
            name: Registered name.
            labels: Version by label after the rollout.
            moved: The label that has moved; the aliases of other labels stay as they are.

        Returns:
            A sentence for each alias that has moved, or that a version does not get.

        Raises:
            UserError: The registry refuses the aliases.
        """
        if moved not in ALIASES or moved not in labels:
            return []
        alias, number = ALIASES[moved], labels[moved]
        said = []
        try:
            found = self._registered(self._client.get_model_version(name, str(number)))
            if found.refused:
                return [
                    f"{name} version {number} gets no alias, as the gate refused it: "
                    f"{found.tags.get(f'{GATE}.reason', 'it does not beat the baseline')}"
                ]
            aliases = self._client.get_registered_model(name).aliases
            before = aliases.get(alias)
            if str(before) != str(number) and not (moved == CANARY and found.is_champion):
                self._client.set_registered_model_alias(name, alias, str(number))
                was = f", which was version {before}" if before else ""
                said.append(f"{name} version {number} is now the {alias}{was}")
            if moved == STABLE and CANARY not in labels and CHALLENGER in found.aliases:
                self._client.delete_registered_model_alias(name, CHALLENGER)
        except _ERRORS as error:
            raise UserError(
                f"the registry {self.uri} refuses the aliases: {_reason(error)}"
            ) from error
        return said

    def _what_there_is(self, name: str) -> str:
        """Returns the versions of a model with what to type for one, to end a message with."""
        try:
            known = self.versions(name)
        except UserError:
            return ""
        if not known:
            return ""
        listed = ", ".join(
            " ".join([str(v.version), *v.aliases, *([REFUSED] if v.refused else [])]) for v in known
        )
        last = max(known, key=lambda v: (not v.refused, v.version)).version
        return (
            f"; its versions are: {listed}; deploy one: "
            f"python -m serving deploy {name} --version {last}"
        )

    def _unreadable(self, error: Exception) -> UserError:
        return UserError(f"the registry {self.uri} cannot be read: {_reason(error)}")

    def _tag(self, found: Registered, key: str, value: str) -> None:
        self._client.set_model_version_tag(found.name, str(found.version), key, value)

    def _registered(self, version: ModelVersion) -> Registered:
        run_id = version.run_id or ""
        return Registered(
            version.name,
            int(version.version),
            run_id,
            version.source or "",
            self._commit(run_id),
            tuple(version.aliases),
            dict(version.tags),
        )

    def _commit(self, run_id: str) -> str:
        try:
            return self._client.get_run(run_id).data.tags.get("code.commit", "") if run_id else ""
        except _ERRORS:  # Runs may be deleted; their models stay.
            return ""


def _database(uri: str) -> Path | None:
    """Returns the file of a registry in SQLite, or none if the registry is something else."""
    file = make_url(uri).database if uri.startswith("sqlite:///") else None
    return Path(file) if file and file != ":memory:" else None


def _reason(error: Exception) -> str:
    """Returns why a registry cannot be used, without passwords."""
    code, (name, password) = getattr(error, "error_code", ""), read_mlflow_creds()
    if code == "UNAUTHENTICATED" and name and password:
        return f"it does not accept the user {name} with the password of {_PASSWORD}"
    if code == "UNAUTHENTICATED":
        return f"it asks for a user and a password: set {_NAME} and {_PASSWORD}"
    if code == "PERMISSION_DENIED":
        return f"the user {name or 'of its address'} may not do that"
    if isinstance(error, ImportError):
        return f"the driver of its database is not installed: {error}"
    cause: BaseException | None = error
    while cause := cause and (cause.__cause__ or cause.__context__):
        if isinstance(cause, requests.ConnectionError | requests.Timeout):
            return "no server answers there"
    return _shown(str(error).partition("\n")[0])


def _shown(text: str) -> str:
    """Returns a text in which addresses are without the password that they may have."""
    return re.sub(r"(?<=://)([^/@:\s]*):[^/@\s]*@", r"\1:***@", text)
