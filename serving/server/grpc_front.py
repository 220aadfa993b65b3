"""The gRPC front: services and status codes over the functions that do the work."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent import futures
from typing import Any

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from serving.errors import ServingError, UserError
from serving.server.core import Core

log = logging.getLogger(__name__)

_LARGEST_MESSAGE = 2**31 - 1
_LONGEST_TEXT = 1024


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """tensorflow.serving.PredictionService."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        return _answer(lambda: self._core.predict(request, context.time_remaining()), context)

    def Classify(
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> classification_pb2.ClassificationResponse:
        return _answer(lambda: self._core.classify(request, context.time_remaining()), context)

    def Regress(
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> regression_pb2.RegressionResponse:
        return _answer(lambda: self._core.regress(request, context.time_remaining()), context)

    def MultiInference(
        self, request: inference_pb2.MultiInferenceRequest, context: grpc.ServicerContext
    ) -> inference_pb2.MultiInferenceResponse:
        return _answer(
            lambda: self._core.multi_inference(request, context.time_remaining()), context
        )

    def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        return _answer(lambda: self._core.metadata(request), context)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """tensorflow.serving.ModelService."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def GetModelStatus(
        self,
        request: get_model_status_pb2.GetModelStatusRequest,
        context: grpc.ServicerContext,
    ) -> get_model_status_pb2.GetModelStatusResponse:
        return _answer(lambda: self._core.status(request), context)


def serve(core: Core, port: int, *, threads: int) -> tuple[grpc.Server, int]:
    """Binds the port, starts to answer, and returns the server with the port it got.

    Args:
        core: What answers.
        port: TCP port on all interfaces; 0 takes a free one.
        threads: Requests worked on at the same time.

    Raises:
        UserError: The port is taken or not allowed.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
            ("grpc.so_reuseport", 0),  # Two servers must not share a port unnoticed.
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(core), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(core), server)
    try:
        bound = server.add_insecure_port(f"0.0.0.0:{port}")
    except RuntimeError as error:
        raise UserError(
            f"port {port} cannot be bound: it is in use or not allowed; choose another --port"
        ) from error
    server.start()
    return server, bound


def _answer(answer: Callable[[], Any], context: grpc.ServicerContext) -> Any:
    """Returns the answer, or ends the call with the error's code and text."""
    try:
        return answer()
    except ServingError as error:
        text = error.message
        if len(text) > _LONGEST_TEXT:
            text = f"{text[:_LONGEST_TEXT]}...TRUNCATED"
        context.abort(error.code, text)
    except Exception as error:
        log.exception("a request failed unexpectedly")
        context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
