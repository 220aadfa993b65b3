"""Tiny TensorFlow Lite models, with signatures of each kind that there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import flatbuffers
import tensorflow as tf
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from serving.server.servables.tflite import TFLITE_FILE
from tests.serving import inference_models, saved_models


def converted(
    build: Callable[[Path], Path], path: Path, keys: list[str], *, other_ops: bool = False
) -> Path:
    """Converts a SavedModel with some of its signatures, into a folder of its own."""
    saved_model = build(path.with_name(f"{path.name}.saved_model"))
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=keys)
    if other_ops:
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS,
            tf.lite.OpsSet.SELECT_TF_OPS,
        ]
    return write(path, converter.convert())


def half_plus_two(path: Path) -> Path:
    return converted(saved_models.half_plus_two, path, ["serving_default"])


def sum_and_difference(path: Path) -> Path:
    return converted(saved_models.sum_and_difference, path, ["serving_default", "only_sum"])


def echo(path: Path) -> Path:
    return converted(saved_models.echo, path, ["serving_default"])


def product(path: Path) -> Path:
    """`product = images x weights`, whose sizes must fit, and which of the sizes may vary."""
    return converted(
        lambda folder: saved_models.stateless(
            folder,
            saved_models.tensor(tf.float32, None, 3),
            serving_default=lambda x: {"product": tf.linalg.matmul(x, tf.ones([3, 2]))},
        ),
        path,
        ["serving_default"],
    )


def parses_examples(path: Path) -> Path:
    """Has an op that TensorFlow Lite itself does not have."""
    return converted(inference_models.classifier, path, ["only_scores"], other_ops=True)


def write(path: Path, content: bytes) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / TFLITE_FILE).write_bytes(content)
    return path


def without_signatures(
    content: bytes,
    names: Mapping[str, str],
    metadata: Mapping[str, bytes] | None = None,
) -> bytes:
    """Returns the model as early converters wrote it.

    Args:
        content: The model.
        names: New names of tensors.
        metadata: Serialized signatures, all of them ASCII, for the metadata that the original
            reads them from.
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    model.signatureDefs = None
    for tensor in model.subgraphs[0].tensors:
        name = tensor.name.decode()
        tensor.name = names.get(name, name)
    if metadata:
        buffer = schema.BufferT()
        buffer.data = list(_flexbuffer(metadata))
        model.buffers.append(buffer)
        entry: Any = schema.MetadataT()
        entry.name, entry.buffer = "signature_defs_metadata", len(model.buffers) - 1
        model.metadata = [*(model.metadata or []), entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _flexbuffer(metadata: Mapping[str, bytes]) -> bytes:
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, serialized in metadata.items():
            builder.Key(key)
            builder.String(serialized.decode("ascii"))
    return bytes(builder.Finish())
