"""Classify, Regress and MultiInference: from tf.Examples to classes, scores and values.

They need no method name in a signature: what counts is its input `inputs`, which takes serialized
tf.Examples, and its outputs `classes`, `scores` or `outputs`.

Source of checks, their order, codes and texts: tensorflow_serving/servables/tensorflow/
classifier.cc, regressor.cc, multi_inference.cc and util.cc.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from serving.errors import ServingError
from serving.server.handlers.predict import CLASSIFY, DEFAULT_SIGNATURE, REGRESS
from serving.server.servables.base import Servable

_INPUTS = "inputs"
_CLASSES = "classes"
_SCORES = "scores"
_OUTPUTS = "outputs"


def classify(
    session: Servable,
    request: classification_pb2.ClassificationRequest,
    timeout: float | None = None,
    *,
    check_method_name: bool = False,
) -> classification_pb2.ClassificationResponse:
    """Runs a signature on examples and returns a list of classes for each.

    Args:
        session: The model version that answers.
        request: Examples, with the signature in the `model_spec`.
        timeout: Seconds that are left for the answer.
        check_method_name: Whether the signature must be declared as one for classification.

    Returns:
        Label, score or both of each class, as many as the signature gives; `model_spec` carries
        the signature.

    Raises:
        ServingError: With TensorFlow Serving's code and text.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _signature(session, name, "No signature was found with the name")
    fetches = _classification_fetches(signature, check_method_name)
    count, arrays = _run(session, _feed(signature), fetches, request.input, timeout)
    response = classification_pb2.ClassificationResponse()
    response.model_spec.signature_name = name
    response.result.CopyFrom(_classification(signature, count, arrays))
    return response


def regress(
    session: Servable,
    request: regression_pb2.RegressionRequest,
    timeout: float | None = None,
    *,
    check_method_name: bool = False,
) -> regression_pb2.RegressionResponse:
    """Runs a signature on examples and returns a value for each; for the rest see `classify`."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _signature(session, name, "No signature was found with the name")
    fetches = _regression_fetches(signature, check_method_name)
    count, arrays = _run(session, _feed(signature), fetches, request.input, timeout)
    response = regression_pb2.RegressionResponse()
    response.model_spec.signature_name = name
    response.result.CopyFrom(_regression(signature, count, arrays))
    return response


def multi_inference(
    session: Servable,
    request: inference_pb2.MultiInferenceRequest,
    timeout: float | None = None,
    *,
    check_method_name: bool = False,
) -> inference_pb2.MultiInferenceResponse:
    """Runs several signatures of one model on the same examples, in one run of the graph.

    Args:
        session: The model version that answers.
        request: Examples and tasks: a signature in a `model_spec`, and CLASSIFY or REGRESS.
        timeout: Seconds that are left for the answer.
        check_method_name: Whether signatures must be declared for what the tasks want of them.

    Returns:
        A result for each task, in their order; its `model_spec` carries model and signature.

    Raises:
        ServingError: With TensorFlow Serving's code and text. All signatures must read the same
            input tensor, which those of TensorFlow 2's exports never do.
    """
    feed = ""
    fetches: set[str] = set()
    signatures: dict[str, meta_graph_pb2.SignatureDef] = {}
    for task in request.tasks:
        if not task.model_spec.name:
            raise _invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise _invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise _invalid(f"Duplicate evaluation of signature: {name}")
        signature = _signature(session, name, "Requested signature not found in model graph")
        signatures[name] = signature
        if task.method_name == CLASSIFY:
            fetches.update(_classification_fetches(signature, check_method_name))
        elif task.method_name == REGRESS:
            fetches.update(_regression_fetches(signature, check_method_name))
        else:
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"Unsupported signature method_name: {task.method_name}",
            )
        feed = feed or _feed(signature)
        if _feed(signature) != feed:
            raise _invalid("Input tensor must be the same for all Signatures.")

    count, arrays = _run(session, feed, fetches, request.input, timeout)
    response = inference_pb2.MultiInferenceResponse()
    for task, (name, signature) in zip(request.tasks, signatures.items(), strict=True):
        result = response.results.add()
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = name
        if task.method_name == CLASSIFY:
            result.classification_result.CopyFrom(_classification(signature, count, arrays))
        else:
            result.regression_result.CopyFrom(_regression(signature, count, arrays))
    return response


def _invalid(text: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)


def _signature(session: Servable, name: str, missing: str) -> meta_graph_pb2.SignatureDef:
    if name not in session.signatures:
        raise _invalid(f"{missing}: {name}")
    return session.signatures[name]


def _feed(signature: meta_graph_pb2.SignatureDef) -> str:
    return signature.inputs[_INPUTS].name


def _classification_fetches(
    signature: meta_graph_pb2.SignatureDef, check_method_name: bool
) -> set[str]:
    """Returns the tensors to fetch, or raises if the signature does not classify."""
    _check_inputs(signature, "classification", CLASSIFY if check_method_name else None)
    if len(signature.outputs) not in (1, 2):
        raise _invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    _check_input_name(signature, "classification")
    names = {signature.outputs[key].name for key in (_CLASSES, _SCORES) if key in signature.outputs}
    if not names:
        raise _invalid(
            f'Expected classification signature outputs to contain at least one of "{_CLASSES}" '
            f'or "{_SCORES}". Signature was: {text_format.MessageToString(signature)}'
        )
    return names


def _regression_fetches(
    signature: meta_graph_pb2.SignatureDef, check_method_name: bool
) -> set[str]:
    """Returns the tensor to fetch, or raises if the signature does not regress."""
    _check_inputs(signature, "regression", REGRESS if check_method_name else None)
    if len(signature.outputs) != 1:
        raise _invalid("Expected one output Tensor.")
    _check_input_name(signature, "regression")
    if _OUTPUTS not in signature.outputs:
        raise _invalid(
            f"No regression outputs found in SignatureDef: {text_format.MessageToString(signature)}"
        )
    return {signature.outputs[_OUTPUTS].name}


def _check_inputs(
    signature: meta_graph_pb2.SignatureDef, kind: str, method_name: str | None
) -> None:
    if method_name and signature.method_name != method_name:
        raise _invalid(
            f"Expected {kind} signature method_name to be {method_name}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")


def _check_input_name(signature: meta_graph_pb2.SignatureDef, kind: str) -> None:
    if _INPUTS not in signature.inputs:
        raise _invalid(
            f"No {kind} inputs found in SignatureDef: {text_format.MessageToString(signature)}"
        )


def _run(
    session: Servable,
    feed: str,
    fetches: Iterable[str],
    sent: input_pb2.Input,
    timeout: float | None,
) -> tuple[int, dict[str, np.ndarray]]:
    """Runs the graph on the examples; returns their number and the fetched arrays by name."""
    examples = _serialized(sent)
    if not examples:
        raise _invalid("Input is empty.")
    names = sorted(fetches)
    arrays = session.run({feed: np.array(examples, object)}, names, timeout)
    return len(examples), dict(zip(names, arrays, strict=True))


def _serialized(sent: input_pb2.Input) -> list[bytes]:
    """Returns the examples as bytes; to join two messages' bytes is to merge the messages."""
    if sent.WhichOneof("kind") == "example_list_with_context":
        context = sent.example_list_with_context.context.SerializeToString()
        examples = sent.example_list_with_context.examples
        return [context + example.SerializeToString() for example in examples]
    return [example.SerializeToString() for example in sent.example_list.examples]


