"""The request log: requests with their responses, as TFRecords of PredictionLog.

A model's `logging_config` asks for it, with the prefix of its files and the fraction of requests
that are logged. TensorFlow Serving's own binary has the messages but no log collector, and refuses
such a configuration. What `sampling_config` calls `attributes` is not known here.

A separate thread writes, so that no request waits for a disk. When requests come faster than they
can be written, some are left out, and the server's log says how many.

Counterparts: tensorflow_serving/core/server_request_logger.cc, request_logger.cc and
log_collector.cc.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import queue
import random
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.config import logging_config_pb2, model_server_config_pb2

from serving.errors import ServingError, UserError
from serving.protocol import schema
from serving.server.flags import local_path

log = logging.getLogger(__name__)

# The name of this log in `log_collector_config`, which is also the type that is not named.
COLLECTOR = "tfrecord"
SUFFIX = ".tfrecord"
_MAX_WAITING_BYTES = 64 << 20
_MAX_FILE_BYTES = 64 << 20
_CLOSE_SECONDS = 5.0

# PredictionLog and its parts with requests and responses as bytes, which look the same on the wire.
_SCHEMA = """
message tensorflow.serving.Int64Value
  int64 value = 1
message tensorflow.serving.ModelSpec
  string name = 1
  tensorflow.serving.Int64Value version = 2
message tensorflow.serving.SamplingConfig
  double sampling_rate = 1
message tensorflow.serving.LogMetadata
  tensorflow.serving.ModelSpec model_spec = 1
  tensorflow.serving.SamplingConfig sampling_config = 2
  int64 timestamp_secs = 4
message tensorflow.serving.Call
  bytes request = 1
  bytes response = 2
message tensorflow.serving.PredictionLog
  tensorflow.serving.LogMetadata log_metadata = 1
  tensorflow.serving.Call classify_log = 2
  tensorflow.serving.Call regress_log = 3
  tensorflow.serving.Call multi_inference_log = 4
  tensorflow.serving.Call predict_log = 6
"""
_PredictionLog = schema.classes(_SCHEMA)["PredictionLog"]


class RequestLog:
    """The log of the models that are to be logged.

    Several processes may have the same prefix, as each writes files of its own. Threads may share
    it.
    """

    def __init__(self, prefix: str = "", sampling_rate: float = 1.0) -> None:
        """Makes a log.

        Args:
            prefix: Of the files for models without a `logging_config`; empty for none.
            sampling_rate: Fraction of the requests to these models that are logged.

        Raises:
            UserError: No files can be written there.
        """
        self._default = logging_config_pb2.LoggingConfig()
        if prefix:
            self._default.log_collector_config.filename_prefix = prefix
            self._default.sampling_config.sampling_rate = sampling_rate
            if fault := _fault(_path(self._default)):
                raise UserError(f"--request_log={prefix} cannot be written: {fault}")
        self._models: dict[str, tuple[float, _Writer]] = {}
        self._writers: dict[Path, _Writer] = {}

    def check(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Checks each model's `logging_config`.

        Raises:
            ServingError: One cannot be followed.
        """
        for model in config.model_config_list.config:
            if model.HasField("logging_config"):
                _check(model.name, model.logging_config)

    def update(self, config: model_server_config_pb2.ModelServerConfig) -> None:
        """Logs requests to the models of a configuration that `check` has accepted."""
        models: dict[str, tuple[float, _Writer]] = {}
        writers: dict[Path, _Writer] = {}
        for model in config.model_config_list.config:
            own = model.logging_config if model.HasField("logging_config") else self._default
            if own.log_collector_config.filename_prefix:
                path = _path(own)
                writer = writers[path] = (
                    writers.get(path) or self._writers.get(path) or _Writer(path)
                )
                models[model.name] = own.sampling_config.sampling_rate, writer
        before, self._writers, self._models = self._writers, writers, models
        for path in before.keys() - writers.keys():
            before[path].close()

    def write(self, kind: str, model: str, version: int, request: Any, response: Any) -> None:
        """Queues a request to be written, if its model is logged and it is in the sample.

        Args:
            kind: Field of PredictionLog, as "predict_log".
            model: The model.
            version: The version that has answered.
            request: The request message.
            response: The response message.
        """
        found = self._models.get(model)
        if found is None:
            return
        rate, writer = found
        if random.random() < rate:
            entry = _PredictionLog()
            metadata = entry.log_metadata
            metadata.model_spec.name, metadata.model_spec.version.value = model, version
            metadata.sampling_config.sampling_rate = rate
            metadata.timestamp_secs = int(time.time())
            call = getattr(entry, kind)
            call.request, call.response = request.SerializeToString(), response.SerializeToString()
            writer.write(entry.SerializeToString())

    def close(self) -> None:
        """Writes what is queued, for at most five seconds, and closes the files."""
        for writer in self._writers.values():
            writer.close()


