"""Proof that a SavedModel does what the trained model does, in a process that knows only it.

    python -m pipelines.export.validation SAVED_MODEL RECORDS CONTRACT GOLDEN

loads the SavedModel, asks each signature, compares the answers with the recorded ones and
prints a report as JSON. What the SavedModel answers to a few of the examples goes to GOLDEN.
`validate` runs that command.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ValidationError

if TYPE_CHECKING:
    from pipelines.export.signature import Signature

_ROOT = Path(__file__).resolve().parent.parent.parent
# Examples in each signature's golden requests, and bytes that such a request may have.
_GOLDEN_SIZES = (1, 4)
_GOLDEN_BYTES = 4 * 2**20


def validate(folder: Path, signatures: Sequence[Signature]) -> dict[str, Any]:
    """Validates the SavedModel in `folder` in a fresh process, and records its golden requests.

    Those are a few of the examples with the answers that the SavedModel itself gave in that
    process, so that another engine is compared with just that.

    Returns:
        {"ops": names of all ops used, "text_ops": those of TF-Text among them,
        "differences": {signature: {output: largest difference}}}.

    Raises:
        ValidationError: It does not load, needs an op that TensorFlow Serving lacks, a signature
            is missing or typed otherwise, or an answer differs from the Keras model's by more
            than the signature's tolerances.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    from pipelines.export.saved_model import add_golden, write_logs

    contract = {
        signature.name: {
            "inputs": {name: spec.dtype.name for name, spec in signature.inputs.items()},
            "relative": signature.relative,
            "absolute": signature.absolute,
        }
        for signature in signatures
    }
    with tempfile.TemporaryDirectory() as scratch:
        records, contract_file = Path(scratch, "records"), Path(scratch, "contract.json")
        write_logs(records, [s.log(0, len(next(iter(s.examples.values())))) for s in signatures])
        contract_file.write_text(json.dumps(contract))
        golden = Path(scratch, "golden")
        arguments = [str(path.resolve()) for path in (folder, records, contract_file, golden)]
        command = [sys.executable, "-m", __name__, *arguments]
        child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
        logs = [
            prediction_log_pb2.PredictionLog.FromString(record)
            for record in (_read_records(golden) if golden.exists() else ())
        ]
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValidationError(f"the SavedModel failed in a fresh process: {last}")
    report = json.loads(child.stdout.splitlines()[-1])
    if report["failure"]:
        raise ValidationError(f"the SavedModel is not the trained model: {report['failure']}")
    add_golden(folder, signatures, logs)
    return report


def _read_records(path: Path) -> Iterator[bytes]:
    import tensorflow as tf

    return tf.data.TFRecordDataset(str(path)).as_numpy_iterator()


def _report(folder: Path, records: Path, contract: dict[str, Any], golden: Path) -> dict[str, Any]:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    from pipelines.export.ops import ops, text_ops, unservable

    needed = ops(folder)
    report: dict[str, Any] = {"failure": "", "ops": needed, "differences": {}}
    report["text_ops"] = text_ops(needed)
    # Before anything else is imported, what TensorFlow registers is its own.
    core = [name for name in needed if hasattr(tf.raw_ops, name)]
    if refused := unservable(needed, core):
        report["failure"] = f"TensorFlow Serving has no op {', '.join(refused)}"
        return report
    if report["text_ops"]:
        import tensorflow_text  # noqa: F401  (registers its ops)
    loaded = tf.saved_model.load(str(folder))
    asked = []
    for record in _read_records(records):
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
        name = log.request.model_spec.signature_name
        try:
            report["differences"][name] = _compare(loaded.signatures, name, log, contract[name])
        except ValidationError as error:
            report["failure"] = str(error)
            return report
        asked.append(log.request)
    with tf.io.TFRecordWriter(str(golden)) as writer:
        for request in asked:
            for log in _golden(loaded.signatures[request.model_spec.signature_name], request):
                writer.write(log.SerializeToString())
    return report


def _golden(signature, request) -> Iterator[Any]:
    """Yields the first of a request's examples with what a signature answers to just those."""
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    inputs = {key: tf.make_ndarray(proto) for key, proto in request.inputs.items()}
    most = min(len(value) for value in inputs.values())
    for size in sorted({min(size, most) for size in _GOLDEN_SIZES}):
        log = prediction_log_pb2.PredictionLog()
        predict = log.predict_log
        predict.request.model_spec.signature_name = request.model_spec.signature_name
        first = {key: tf.constant(value[:size]) for key, value in inputs.items()}
        for key, value in first.items():
            predict.request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
        for key, value in signature(**first).items():
            predict.response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        if log.ByteSize() <= _GOLDEN_BYTES or size == 1:
            yield log


def _compare(signatures, name, log, contract) -> dict[str, float]:
    """Returns the largest difference of each output, or raises `ValidationError`."""
    import numpy as np
    import tensorflow as tf

    if name not in signatures:
        raise ValidationError(f"signature {name} is missing; there are: {', '.join(signatures)}")
    signature = signatures[name]
    _, declared = signature.structured_input_signature
    inputs = {key: spec.dtype.name for key, spec in declared.items()}
    if inputs != contract["inputs"]:
        raise ValidationError(f"{name} takes {inputs}, not {contract['inputs']}")
    answers = signature(
        **{k: tf.constant(tf.make_ndarray(v)) for k, v in log.request.inputs.items()}
    )
    if sorted(answers) != sorted(log.response.outputs):
        raise ValidationError(
            f"{name} answers {', '.join(sorted(answers))}, "
            f"not {', '.join(sorted(log.response.outputs))}"
        )
    differences = {}
    for key, proto in log.response.outputs.items():
        answer, expected = answers[key].numpy(), tf.make_ndarray(proto)
        if answer.dtype != expected.dtype or answer.shape != expected.shape:
            raise ValidationError(
                f"{name}/{key} is {answer.dtype} {answer.shape}, "
                f"not {expected.dtype} {expected.shape}"
            )
        if not np.issubdtype(expected.dtype, np.floating):
            if wrong := int((answer != expected).sum()):
                raise ValidationError(f"{name}/{key} differs in {wrong} of {answer.size} values")
            differences[key] = 0.0
            continue
        difference = np.abs(answer - expected)
        differences[key] = float(difference.max(initial=0.0))
        allowed = contract["absolute"] + contract["relative"] * np.abs(expected)
        if not (difference <= allowed).all():
            raise ValidationError(
                f"{name}/{key} differs by up to {differences[key]:.2g}, where "
                f"{contract['absolute']:g} + {contract['relative']:g} of the value is allowed"
            )
    return differences


if __name__ == "__main__":
    saved, recorded, contract_path, golden_path = map(Path, sys.argv[1:])
    print(json.dumps(_report(saved, recorded, json.loads(contract_path.read_text()), golden_path)))