def _classification(
    signature: meta_graph_pb2.SignatureDef, count: int, arrays: Mapping[str, np.ndarray]
) -> classification_pb2.ClassificationResult:
    outputs = {key: info.name for key, info in signature.outputs.items()}
    classes = arrays[outputs[_CLASSES]] if _CLASSES in outputs else None
    scores = arrays[outputs[_SCORES]] if _SCORES in outputs else None
    if classes is not None and outputs.get(_SCORES) == outputs[_CLASSES]:
        scores = None  # One tensor for both stands for the classes.
    if classes is not None:
        _check_per_class(classes, count, _CLASSES, types_pb2.DT_STRING)
    if scores is not None:
        _check_per_class(scores, count, _SCORES, types_pb2.DT_FLOAT)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise _invalid(
            "Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    width = next(array.shape[1] for array in (classes, scores) if array is not None)
    absent: Any = [[None] * width] * count
    labels = absent if classes is None else [[_label(label) for label in row] for row in classes]
    numbers = absent if scores is None else scores.tolist()
    result = classification_pb2.ClassificationResult()
    for row_labels, row_numbers in zip(labels, numbers, strict=True):
        add = result.classifications.add().classes.add
        for label, number in zip(row_labels, row_numbers, strict=True):
            add(label=label, score=number)
    return result


def _check_per_class(array: np.ndarray, count: int, key: str, dtype: int) -> None:
    if array.ndim != 2:
        raise _invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    if _dtype(array) != dtype:
        raise _invalid(
            f"Expected {key} Tensor of {types_pb2.DataType.Name(dtype)}. "
            f"Got: {types_pb2.DataType.Name(_dtype(array))}"
        )
    if len(array) != count:
        raise _invalid(f"Expected {key} output batch size of {count}. Got: {len(array)}")


def _label(label: bytes) -> str:
    try:
        return label.decode()
    except UnicodeDecodeError as error:
        raise ServingError(
            grpc.StatusCode.INTERNAL, f"The class {label!r} is no UTF-8 and cannot be a label"
        ) from error


def _regression(
    signature: meta_graph_pb2.SignatureDef, count: int, arrays: Mapping[str, np.ndarray]
) -> regression_pb2.RegressionResult:
    array = arrays[signature.outputs[_OUTPUTS].name]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise _invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {_shape(array)}"
        )
    if len(array) != count:
        raise _invalid(
            f"Input batch size did not match output batch size: {count} vs. {len(array)}"
        )
    if _dtype(array) != types_pb2.DT_FLOAT:
        raise _invalid(
            f"Expected output Tensor of DT_FLOAT.  Got: {types_pb2.DataType.Name(_dtype(array))}"
        )
    result = regression_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _dtype(array: np.ndarray) -> int:
    return tf.as_dtype(array.dtype).as_datatype_enum