class _Writer:
    """Writes records to files that have a prefix in common: a new one each day, and when one is
    full."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._records: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._left_out = 0
        self._failed = False
        self._file: tf.io.TFRecordWriter | None = None
        self._file_bytes = 0
        self._day = ""
        self._thread = threading.Thread(target=self._write_all, name="request log", daemon=True)
        self._thread.start()

    def write(self, record: bytes) -> None:
        with self._lock:
            if self._waiting_bytes + len(record) > _MAX_WAITING_BYTES:
                self._left_out += 1
                return
            self._waiting_bytes += len(record)
        self._records.put(record)

    def close(self) -> None:
        self._records.put(None)
        self._thread.join(_CLOSE_SECONDS)

    def _write_all(self) -> None:
        while (record := self._records.get()) is not None:
            self._count(record)
            try:
                self._write(record)
                self._failed = False
            except (OSError, tf.errors.OpError) as error:
                if not self._failed:
                    log.error("the request log %s* cannot be written: %s", self._prefix, error)
                self._failed = True
                self._end()
        self._count(b"")
        self._end()

    def _count(self, record: bytes) -> None:
        """Counts a record as no longer waiting, and says how many were left out meanwhile."""
        with self._lock:
            self._waiting_bytes -= len(record)
            left_out, self._left_out = self._left_out, 0
        if left_out:
            log.warning("the request log is too slow: it left out %d requests", left_out)

    def _write(self, record: bytes) -> None:
        today = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d")
        if self._file_bytes + len(record) > _MAX_FILE_BYTES or today != self._day:
            self._end()
        if self._file is None:
            self._file, self._file_bytes, self._day = _new_file(self._prefix), 0, today
        self._file.write(record)
        self._file_bytes += len(record)
        if self._records.empty():
            self._file.flush()

    def _end(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError, tf.errors.OpError):
                self._file.close()
            self._file = None


def _new_file(prefix: Path) -> tf.io.TFRecordWriter:
    """Returns a new file, which nobody but its owner may read: it holds what users have sent."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%f")
    path = prefix.with_name(f"{prefix.name}-{now}-{os.getpid()}{SUFFIX}")
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return tf.io.TFRecordWriter(str(path))


def _path(config: logging_config_pb2.LoggingConfig) -> Path:
    return local_path(config.log_collector_config.filename_prefix)


def _check(model: str, config: logging_config_pb2.LoggingConfig) -> None:
    collector = config.log_collector_config
    if collector.type not in ("", COLLECTOR):
        raise ServingError(
            grpc.StatusCode.NOT_FOUND,
            f"Cannot find LogCollector::Factory for type: {collector.type}",
        )
    rate = config.sampling_config.sampling_rate
    if not 0 <= rate <= 1:
        fault = f"its sampling_rate must be from 0 to 1, not {rate:g}"
    elif config.HasField("custom_logging_config"):
        fault = "this server knows no custom_logging_config"
    elif config.sampling_config.per_task_sampling_configs:
        fault = "this server knows no per_task_sampling_configs"
    elif not collector.filename_prefix:
        fault = "its filename_prefix is empty"
    else:
        fault = _fault(_path(config))
    if fault:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT, f"The logging_config of model {model}: {fault}"
        )


def _fault(prefix: Path) -> str:
    """Returns why files with a prefix cannot be written; empty if they can."""
    folder = prefix.parent
    if not folder.is_dir():
        return f"there is no folder {folder}"
    return "" if os.access(folder, os.W_OK) else f"this user may not write in {folder}"
