"""From a trained Keras model to a SavedModel that a model server can load."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from pipelines.export.logs import WARMUP_FILE, write_logs
from pipelines.export.signature import Signature

EXAMPLES_FOLDER = "assets.extra/examples"
GOLDEN_FILE = "assets.extra/golden_requests"
TOLERANCES_FILE = "assets.extra/golden_tolerances.json"


def digest(folder: Path) -> str:
    """Returns the SHA-256 of a SavedModel, hexadecimal: that of the lines `SHA-256  PATH` of its
    files, sorted by path.
    """
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{content}  {path.relative_to(folder).as_posix()}\n".encode())
    return total.hexdigest()


def saved_model(
    model: keras.Model | None,
    signatures: Sequence[Signature],
    folder: Path,
    *,
    examples: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes a SavedModel with warmup records, whole or not at all.

    Args:
        model: The trained model, in the dtype it is to compute in; None if signatures hold its
            weights as constants.
        signatures: Its signatures.
        folder: Where the SavedModel will be; must not exist.
        examples: Files to carry along in `assets.extra/examples`, by relative path.

    Returns:
        `folder`.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        archive = keras.export.ExportArchive()
        if model:
            archive.track(model)
        for resource in {id(r): r for s in signatures for r in s.resources}.values():
            archive.track(resource)
        _add_endpoints(archive, signatures)
        archive.write_out(str(partial), verbose=False)

        warmup = partial / WARMUP_FILE
        warmup.parent.mkdir(parents=True, exist_ok=True)
        # Two batch sizes, so that neither the first single request nor the first batch waits.
        write_logs(warmup, [s.log(0, size) for s in signatures for size in (1, 2)])
        for path, content in (examples or {}).items():
            target = partial / EXAMPLES_FOLDER / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _add_endpoints(archive: keras.export.ExportArchive, signatures: Sequence[Signature]) -> None:
    """Adds an endpoint for each signature; those of the same function share one graph."""
    traced: dict[Any, Any] = {}
    for signature in signatures:
        key = (signature.function, *signature.inputs.items())
        if key in traced:
            archive.add_endpoint(signature.name, traced[key])
            continue
        specs = [
            tf.TensorSpec(spec.shape, spec.dtype, name=name)
            for name, spec in signature.inputs.items()
        ]
        function = archive.add_endpoint(signature.name, signature.function, input_signature=specs)
        function.get_concrete_function()
        traced[key] = function


def add_verification_requests(
    folder: Path, signatures: Sequence[Signature], logs: Sequence[PredictionLog]
) -> None:
    """Writes verification requests into a SavedModel, whole or not at all.

    A deployment sends them to a candidate before it is served; `serving/rollout/golden.py` reads
    them.

    Args:
        folder: The SavedModel.
        signatures: Its signatures; floats may be off by their tolerances.
        logs: Requests with the responses of the SavedModel itself.
    """
    tolerances = {s.name: {"absolute": s.absolute, "relative": s.relative} for s in signatures}
    requests = folder / GOLDEN_FILE
    partial = requests.with_name(f".{requests.name}")
    (folder / TOLERANCES_FILE).write_text(json.dumps(tolerances, indent=2) + "\n")
    write_logs(partial, logs)
    os.replace(partial, requests)
