"""Signatures that read images: their inputs, outputs and checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.image import files as image_files
from pipelines.image import signatures
from pipelines.image.preprocessing import decode

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


def test_an_exported_signature_decodes_files_as_training_does(tmp_path):
    """The same picture, turned by its EXIF tag or in another mode, is the same picture."""
    colors = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    plain = Image.fromarray(np.kron(colors, np.ones((16, 16, 1), np.uint8)))
    icon = plain.copy()
    icon.putalpha(Image.linear_gradient("L").resize(icon.size))
    exif = Image.Exif()
    exif[0x0112] = 3
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "plain.jpg": (plain, {"quality": 95, "subsampling": 0}),
        "turned.jpg": (plain.rotate(180), {"quality": 95, "subsampling": 0, "exif": exif}),
        "plain.png": (plain, {}),
        "icon.png": (icon, {}),
        "palette.png": (plain.quantize(16), {}),
        "plain.bmp": (plain, {}),
        "palette.bmp": (plain.quantize(16), {}),
        "gray.png": (plain.convert("L"), {}),
    }
    for name, (image, options) in kinds.items():
        image.save(tmp_path / name, **options)
    contents = [(tmp_path / name).read_bytes() for name in kinds]
    shape = (32, 48, 3)
    signature = signatures.of_files(
        lambda encoded: {"pixels": decode(encoded, shape)}, np.array(contents, object), {}
    )
    module = tf.Module()
    module.served = tf.function(signature.function, [signature.inputs["image_bytes"]])
    tf.saved_model.save(module, str(tmp_path / "saved"), {"served": module.served})
    loaded = tf.saved_model.load(str(tmp_path / "saved")).signatures["served"]
    served = loaded(image_bytes=tf.constant(contents))["pixels"].numpy()
    scanned = list(image_files.scan([tmp_path / name for name in kinds]))
    usable = [file for file in scanned if isinstance(file, image_files.ImageFile)]
    assert usable == scanned
    columns = tf.data.Dataset.from_tensor_slices(image_files.columns(usable))
    trained = columns.map(lambda path, by_graph: image_files.read(path, by_graph, shape))
    for name, image, pixels in zip(kinds, trained.as_numpy_iterator(), served, strict=True):
        np.testing.assert_array_equal(image, pixels, err_msg=name)
    byname = dict(zip(kinds, served.astype(int), strict=True))
    for name in ("turned.jpg", "plain.png", "palette.png", "plain.bmp", "palette.bmp"):
        assert np.abs(byname[name] - byname["plain.jpg"]).max() <= 8, name
    white = Image.new("RGBA", icon.size, "white")
    expected = np.asarray(Image.alpha_composite(white, icon).convert("RGB")).astype(int)
    assert np.abs(byname["icon.png"] - expected).max() <= 1
