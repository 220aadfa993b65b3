"""Warmup: recorded requests run before a version becomes available.

Source: tensorflow_serving/servables/tensorflow/saved_model_warmup_util.cc.
"""

from __future__ import annotations

from pathlib import Path

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from serving.errors import ServingError
from serving.server.predict import predict
from serving.server.runtime import Session

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
_MOST_RECORDS = 1000


def warm_up(session: Session, path: Path) -> int:
    """Runs the warmup records of the SavedModel in `path`, if it has any.

    Returns:
        How many records were run.

    Raises:
        ServingError: The file is damaged or too long, or a request failed; the version must
            not be served then.
    """
    records = path / WARMUP_FILE
    if not records.exists():
        return 0
    count = 0
    try:
        logs = tf.data.TFRecordDataset(str(records)).as_numpy_iterator()
        for count, record in enumerate(logs, 1):
            if count > _MOST_RECORDS:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Number of warmup records exceeds the maximum ({_MOST_RECORDS}) at {records}",
                )
            try:
                log = prediction_log_pb2.PredictionLog.FromString(record)
            except DecodeError as error:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f"Failed to parse warmup record: {record!r} from {records}",
                ) from error
            _replay(session, log)
    except tf.errors.DataLossError as error:
        raise ServingError(
            grpc.StatusCode.DATA_LOSS,
            f"{error.message}. Please verify your warmup data is in TFRecord format.",
        ) from error
    return count


def _replay(session: Session, log: prediction_log_pb2.PredictionLog) -> None:
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}"
        )
    predict(session, log.predict_log.request)
