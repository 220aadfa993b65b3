"""Calls as values: a request, how its response is read, and its fallback. No connection.

Arguments, results and errors of the calls are those of the methods of `serving.client.Client`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import grpc
import numpy as np

from serving.client.methods import (
    CLASSIFY,
    HEALTH,
    METADATA,
    MULTI_INFERENCE,
    PREDICT,
    REGRESS,
    RELOAD,
    STATUS,
    Method,
)
from serving.errors import ServingError
from serving.protocol import examples, messages, tensors

_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_SERVING = 1
OUT_OF_REACH = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)

Result = TypeVar("Result")
Classes = list[tuple[str, float]]


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request to a method.

    Attributes:
        method: The RPC.
        request: The request message.
        read: Reads the result out of the response message.
        fallback: Called with the request and the error that it was answered with; changes the
            request and returns True if it should be sent once more. None: errors are final.
    """

    method: Method
    request: Any
    read: Callable[[Any], Result]
    fallback: Callable[[Any, ServingError], bool] | None = None


@dataclass(frozen=True)
class VersionStatus:
    """State of a model version, with the server's text where something failed."""

    version: int
    state: str
    error: str


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a signature.

    Attributes:
        name: Name of the tensor in the graph.
        dtype: TensorFlow's name, such as "float32" or "string".
        shape: Size of each dimension, None where it is variable; None if the rank is unknown.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a signature by alias, and the API that it is meant for."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]
    method_name: str


@dataclass(frozen=True)
class ModelConfig:
    """A model of a server's configuration.

    Attributes:
        name: Served name.
        base_path: Folder of the versions, absolute or a URI.
        versions: Number of latest versions; or a list of versions; or "all".
        labels: Version by label.
        platform: Model platform; "tensorflow" for a SavedModel.
        logging_config: Which requests are logged, a `messages.LoggingConfig`; None for none.
    """

    name: str
    base_path: str
    versions: int | Sequence[int] | Literal["all"] = 1
    labels: Mapping[str, int] = field(default_factory=dict)
    platform: str = "tensorflow"
    logging_config: Any = None


def read(call: Call[Result], response: Any) -> Result:
    """Returns the result of a call; None stands for a response that gRPC could not parse.

    Raises:
        ServingError: INTERNAL, the response cannot be read; or the error that it holds.
    """
    if response is None:
        name = call.method.response.DESCRIPTOR.name
        raise ServingError(grpc.StatusCode.INTERNAL, f"the answer cannot be read: it is no {name}")
    try:
        return call.read(response)
    except (ValueError, KeyError) as error:
        raise ServingError(
            grpc.StatusCode.INTERNAL, f"the answer cannot be read: {error}"
        ) from error


def model_spec(model: str, version: int | None, label: str, signature: str = "") -> Any:
    """Returns the ModelSpec of a version, or of a label, or of the server's choice.

    Raises:
        ValueError: A version and a label.
    """
    spec = messages.ModelSpec(name=model, signature_name=signature)
    if version is not None:
        if label:
            raise ValueError(f"a request names a version or a label, not {version} and {label!r}")
        spec.version.value = version
    elif label:
        spec.version_label = label
    return spec


def specs_of(request: Any) -> list[Any]:
    """Returns the ModelSpecs of a request: several for MultiInference, else one."""
    if hasattr(request, "tasks"):
        return [task.model_spec for task in request.tasks]
    return [request.model_spec]


def predict(
    spec: Any, inputs: Mapping[str, Any], outputs: Sequence[str]
) -> Call[dict[str, np.ndarray]]:
    request = messages.PredictRequest(model_spec=spec, output_filter=outputs)
    for name, value in inputs.items():
        tensors.encode(request.inputs[name], examples.array(value))
    return Call(PREDICT, request, _arrays)


def classify(
    spec: Any, rows: Iterable[Mapping[str, Any]], context: Mapping[str, Any] | None
) -> Call[list[Classes]]:
    request = messages.ClassificationRequest(
        model_spec=spec, input=examples.example_input(rows, context)
    )
    return Call(CLASSIFY, request, lambda response: _classes(response.result))


def regress(
    spec: Any, rows: Iterable[Mapping[str, Any]], context: Mapping[str, Any] | None
) -> Call[np.ndarray]:
    request = messages.RegressionRequest(
        model_spec=spec, input=examples.example_input(rows, context)
    )
    return Call(REGRESS, request, lambda response: _values(response.result))


