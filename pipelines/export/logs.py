"""Requests with their responses, as TensorFlow Serving records them: TFRecords of PredictionLog."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

# In a SavedModel's folder.
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"


def write_logs(path: Path, logs: Sequence[PredictionLog]) -> None:
    """Writes requests and their responses."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def read_logs(path: Path) -> Iterator[PredictionLog]:
    """Yields requests and their responses."""
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        yield PredictionLog.FromString(record)
