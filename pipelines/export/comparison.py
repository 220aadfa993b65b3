"""Comparison of a SavedModel with recorded responses, in a process that loads nothing else.

    python -m pipelines.export.fresh pipelines.export.comparison \
        SAVED_MODEL RECORDS CONTRACT VERIFICATION ASKED ANSWERED

loads the SavedModel, sends each signature its recorded request, compares the responses, and prints
the report as JSON. `validation.validate` runs that command.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from pipelines.errors import ValidationError
from pipelines.export.logs import read_logs, write_logs
from pipelines.export.ops import ops, text_ops, unservable

# Examples in each signature's verification requests, and bytes that such a request may have.
_SIZES = (1, 4)
_MAX_BYTES = 4 * 2**20
# Of the calls whose time is taken.
_CALLS, _SECONDS = 20, 0.5
# For the answers to more requests; those that take longer are left out.
_ANSWER_SECONDS = 10.0


def report(
    folder: Path,
    records: Path,
    contract: dict[str, Any],
    verification: Path,
    asked: Path,
    answered: Path,
) -> dict[str, Any]:
    """Compares a SavedModel with recorded requests and responses.

    Args:
        folder: The SavedModel.
        records: TFRecords of `PredictionLog`: a request for each signature, with its response.
        contract: By signature, dtypes of its "inputs" by name, and tolerances "relative" and
            "absolute" of its floats.
        verification: Where to write verification requests, as such records: the first examples
            with the SavedModel's own responses. Not written if something differs.
        asked: More requests, as such records.
        answered: Where to write them with the SavedModel's responses, if nothing differs.

    Returns:
        {"failure": what differs, or "", "ops": names of all ops used,
        "text_ops": those of TF-Text among them,
        "differences": {signature: {output: largest difference}},
        "milliseconds": median time of a request for one example to the first signature}.
    """
    needed = ops(folder)
    found: dict[str, Any] = {"failure": "", "ops": needed, "text_ops": text_ops(needed)}
    differences = found["differences"] = {}
    # Before TF-Text is imported, the ops that TensorFlow registers are its own.
    core = [name for name in needed if hasattr(tf.raw_ops, name)]
    if lacking := unservable(needed, core):
        return found | {"failure": f"TensorFlow Serving has no op {', '.join(lacking)}"}
    if found["text_ops"]:
        import tensorflow_text  # noqa: F401  (registers its ops)
    loaded = tf.saved_model.load(str(folder))
    requests = []
    for log in read_logs(records):
        request, response = log.predict_log.request, log.predict_log.response
        name = request.model_spec.signature_name
        try:
            differences[name] = _compare(loaded.signatures, name, request, response, contract[name])
        except ValidationError as error:
            return found | {"failure": str(error)}
        requests.append(request)
    logs = [log for each in requests for log in _verification_requests(loaded.signatures, each)]
    write_logs(verification, logs)
    write_logs(answered, list(_answered(loaded.signatures, asked)))
    return found | {"milliseconds": _milliseconds(loaded.signatures, logs[0])}


def _milliseconds(signatures: Mapping[str, Any], log: PredictionLog) -> float:
    """Returns the median time of a request, of at most 20 calls or half a second of them."""
    request = log.predict_log.request
    signature = signatures[request.model_spec.signature_name]
    inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
    times: list[float] = []
    while len(times) < _CALLS and sum(times) < _SECONDS:
        start = time.perf_counter()
        outputs = signature(**{key: tf.constant(value) for key, value in inputs.items()})
        for output in outputs.values():
            output.numpy()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def _answered(signatures: Mapping[str, Any], asked: Path) -> Iterator[PredictionLog]:
    """Yields requests with their answers, as many as there is time for."""
    start = time.monotonic()
    for log in read_logs(asked):
        request, response = log.predict_log.request, log.predict_log.response
        inputs = {k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()}
        for key, value in signatures[request.model_spec.signature_name](**inputs).items():
            response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        yield log
        if time.monotonic() - start > _ANSWER_SECONDS:
            return


def _verification_requests(
    signatures: Mapping[str, Any], request: PredictRequest
) -> Iterator[PredictionLog]:
    """Yields the first of a request's examples with its signature's outputs for just those."""
    signature = signatures[request.model_spec.signature_name]
    inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
    available = min(len(value) for value in inputs.values())
    for size in sorted({min(size, available) for size in _SIZES}):
        log = PredictionLog()
        predict = log.predict_log
        predict.request.model_spec.signature_name = request.model_spec.signature_name
        first = {key: tf.constant(value[:size]) for key, value in inputs.items()}
        for key, value in first.items():
            predict.request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        for key, value in signature(**first).items():
            predict.response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        if log.ByteSize() <= _MAX_BYTES or size == 1:
            yield log


def _compare(
    signatures: Mapping[str, Any],
    name: str,
    request: PredictRequest,
    response: PredictResponse,
    contract: Mapping[str, Any],
) -> dict[str, float]:
    """Returns the largest difference of each output.

    Raises:
        ValidationError: The signature is missing or typed otherwise, or an output differs by more
            than the contract's tolerances.
    """
    if name not in signatures:
        raise ValidationError(f"signature {name} is missing; there are: {', '.join(signatures)}")
    signature = signatures[name]
    _, declared = signature.structured_input_signature
    inputs = {key: spec.dtype.name for key, spec in declared.items()}
    if inputs != contract["inputs"]:
        raise ValidationError(f"{name} takes {inputs}, not {contract['inputs']}")
    outputs = signature(**{k: tf.constant(tf.make_ndarray(v)) for k, v in request.inputs.items()})
    if sorted(outputs) != sorted(response.outputs):
        raise ValidationError(
            f"{name} returns {', '.join(sorted(outputs))}, "
            f"not {', '.join(sorted(response.outputs))}"
        )
    return {
        key: _difference(f"{name}/{key}", outputs[key].numpy(), tf.make_ndarray(proto), contract)
        for key, proto in response.outputs.items()
    }


def _difference(
    name: str, output: np.ndarray, expected: np.ndarray, contract: Mapping[str, Any]
) -> float:
    """Returns the largest difference between two arrays, 0 for strings and integers.

    Raises:
        ValidationError: They differ in type or shape, or by more than the contract's tolerances.
    """
    if output.dtype != expected.dtype or output.shape != expected.shape:
        raise ValidationError(
            f"{name} is {output.dtype} {output.shape}, not {expected.dtype} {expected.shape}"
        )
    if not np.issubdtype(expected.dtype, np.floating):
        if wrong := int((output != expected).sum()):
            raise ValidationError(f"{name} differs in {wrong} of {output.size} values")
        return 0.0
    difference = np.abs(output - expected)
    largest = float(difference.max(initial=0.0))
    allowed = contract["absolute"] + contract["relative"] * np.abs(expected)
    if not (difference <= allowed).all():
        raise ValidationError(
            f"{name} differs by up to {largest:.2g}, where "
            f"{contract['absolute']:g} + {contract['relative']:g} of the value is allowed"
        )
    return largest


if __name__ == "__main__":
    saved, recorded, contract_file, *others = map(Path, sys.argv[1:])
    contracts = json.loads(contract_file.read_text())
    print(json.dumps(report(saved, recorded, contracts, *others)))