def multi_inference(
    spec: Any,
    rows: Iterable[Mapping[str, Any]],
    tasks: Mapping[str, Literal["classify", "regress"]],
    context: Mapping[str, Any] | None,
) -> Call[dict[str, list[Classes] | np.ndarray]]:
    request = messages.MultiInferenceRequest(input=examples.example_input(rows, context))
    for signature, method in tasks.items():
        if method not in ("classify", "regress"):
            raise ValueError(f"a task is to classify or to regress, not {method!r}")
        task = request.tasks.add(model_spec=spec, method_name=f"tensorflow/serving/{method}")
        task.model_spec.signature_name = signature

    def read(response: Any) -> dict[str, list[Classes] | np.ndarray]:
        # The server answers in the order of the tasks.
        return {
            signature: _classes(result.classification_result)
            if tasks[signature] == "classify"
            else _values(result.regression_result)
            for signature, result in zip(tasks, response.results, strict=True)
        }

    return Call(MULTI_INFERENCE, request, read)


def metadata(spec: Any) -> Call[dict[str, Signature]]:
    return Call(METADATA, _metadata_request(spec), _signatures)


def version_of(spec: Any) -> Call[int]:
    """Asks for the version that is used, for example for a label, which no status contains."""
    return Call(METADATA, _metadata_request(spec), lambda r: r.model_spec.version.value)


def status(spec: Any) -> Call[list[VersionStatus]]:
    return Call(STATUS, messages.GetModelStatusRequest(model_spec=spec), _states)


def reload(models: Iterable[ModelConfig], metrics: Sequence[str]) -> Call[dict[str, int]]:
    request = messages.ReloadConfigRequest(metric_names=metrics)
    request.config.model_config_list.SetInParent()
    for model in models:
        entry = request.config.model_config_list.config.add(
            name=model.name,
            base_path=model.base_path,
            model_platform=model.platform,
            version_labels=model.labels,
        )
        if model.logging_config:
            entry.logging_config.CopyFrom(model.logging_config)
        policy = entry.model_version_policy
        if model.versions == "all":
            policy.all.SetInParent()
        elif isinstance(model.versions, int):
            policy.latest.num_versions = model.versions
        else:
            policy.specific.versions.extend(model.versions)
            policy.specific.SetInParent()
    return Call(RELOAD, request, _increases)


def health(service: str) -> Call[bool]:
    request = messages.HealthCheckRequest(service=service)
    return Call(HEALTH, request, lambda response: response.status == _SERVING)


def _metadata_request(spec: Any) -> Any:
    return messages.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])


def _arrays(response: Any) -> dict[str, np.ndarray]:
    return {name: tensors.decode(proto) for name, proto in response.outputs.items()}


def _classes(result: Any) -> list[Classes]:
    return [
        [(each.label.decode(errors="backslashreplace"), each.score) for each in row.classes]
        for row in result.classifications
    ]


def _values(result: Any) -> np.ndarray:
    return np.array([regression.value for regression in result.regressions], np.float32)


def _states(response: Any) -> list[VersionStatus]:
    return [
        VersionStatus(entry.version, _STATES[entry.state], entry.status.error_message)
        for entry in response.model_version_status
    ]


def _increases(response: Any) -> dict[str, int]:
    if response.status.error_code:
        code = _CODES.get(response.status.error_code, grpc.StatusCode.UNKNOWN)
        raise ServingError(code, response.status.error_message)
    return {metric.name: metric.int64_value_increase for metric in response.metric}


def _signatures(response: Any) -> dict[str, Signature]:
    wire = response.metadata["signature_def"].value
    return signatures(messages.SignatureDefMap.FromString(wire).signature_def)


def signatures(definitions: Mapping[str, Any]) -> dict[str, Signature]:
    """Returns the signatures of a map of SignatureDef."""
    return {
        key: Signature(_infos(entry.inputs), _infos(entry.outputs), entry.method_name)
        for key, entry in sorted(definitions.items())
    }


def _infos(protos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    return {
        alias: TensorInfo(proto.name, tensors.dtype_name(proto.dtype), _shape(proto.tensor_shape))
        for alias, proto in sorted(protos.items())
    }


def _shape(proto: Any) -> tuple[int | None, ...] | None:
    if proto.unknown_rank:
        return None
    return tuple(None if dim.size < 0 else dim.size for dim in proto.dim)
