"""Warmup: runs recorded requests before a version becomes available.

Counterpart: tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc and
saved_model_warmup.cc.
"""

from __future__ import annotations

from pathlib import Path

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving.errors import ServingError
from serving.server.handlers.classify_regress import classify, regress
from serving.server.handlers.multi_inference import multi_inference
from serving.server.handlers.predict import predict
from serving.server.servables.base import Servable

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_MAX_RECORDS = 1000


def warm_up(
    session: Servable, path: Path, iterations: int = 1, *, check_method_name: bool = False
) -> int:
    """Runs the warmup records of the SavedModel in `path`, if it has any.

    Args:
        session: The version to warm up.
        path: Its folder.
        iterations: How often each record is run.
        check_method_name: Whether signatures must be declared for the methods that run them.

    Returns:
        The number of records.

    Raises:
        ServingError: The file is damaged or too long, or a request failed; the version must
            not be served then.
    """
    records = path / WARMUP_FILE
    if not records.exists():
        return 0
    count = 0
    try:
        logs = tf.data.TFRecordDataset(str(records)).with_options(_untuned()).as_numpy_iterator()
        for count, record in enumerate(logs, 1):
            if count > _MAX_RECORDS:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Number of warmup records exceeds the maximum ({_MAX_RECORDS}) at {records}",
                )
            try:
                log = prediction_log_pb2.PredictionLog.FromString(record)
            except DecodeError as error:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Failed to parse warmup record: {record!r} from {records}",
                ) from error
            for _ in range(iterations):
                _replay(session, log, check_method_name)
    except tf.errors.DataLossError as error:
        raise ServingError(
            grpc.StatusCode.DATA_LOSS,
            f"{error.message}. Please verify your warmup data is in TFRecord format.",
        ) from error
    return count


def _untuned() -> tf.data.Options:
    """Returns options without tf.data's tuner, for which an iterator may wait at its end."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _replay(
    session: Servable, log: prediction_log_pb2.PredictionLog, check_method_name: bool
) -> None:
    kind = log.WhichOneof("log_type")
    match kind:
        case "predict_log":
            request = log.predict_log.request
            predict(session, request, check_method_name=check_method_name)
        case "classify_log":
            classify(session, log.classify_log.request, check_method_name=check_method_name)
        case "regress_log":
            regress(session, log.regress_log.request, check_method_name=check_method_name)
        case "multi_inference_log":
            tasks = log.multi_inference_log.request
            multi_inference(session, tasks, check_method_name=check_method_name)
        case "session_run_log" | "predict_streamed_log":
            number = log.DESCRIPTOR.fields_by_name[kind].number
            raise ServingError(
                grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}"
            )
        # An empty record is not an error.
