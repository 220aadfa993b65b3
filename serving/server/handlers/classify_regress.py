"""Classify and Regress: from tf.Examples to classes, scores and values.

They need no method name in a signature. What counts is its input `inputs`, which takes serialized
tf.Examples, and its outputs `classes`, `scores` or `outputs`.

Counterparts, also of checks, their order, codes and texts: tensorflow_serving/servables/tensorflow/
classifier.cc, regressor.cc and util.cc.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    input_pb2,
    regression_pb2,
)

from serving.errors import ServingError
from serving.protocol.messages import (
    ClassificationResponse,
    ClassificationResult,
    RegressionResponse,
    RegressionResult,
)
from serving.server.servables.base import Servable
from serving.server.servables.signature_constants import (
    CLASSES,
    CLASSIFY,
    DEFAULT_SIGNATURE,
    INPUTS,
    OUTPUTS,
    REGRESS,
    SCORES,
)


def classify(
    session: Servable,
    request: classification_pb2.ClassificationRequest,
    timeout: float | None = None,
    *,
    check_method_name: bool = False,
) -> Any:
    """Runs a signature on examples and returns a list of classes for each.

    Args:
        session: The model version that answers.
        request: Examples, with the signature in the `model_spec`.
        timeout: Seconds left for the answer.
        check_method_name: Whether the signature must be declared for this method.

    Returns:
        A `ClassificationResponse` of `messages`: label, score or both of each class, as
        many as the signature gives; `model_spec` carries the signature.

    Raises:
        ServingError: With TensorFlow Serving's code and text.
    """
    response = ClassificationResponse()
    return _infer(METHODS[CLASSIFY], session, request, response, timeout, check_method_name)


def regress(
    session: Servable,
    request: regression_pb2.RegressionRequest,
    timeout: float | None = None,
    *,
    check_method_name: bool = False,
) -> Any:
    """Runs a signature on examples and returns a value for each; otherwise like `classify`."""
    response = RegressionResponse()
    return _infer(METHODS[REGRESS], session, request, response, timeout, check_method_name)


def _infer(
    method: ExampleMethod,
    session: Servable,
    request: Any,
    response: Any,
    timeout: float | None,
    check_method_name: bool,
) -> Any:
    """Fills `result` and the signature of a response."""
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = signature_of(session, name, "No signature was found with the name")
    fetches = method.fetches(signature, check_method_name)
    count, arrays = run_examples(session, {feed(signature)}, fetches, request.input, timeout)
    response.model_spec.signature_name = name
    response.result.CopyFrom(method.result(signature, count, arrays))
    return response


@dataclass(frozen=True)
class ExampleMethod:
    """What a method on examples requires of a signature, and how it builds its result.

    Attributes:
        fetches: Returns the names of the tensors to fetch, or raises if the signature does not fit;
            its second argument is whether the signature must be declared for the method.
        result: Builds the result from the signature, the number of examples and the fetched arrays
            by name.
    """

    fetches: Callable[[meta_graph_pb2.SignatureDef, bool], set[str]]
    result: Callable[[meta_graph_pb2.SignatureDef, int, Mapping[str, np.ndarray]], Message]


def invalid(text: str) -> ServingError:
    """Returns an INVALID_ARGUMENT."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, text)


def signature_of(session: Servable, name: str, missing: str) -> meta_graph_pb2.SignatureDef:
    """Returns a signature by its key, or raises with the text `missing`."""
    if name not in session.signatures:
        raise invalid(f"{missing}: {name}")
    return session.signatures[name]


def feed(signature: meta_graph_pb2.SignatureDef) -> str:
    """Returns the name of the tensor that takes the examples."""
    return signature.inputs[INPUTS].name


def run_examples(
    session: Servable,
    feeds: Iterable[str],
    fetches: Iterable[str],
    sent: input_pb2.Input,
    timeout: float | None,
) -> tuple[int, dict[str, np.ndarray]]:
    """Feeds the examples to each of the tensors `feeds`, and runs the graph once.

    Returns:
        The number of examples, and the fetched arrays by name.
    """
    examples = _serialized(sent)
    if not examples:
        raise invalid("Input is empty.")
    names, batch = sorted(fetches), np.array(examples, object)
    arrays = session.run(dict.fromkeys(sorted(feeds), batch), names, timeout)
    return len(examples), dict(zip(names, arrays, strict=True))


