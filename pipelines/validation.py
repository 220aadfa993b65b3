"""Proof that a SavedModel does what the trained model does, in a process that knows only it.

    python -m pipelines.validation SAVED_MODEL RECORDS CONTRACT

loads the SavedModel, asks each signature, compares the answers with the recorded ones and
prints a report as JSON. `validate` runs that command.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import ValidationError

if TYPE_CHECKING:
    from pipelines.export import Signature

_ROOT = Path(__file__).resolve().parent.parent


def validate(folder: Path, signatures: Sequence[Signature]) -> dict[str, Any]:
    """Validates the SavedModel in `folder` in a fresh process.

    Returns:
        {"ops": names of all ops used, "text_ops": those of TF-Text among them,
        "differences": {signature: {output: largest difference}}}.

    Raises:
        ValidationError: It does not load, needs an op that TensorFlow Serving lacks, a signature
            is missing or typed otherwise, or an answer differs from the Keras model's by more
            than the signature's tolerances.
    """
    from pipelines.export import write_logs

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
        arguments = [str(path.resolve()) for path in (folder, records, contract_file)]
        command = [sys.executable, "-m", __name__, *arguments]
        child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValidationError(f"the SavedModel failed in a fresh process: {last}")
    report = json.loads(child.stdout.splitlines()[-1])
    if report["failure"]:
        raise ValidationError(f"the SavedModel is not the trained model: {report['failure']}")
    return report


def _report(folder: Path, records: Path, contract: dict[str, Any]) -> dict[str, Any]:
    import tensorflow as tf
    from tensorflow_serving.apis import prediction_log_pb2

    from pipelines.ops import ops, text_ops, unservable

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
    for record in tf.data.TFRecordDataset(str(records)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record).predict_log
        name = log.request.model_spec.signature_name
        try:
            report["differences"][name] = _compare(loaded.signatures, name, log, contract[name])
        except ValidationError as error:
            report["failure"] = str(error)
            break
    return report


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
    saved, recorded, contract_path = map(Path, sys.argv[1:])
    print(json.dumps(_report(saved, recorded, json.loads(contract_path.read_text()))))
