"""The MLflow model registry, which hands a SavedModel from training to serving.

This module is also the MLflow flavour that logs a SavedModel directory as it is: the stock
`tensorflow` flavour loads what it writes, so `mlflow.pyfunc.load_model` and `mlflow models
serve` work without this project.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

import mlflow
import mlflow.models
import mlflow.tensorflow
import numpy as np
import tensorflow as tf
from mlflow.entities.model_registry import ModelVersion
from mlflow.models.signature import ModelSignature
from mlflow.types import Schema, TensorSpec
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import TensorInfo

from pipelines import metric_names, store_errors
from pipelines.export.ops import ops, text_ops
from pipelines.export.saved_model import digest as saved_model_digest
from pipelines.gate import CHALLENGER, CHAMPION, Alias, gate
from pipelines.intervals import difference
from pipelines.task import Task

REFUSED = "refused"
_FOLDER = "saved_model"
_RESAMPLED = "validation_resamples.json"
_MAX_DESCRIPTION = 5000  # Characters that MLflow's databases hold.


@dataclass(frozen=True)
class Version:
    """A registered model version, with its alias and the reason for it.

    Attributes:
        name: Registered name, which is also the name it is served under.
        number: Registered version, which is also the version it is served as.
        alias: "champion", "challenger" or none.
        reason: The comparison behind the alias, in one sentence.
        saved_model: Path or artifact URI of the SavedModel.
        compared: The version that was champion when it was registered; None if there was none.
    """

    name: str
    number: int
    alias: Alias
    reason: str
    saved_model: str
    compared: int | None = None


def register(
    saved_model: Path,
    name: str,
    task: Task,
    metrics: Mapping[str, float],
    baseline: float,
    digest: str,
    *,
    resampled: Sequence[float] = (),
    deviation: float | None = None,
    seeds: int = 1,
    tags: Mapping[str, str] = MappingProxyType({}),
    about: str = "",
    description: str = "",
    documents: Mapping[str, str] = MappingProxyType({}),
) -> Version:
    """Logs the SavedModel with the active run, registers it, and sets the alias by `gate`.

    The version's tags `gate` (champion, challenger or refused) and `gate.reason` keep the decision,
    as aliases move on.

    Args:
        saved_model: The validated SavedModel directory.
        name: Name to register it under.
        task: Has the metric that `gate` compares on validation.
        metrics: The model's metrics, `validation/METRIC` among them.
        baseline: The metric of the baseline to beat, on validation.
        digest: Digest of the data; values on other data are not compared.
        resampled: The metric on resamples of validation, which decide about ties.
        deviation: The metric's standard deviation over seeds, where `metrics` are means.
        seeds: The number of seeds.
        tags: More tags of the version.
        about: What the page of a model that is new shows.
        description: What the version's page shows, in Markdown.
        documents: Texts by the names of the files that hold them, beside the SavedModel.
    """
    client = mlflow.MlflowClient()
    if before := _registered_before(client, name):
        return before
    metric = task.metric
    value = metrics[metric_names.score("validation", metric)]
    mlflow.log_dict({"metric": metric, "values": list(resampled)}, _RESAMPLED)

    def decided(champion: ModelVersion | None) -> tuple[Alias, str]:
        return gate(
            metric,
            value,
            baseline,
            champion_value=_float(champion.tags.get(f"validation_{metric}")) if champion else None,
            champion_version=int(champion.version) if champion else None,
            same_data=champion is not None and champion.tags.get("data.digest") == digest,
            difference=difference(resampled, _resampled(champion)) if champion else None,
            greater_is_better=task.greater_is_better,
            deviation=deviation,
            seeds=seeds,
        )

    _create(client, name, about)
    logged = mlflow.models.Model.log(
        artifact_path=None,
        name="model",
        flavor=sys.modules[__name__],
        saved_model=saved_model,
        documents=documents,
    )
    champion = _champion(client, name)
    alias, reason = decided(champion)
    version = client.create_model_version(
        name,
        source=logged.model_uri,
        run_id=logged.run_id,
        model_id=logged.model_id,
        tags={
            **tags,
            **_tags_of_seeds(metric, deviation, seeds),
            f"validation_{metric}": str(value),
            "data.digest": digest,
            "saved_model.digest": saved_model_digest(saved_model),
            **_tags_of_gate(alias, reason),
        },
        description=description[:_MAX_DESCRIPTION],
    )
    # Another run may have made its own version champion meanwhile.
    while (now := _champion(client, name)) and (not champion or now.version != champion.version):
        champion = now
        alias, reason = decided(champion)
        for key, text in _tags_of_gate(alias, reason).items():
            client.set_model_version_tag(name, version.version, key, text)
    if alias:
        client.set_registered_model_alias(name, alias, version.version)
    location = f"{logged.artifact_path}/{_FOLDER}".removeprefix("file://")
    compared = int(champion.version) if champion else None
    return Version(name, int(version.version), alias, reason, location, compared)


def _create(client: mlflow.MlflowClient, name: str, about: str) -> None:
    """Creates a registered model, unless there is one, or another process is first."""
    if client.search_registered_models(f"name = '{name}'"):
        return
    try:
        client.create_registered_model(name, description=about)
    except mlflow.MlflowException as error:
        if not store_errors.exists_already(error):
            raise


def _registered_before(client: mlflow.MlflowClient, name: str) -> Version | None:
    """Returns what the active run has registered before its process died, with its alias set."""
    run = mlflow.active_run()
    if not run:
        return None
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run.info.run_id}'")
    if not found:
        return None
    (version,) = found
    decided = version.tags["gate"]
    alias: Alias = next((each for each in (CHAMPION, CHALLENGER) if each == decided), "")
    if alias:
        holder = client.get_registered_model(name).aliases.get(alias)
        if not holder or int(holder) < int(version.version):
            client.set_registered_model_alias(name, alias, version.version)
    reason = f"{alias or 'no alias'}: {version.tags['gate.reason']}"
    # A search leaves the model's ID out, which the source, models:/ID, has.
    model_id = (version.source or "").rpartition("/")[2]
    location = mlflow.get_logged_model(model_id).artifact_location
    saved_model = f"{location}/{_FOLDER}".removeprefix("file://")
    return Version(name, int(version.version), alias, reason, saved_model)


def _tags_of_gate(alias: Alias, reason: str) -> dict[str, str]:
    """Returns the tags of a version that keep the decision."""
    return {"gate": alias or REFUSED, "gate.reason": reason.partition(": ")[2]}


def _tags_of_seeds(metric: str, deviation: float | None, seeds: int) -> dict[str, str]:
    """Returns the tags of a version whose metric is a mean over seeds."""
    if deviation is None:
        return {}
    return {f"validation_{metric}_deviation": str(deviation), "seeds": str(seeds)}


def save_model(
    path: str,
    mlflow_model: mlflow.models.Model,
    saved_model: Path,
    documents: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Writes the SavedModel as an MLflow model; MLflow calls this with a folder of its own."""
    shutil.copytree(saved_model, Path(path, _FOLDER))
    for file, text in documents.items():
        Path(path, file).write_text(text, encoding="utf-8")
    mlflow_model.signature = _signature(saved_model)
    requirements = Path(path, "requirements.txt")
    needed = [f"mlflow=={mlflow.__version__}", f"tensorflow=={tf.__version__}"]
    if text_ops(ops(saved_model)):  # Import tensorflow_text before loading such a model.
        needed.append(f"tensorflow-text=={metadata.version('tensorflow-text')}")
    requirements.write_text("\n".join([*needed, ""]))
    mlflow_model.add_flavor(
        "tensorflow",
        model_type="tf1-estimator",
        saved_model_dir=_FOLDER,
        meta_graph_tags=["serve"],
        signature_def_key="serving_default",
    )
    mlflow_model.add_flavor(
        "python_function",
        loader_module="mlflow.tensorflow",
        env={},
        python_version=platform.python_version(),
    )
    mlflow_model.save(str(Path(path, "MLmodel")))


