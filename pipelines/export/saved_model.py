"""From a trained Keras model to a SavedModel that a model server can load."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
EXAMPLES_FOLDER = "assets.extra/examples"
GOLDEN_FILE = "assets.extra/golden_requests"
TOLERANCES_FILE = "assets.extra/golden_tolerances.json"


@dataclass(frozen=True)
class Signature:
    """A named, typed entry of the SavedModel, and the proof it has to pass.

    Attributes:
        name: The signature's key.
        function: From tensors, by the names of `inputs`, to a dict of tensors.
        inputs: Shape and dtype of each input; the batch dimension is free.
        examples: One batch for each input.
        expected: What the Keras model answers to `examples`, worked out without the export.
        relative: Largest relative difference between the two, for floats.
        absolute: Largest absolute difference between the two, for floats.
        resources: Layers or tables that `function` uses besides the model.
    """

    name: str
    function: Callable[..., dict[str, tf.Tensor]]
    inputs: Mapping[str, tf.TensorSpec]
    examples: Mapping[str, np.ndarray]
    expected: Mapping[str, np.ndarray]
    relative: float = 1e-5
    absolute: float = 1e-5
    resources: Sequence[Any] = ()

    def log(self, start: int, stop: int) -> prediction_log_pb2.PredictionLog:
        """Returns the examples of a range as a request with the response it should get."""
        log = prediction_log_pb2.PredictionLog()
        predict = log.predict_log
        predict.request.model_spec.signature_name = self.name
        for key, value in self.examples.items():
            predict.request.inputs[key].CopyFrom(tf.make_tensor_proto(value[start:stop]))
        for key, value in self.expected.items():
            predict.response.outputs[key].CopyFrom(tf.make_tensor_proto(value[start:stop]))
        return log


def saved_model(
    model: keras.Model,
    signatures: Sequence[Signature],
    folder: Path,
    *,
    examples: Mapping[str, bytes] | None = None,
) -> Path:
    """Writes a SavedModel with warmup records, whole or not at all.

    Args:
        model: The trained model, in the dtype it is to compute in.
        signatures: Its entries.
        folder: Where the SavedModel will be; must not exist.
        examples: Files to carry along in `assets.extra/examples`, by relative path.

    Returns:
        `folder`.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        archive = keras.export.ExportArchive()
        archive.track(model)
        for resource in {id(r): r for s in signatures for r in s.resources}.values():
            archive.track(resource)
        for signature in signatures:
            specs = [
                tf.TensorSpec(spec.shape, spec.dtype, name=name)
                for name, spec in signature.inputs.items()
            ]
            archive.add_endpoint(signature.name, signature.function, input_signature=specs)
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


def add_golden(
    folder: Path, signatures: Sequence[Signature], logs: Sequence[prediction_log_pb2.PredictionLog]
) -> None:
    """Writes golden requests into a SavedModel, whole or not at all.

    They are what a deployment asks a candidate before it is served; `serving/rollout/golden.py`
    reads them.

    Args:
        folder: The SavedModel.
        signatures: Its entries; floats may be off by their tolerances.
        logs: Requests with the answers of the SavedModel itself.
    """
    tolerances = {s.name: {"absolute": s.absolute, "relative": s.relative} for s in signatures}
    requests = folder / GOLDEN_FILE
    partial = requests.with_name(f".{requests.name}")
    (folder / TOLERANCES_FILE).write_text(json.dumps(tolerances, indent=2) + "\n")
    write_logs(partial, logs)
    os.replace(partial, requests)


def write_logs(path: Path, logs: Sequence[prediction_log_pb2.PredictionLog]) -> None:
    """Writes requests and their responses as TFRecords."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())
