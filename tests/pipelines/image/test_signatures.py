"""Signatures that read images: their inputs, outputs and checks."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from pipelines.image import signatures

IMAGES = np.arange(12, dtype=np.uint8).reshape(2, 2, 3, 1)
EXPECTED = {"mean": np.array([2.5, 8.5], np.float32)}


def mean(images: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"mean": tf.reduce_mean(tf.cast(images, tf.float32), (1, 2, 3))}


def test_tensors_of_the_shape_of_the_examples_are_read():
    signature = signatures.of_tensors(mean, IMAGES, EXPECTED)
    assert signature.name == "serving_default"
    assert signature.inputs == {"images": tf.TensorSpec([None, 2, 3, 1], tf.uint8)}
    assert signature.examples["images"] is IMAGES
    np.testing.assert_allclose(signature.function(tf.constant(IMAGES))["mean"], EXPECTED["mean"])
    for shape in ((2, 2, 3), (2, 3, 2, 1), (2, 2, 3, 3)):
        with pytest.raises((tf.errors.InvalidArgumentError, ValueError)):
            signature.function(tf.zeros(shape, tf.uint8))


def test_files_are_read_as_strings():
    files = np.array([b"a", b"bcd"], object)
    expected = {"length": np.array([1, 3])}
    signature = signatures.of_files(
        lambda encoded: {"length": tf.strings.length(encoded)}, files, expected
    )
    assert signature.name == "image_bytes"
    assert signature.inputs == {"image_bytes": tf.TensorSpec([None], tf.string)}
    outputs = signature.function(tf.constant(signature.examples["image_bytes"]))
    np.testing.assert_array_equal(outputs["length"], signature.expected["length"])
