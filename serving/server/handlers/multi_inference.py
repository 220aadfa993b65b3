"""MultiInference: several signatures of one model on the same examples.

Counterpart, also of checks, their order, codes and texts: tensorflow_serving/servables/tensorflow/
multi_inference.cc.
"""

from __future__ import annotations

from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import inference_pb2

from serving.errors import ServingError
from serving.protocol.messages import MultiInferenceResponse
from serving.server.handlers.classify_regress import (
    METHODS,
    feed,
    invalid,
    run_examples,
    signature_of,
)
from serving.server.servables.base import Servable
from serving.server.servables.signature_constants import CLASSIFY, DEFAULT_SIGNATURE


def multi_inference(
    session: Servable,
    request: inference_pb2.MultiInferenceRequest,
    timeout: float | None = None,
    *,
    check_method_name: bool = False,
) -> Any:
    """Runs several signatures of one model on the same examples, in one run of the graph.

    Each signature's input tensor is fed, as those of TensorFlow 2's exports all have their own.

    Args:
        session: The model version that answers.
        request: Examples and tasks: a signature in a `model_spec`, and CLASSIFY or REGRESS.
        timeout: Seconds left for the answer.
        check_method_name: Whether signatures must be declared for the methods that run them.

    Returns:
        A `MultiInferenceResponse` of `messages` with a result for each task, in their
        order; its `model_spec` carries model and signature.

    Raises:
        ServingError: With TensorFlow Serving's code and text.
    """
    feeds: set[str] = set()
    fetches: set[str] = set()
    signatures: dict[str, meta_graph_pb2.SignatureDef] = {}
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        signature = signature_of(session, name, "Requested signature not found in model graph")
        signatures[name] = signature
        if task.method_name not in METHODS:
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED,
                f"Unsupported signature method_name: {task.method_name}",
            )
        fetches.update(METHODS[task.method_name].fetches(signature, check_method_name))
        feeds.add(feed(signature))

    count, arrays = run_examples(session, feeds, fetches, request.input, timeout)
    response = MultiInferenceResponse()
    for task, (name, signature) in zip(request.tasks, signatures.items(), strict=True):
        result = response.results.add()
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = name
        kind = "classification" if task.method_name == CLASSIFY else "regression"
        getattr(result, f"{kind}_result").CopyFrom(
            METHODS[task.method_name].result(signature, count, arrays)
        )
    return response
