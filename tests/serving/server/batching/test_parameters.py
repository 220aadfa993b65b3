"""BatchingParameters: TensorFlow Serving's defaults and refusals, and files beside a model."""

from __future__ import annotations

import threading

import grpc
import pytest
from google.protobuf import text_format

from serving.errors import ServingError
from serving.server.batching.parameters import common, options, parameters_of
from serving.server.config_files import BatchingParameters
from serving.server.flags import Flags


def parameters(text: str):
    return text_format.Parse(text, BatchingParameters())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("max_batch_size { value: 0 }", "input_batch_size_limit must be positive; was 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros must be non-negative; was -1"),
        ("max_enqueued_batches { value: 0 }", "max_enqueued_batches must be positive; was 0"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; "
            "expected 8",
        ),
        (
            "allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; "
            "expected 1000",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [8, 8]",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [0, 8]",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
        (
            "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 9 }",
            "When enable_large_batch_splitting is true, input_batch_size_limit must be greater "
            "than or equal to max_execution_batch_size.",
        ),
        (
            "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 0 }",
            "max_execution_batch_size must be positive; was 0",
        ),
    ],
)
def test_parameters_that_cannot_be_are_refused(text, problem):
    with pytest.raises(ServingError) as raised:
        options(parameters(text))
    assert raised.value.code is grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.message == problem


def test_a_timeout_is_no_longer_than_a_thread_can_wait():
    found = options(parameters(f"batch_timeout_micros {{ value: {2**62} }}"))
    assert found.timeout_seconds < threading.TIMEOUT_MAX
    assert options(parameters("batch_timeout_micros { value: 1500 }")).timeout_seconds == 0.0015


def test_what_parameters_leave_out_has_tensorflow_serving_s_defaults():
    found = options(BatchingParameters())
    assert (found.largest_batch, found.largest_request) == (1000, 1000)
    assert (found.timeout_seconds, found.max_batches, found.allowed_sizes) == (0, 10, ())
    assert found.threads >= 1


def test_requests_that_are_split_may_be_larger_than_batches():
    text = (
        "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 5 }"
    )
    found = options(parameters(text))
    assert (found.largest_batch, found.largest_request) == (5, 8)
    assert found.allowed_sizes == ()
    found = options(parameters(f"{text} allowed_batch_sizes: [3, 6, 8]"))
    assert found.allowed_sizes == (3, 5)


def test_a_model_brings_its_own_parameters(tmp_path):
    all_models = parameters('num_batch_threads { value: 3 } thread_pool_name { value: "all" }')
    assert parameters_of(tmp_path, all_models) is all_models
    assert parameters_of(tmp_path, all_models, per_model=True) is None
    file = tmp_path / "batching_params.pbtxt"
    file.write_text("max_batch_size { value: 32 } num_batch_threads { value: 9 }")
    own = parameters_of(tmp_path, all_models, per_model=True)
    assert own is not None
    assert own.max_batch_size.value == 32
    assert own.num_batch_threads.value == 3
    assert own.thread_pool_name.value == "all"
    assert parameters_of(tmp_path, all_models) is all_models
    assert parameters_of(tmp_path, None, per_model=True) is None
    file.write_text("max_batch_size 32")
    said = r"batching_params\.pbtxt, line 1: Error parsing text-format .*\.BatchingParameters"
    with pytest.raises(ServingError, match=said):
        parameters_of(tmp_path, all_models, per_model=True)


def test_the_command_line_names_the_parameters_of_all_models(tmp_path):
    file = tmp_path / "batching"
    file.write_text("max_batch_size { value: 7 }")
    assert common(Flags()) is None
    assert common(Flags(enable_batching=True)) == BatchingParameters()
    named = Flags(enable_batching=True, batching_parameters_file=str(file))
    assert common(named) == parameters("max_batch_size { value: 7 }")
    file.write_text("max_batch_size { value: 0 }")
    with pytest.raises(ServingError, match="input_batch_size_limit must be positive; was 0"):
        common(named)