def _signature(saved_model: Path) -> ModelSignature:
    proto = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
    default = proto.meta_graphs[0].signature_def["serving_default"]

    def dtype(number: int) -> np.dtype:
        own = tf.as_dtype(number)
        return np.dtype(str if own == tf.string else own.as_numpy_dtype)

    def schema(tensors: Mapping[str, TensorInfo]) -> Schema:
        return Schema(
            [
                TensorSpec(dtype(info.dtype), [dim.size for dim in info.tensor_shape.dim], name)
                for name, info in sorted(tensors.items())
            ]
        )

    return ModelSignature(schema(default.inputs), schema(default.outputs))


def _champion(client: mlflow.MlflowClient, name: str) -> ModelVersion | None:
    try:
        return client.get_model_version_by_alias(name, CHAMPION)
    except mlflow.MlflowException as error:
        if not store_errors.is_missing(error):
            raise  # A server that fails has a champion all the same.
        return None


def _resampled(champion: ModelVersion) -> list[float]:
    """Returns the metric of a version on resamples of validation; none if its run has lost them."""
    try:
        found = mlflow.artifacts.load_dict(f"runs:/{champion.run_id}/{_RESAMPLED}")
    except (mlflow.MlflowException, OSError) as error:
        if store_errors.is_temporary(error):
            raise
        return []
    return found["values"]


def _float(text: str | None) -> float | None:
    return None if text is None else float(text)