def _serialized(sent: input_pb2.Input) -> list[bytes]:
    """Returns the examples as bytes; concatenating two messages' bytes merges the messages."""
    if sent.WhichOneof("kind") == "example_list_with_context":
        context = sent.example_list_with_context.context.SerializeToString()
        examples = sent.example_list_with_context.examples
        return [context + example.SerializeToString() for example in examples]
    return [example.SerializeToString() for example in sent.example_list.examples]


def _classification_fetches(
    signature: meta_graph_pb2.SignatureDef, check_method_name: bool
) -> set[str]:
    _check_inputs(signature, "classification", CLASSIFY if check_method_name else None)
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    _check_input_name(signature, "classification")
    names = {signature.outputs[key].name for key in (CLASSES, SCORES) if key in signature.outputs}
    if not names:
        raise invalid(
            f'Expected classification signature outputs to contain at least one of "{CLASSES}" '
            f'or "{SCORES}". Signature was: {text_format.MessageToString(signature)}'
        )
    return names


def _regression_fetches(
    signature: meta_graph_pb2.SignatureDef, check_method_name: bool
) -> set[str]:
    _check_inputs(signature, "regression", REGRESS if check_method_name else None)
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    _check_input_name(signature, "regression")
    if OUTPUTS not in signature.outputs:
        raise invalid(
            f"No regression outputs found in SignatureDef: {text_format.MessageToString(signature)}"
        )
    return {signature.outputs[OUTPUTS].name}


def _check_inputs(
    signature: meta_graph_pb2.SignatureDef, kind: str, method_name: str | None
) -> None:
    if method_name and signature.method_name != method_name:
        raise invalid(
            f"Expected {kind} signature method_name to be {method_name}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")


def _check_input_name(signature: meta_graph_pb2.SignatureDef, kind: str) -> None:
    if INPUTS not in signature.inputs:
        raise invalid(
            f"No {kind} inputs found in SignatureDef: {text_format.MessageToString(signature)}"
        )


def _classification(
    signature: meta_graph_pb2.SignatureDef, count: int, arrays: Mapping[str, np.ndarray]
) -> Any:
    outputs = {key: info.name for key, info in signature.outputs.items()}
    classes = arrays[outputs[CLASSES]] if CLASSES in outputs else None
    scores = arrays[outputs[SCORES]] if SCORES in outputs else None
    if classes is not None and outputs.get(SCORES) == outputs[CLASSES]:
        scores = None  # One tensor for both counts as the classes.
    if classes is not None:
        _check_per_class(classes, count, CLASSES, types_pb2.DT_STRING)
    if scores is not None:
        _check_per_class(scores, count, SCORES, types_pb2.DT_FLOAT)
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise invalid(
            "Tensors class and score should match in dim_size(1). "
            f"Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    width = next(array.shape[1] for array in (classes, scores) if array is not None)
    absent: Any = [[None] * width] * count
    labels = absent if classes is None else classes.tolist()
    numbers = absent if scores is None else scores.tolist()
    result = ClassificationResult()
    for row_labels, row_numbers in zip(labels, numbers, strict=True):
        add = result.classifications.add().classes.add
        for label, number in zip(row_labels, row_numbers, strict=True):
            add(label=label, score=number)
    return result


def _check_per_class(array: np.ndarray, count: int, key: str, dtype: int) -> None:
    if array.ndim != 2:
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(array)}")
    if _dtype(array) != dtype:
        raise invalid(
            f"Expected {key} Tensor of {types_pb2.DataType.Name(dtype)}. "
            f"Got: {types_pb2.DataType.Name(_dtype(array))}"
        )
    if len(array) != count:
        raise invalid(f"Expected {key} output batch size of {count}. Got: {len(array)}")


def _regression(
    signature: meta_graph_pb2.SignatureDef, count: int, arrays: Mapping[str, np.ndarray]
) -> Any:
    array = arrays[signature.outputs[OUTPUTS].name]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] "
            f"but got {_shape(array)}"
        )
    if len(array) != count:
        raise invalid(f"Input batch size did not match output batch size: {count} vs. {len(array)}")
    if _dtype(array) != types_pb2.DT_FLOAT:
        raise invalid(
            f"Expected output Tensor of DT_FLOAT.  Got: {types_pb2.DataType.Name(_dtype(array))}"
        )
    result = RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


def _shape(array: np.ndarray) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _dtype(array: np.ndarray) -> int:
    return tf.as_dtype(array.dtype).as_datatype_enum


METHODS = {
    CLASSIFY: ExampleMethod(_classification_fetches, _classification),
    REGRESS: ExampleMethod(_regression_fetches, _regression),
}
