"""Validation: a SavedModel has to compute what the trained model does, in a fresh process."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.errors import ValidationError
from pipelines.export import fresh, reference
from pipelines.export.logs import read_logs, write_logs
from pipelines.export.saved_model import add_verification_requests
from pipelines.export.signature import Signature

# TensorFlow Serving's REST API encodes only these in base64 (util/json_tensor.cc).
_BYTES_SUFFIX = "_bytes"


def validate(
    folder: Path,
    signatures: Sequence[Signature],
    asked: reference.Asked | None = None,
) -> dict[str, Any]:
    """Validates the SavedModel in `folder` in a fresh process, and adds verification requests.

    Verification requests are a few of the examples, with the responses that the SavedModel itself
    gave in that process: what another engine that serves it has to give as well. A summary of
    what is asked besides, with its answers, becomes its reference.

    Args:
        folder: The SavedModel.
        signatures: Its signatures.
        asked: Examples of validation; None for no reference.

    Returns:
        {"ops": names of all ops used, "text_ops": those of TF-Text among them,
        "differences": {signature: {output: largest difference}},
        "milliseconds": median time of a request for one example to the first signature}.

    Raises:
        ValidationError: It does not load, needs an op that TensorFlow Serving lacks, a signature
            is missing or typed otherwise, an output differs from the Keras model's by more than the
            signature's tolerances, or one has strings that its name does not declare as bytes.
    """
    _check_names_of_bytes(signatures)
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
        verification = Path(scratch, "verification")
        questions, answered = Path(scratch, "asked"), Path(scratch, "answered")
        write_logs(questions, reference.logs(asked, contract) if asked else [])
        paths = (folder, records, contract_file, verification, questions, answered)
        report = fresh.run("pipelines.export.comparison", *paths)
        logs = list(read_logs(verification)) if verification.exists() else []
        answers = list(read_logs(answered)) if answered.exists() else []
    if report["failure"]:
        raise ValidationError(f"the SavedModel is not the trained model: {report['failure']}")
    add_verification_requests(folder, signatures, logs)
    if asked:
        reference.add(folder, asked, answers)
    return report


def _check_names_of_bytes(signatures: Sequence[Signature]) -> None:
    for signature in signatures:
        for name, expected in signature.expected.items():
            strings = expected.dtype.kind in "OS" and not name.endswith(_BYTES_SUFFIX)
            if strings and not all(map(_is_text, expected.flat)):
                raise ValidationError(
                    f"output {name} of signature {signature.name} has strings that are not UTF-8, "
                    f"which JSON cannot carry: call it {name}{_BYTES_SUFFIX}, and REST answers "
                    "carry it in base64"
                )


def _is_text(value: Any) -> bool:
    if isinstance(value, bytes):
        try:
            value.decode()
        except UnicodeDecodeError:
            return False
    return True
