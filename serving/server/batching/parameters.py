"""BatchingParameters: reads them and checks them.

Counterparts: tensorflow_serving/servables/tensorflow/bundle_factory_util.cc and .h, and
tensorflow/core/kernels/batching_util/shared_batch_scheduler.h.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from serving.errors import ServingError, UserError
from serving.server import config_files
from serving.server.flags import Flags

PARAMETERS_FILE = "batching_params.pbtxt"

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
# What a thread can wait for is not much longer.
_MAX_SECONDS = 1e9


def common(flags: Flags) -> Any | None:
    """Returns the BatchingParameters of the command line; None for no batching.

    Raises:
        UserError: Their file cannot be read.
        ServingError: INVALID_ARGUMENT with TensorFlow Serving's text: they are invalid.
    """
    if not flags.enable_batching:
        return None
    if not flags.batching_parameters_file:
        return config_files.BatchingParameters()
    parameters = config_files.read(flags.batching_parameters_file, config_files.BatchingParameters)
    options(parameters)
    return parameters


def parameters_of(path: Path, common: Any, *, per_model: bool = False) -> Any | None:
    """Returns the BatchingParameters of the SavedModel in `path`; None for no batching.

    Args:
        path: The version's folder.
        common: The parameters of all models; None for no batching at all.
        per_model: Whether the parameters in the folder are used instead, except for the threads,
            which are always the common ones. A version without parameters is not batched.

    Raises:
        ServingError: INVALID_ARGUMENT: the folder's file is not BatchingParameters.
    """
    if common is None or not per_model:
        return common
    file = path / PARAMETERS_FILE
    if not file.exists():
        return None
    try:
        parameters = config_files.read(file, config_files.BatchingParameters)
    except UserError as error:
        raise ServingError(_INVALID, str(error)) from error
    for field in ("num_batch_threads", "thread_pool_name"):
        parameters.ClearField(field)
        if common.HasField(field):
            getattr(parameters, field).CopyFrom(getattr(common, field))
    return parameters


@dataclass(frozen=True)
class Options:
    """BatchingParameters, checked.

    Attributes:
        threads: Number of batches that run at the same time.
        timeout_seconds: Time after which a batch runs that is not full.
        max_batches: Batches of a queue that may wait.
        allowed_sizes: Sizes to which batches are padded, ascending; empty for no padding.
        largest_batch: Rows of a batch.
        largest_request: Rows of a request, which is split if they are more than those of a batch.
    """

    threads: int
    timeout_seconds: float
    max_batches: int
    allowed_sizes: tuple[int, ...]
    largest_batch: int
    largest_request: int


def options(parameters: Any) -> Options:
    """Returns a BatchingParameters message, checked.

    Raises:
        ServingError: INVALID_ARGUMENT with TensorFlow Serving's text: they are invalid.
    """

    def value(field: str, default: int) -> int:
        return getattr(parameters, field).value if parameters.HasField(field) else default

    size = value("max_batch_size", 1000)
    splits = parameters.enable_large_batch_splitting.value
    execution = value("max_execution_batch_size", size) if splits else size
    threads = value("num_batch_threads", os.cpu_count() or 1)
    timeout = value("batch_timeout_micros", 0)
    enqueued = value("max_enqueued_batches", 10)
    allowed = list(parameters.allowed_batch_sizes)
    for wrong, text in (
        (threads < 1, f"num_batch_threads must be positive; was {threads}"),
        (size < 1, f"input_batch_size_limit must be positive; was {size}"),
        (timeout < 0, f"batch_timeout_micros must be non-negative; was {timeout}"),
        (enqueued < 1, f"max_enqueued_batches must be positive; was {enqueued}"),
        (execution < 1, f"max_execution_batch_size must be positive; was {execution}"),
        (
            execution > size,
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater "
            "than or equal to max_execution_batch_size.",
        ),
        (
            allowed and allowed[-1] != size,
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{allowed[-1] if allowed else ''}; expected {size}",
        ),
        (
            any(low >= high for low, high in zip([0, *allowed], allowed, strict=False)),
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
    ):
        if wrong:
            raise ServingError(_INVALID, text)
    if allowed and execution < size:
        allowed = [*(number for number in allowed if number < execution), execution]
    return Options(
        threads, min(timeout / 1e6, _MAX_SECONDS), enqueued, tuple(allowed), execution, size
    )
