"""The RPCs of TensorFlow Serving's gRPC API that a client calls, and of the health service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from serving.protocol import messages

_PREDICTION = "/tensorflow.serving.PredictionService"
_MODEL = "/tensorflow.serving.ModelService"


@dataclass(frozen=True)
class Method:
    """An RPC: its full name and the classes of its messages."""

    path: str
    request: Any
    response: Any


PREDICT = Method(f"{_PREDICTION}/Predict", messages.PredictRequest, messages.PredictResponse)
CLASSIFY = Method(
    f"{_PREDICTION}/Classify", messages.ClassificationRequest, messages.ClassificationResponse
)
REGRESS = Method(f"{_PREDICTION}/Regress", messages.RegressionRequest, messages.RegressionResponse)
MULTI_INFERENCE = Method(
    f"{_PREDICTION}/MultiInference",
    messages.MultiInferenceRequest,
    messages.MultiInferenceResponse,
)
METADATA = Method(
    f"{_PREDICTION}/GetModelMetadata",
    messages.GetModelMetadataRequest,
    messages.GetModelMetadataResponse,
)
STATUS = Method(
    f"{_MODEL}/GetModelStatus", messages.GetModelStatusRequest, messages.GetModelStatusResponse
)
RELOAD = Method(
    f"{_MODEL}/HandleReloadConfigRequest",
    messages.ReloadConfigRequest,
    messages.ReloadConfigResponse,
)
HEALTH = Method(
    "/grpc.health.v1.Health/Check", messages.HealthCheckRequest, messages.HealthCheckResponse
)
METHODS = (PREDICT, CLASSIFY, REGRESS, MULTI_INFERENCE, METADATA, STATUS, RELOAD, HEALTH)
