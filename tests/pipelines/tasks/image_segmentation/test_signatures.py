"""Signatures of segmentation: their outputs, and the examples that verify them."""

from __future__ import annotations

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines.image.examples import first_images
from pipelines.tasks.image_segmentation.data import SegmentedImages
from pipelines.tasks.image_segmentation.overlay import overlay, palette
from pipelines.tasks.image_segmentation.signatures import signatures
from pipelines.tasks.image_segmentation.task import ImageSegmentation
from pipelines.training import trainer
from tests.pipelines.tasks.image_segmentation.examples import CLASSES, SHAPE, config, squares

TASK = ImageSegmentation(config())


@pytest.fixture(scope="module")
def data() -> SegmentedImages:
    return squares()


@pytest.fixture(scope="module")
def model(data: SegmentedImages) -> keras.Model:
    return trainer.build(TASK, data).model


@pytest.mark.parametrize("channels", [1, 3])
def test_all_signatures_return_the_predictions_of_the_network(channels):
    data = squares((16, 24, channels))
    default, image_bytes = signatures(trainer.build(TASK, data).model, data)
    assert (default.name, image_bytes.name) == ("serving_default", "image_bytes")
    assert default.expected.keys() == {"mask", "probabilities"}
    assert image_bytes.expected.keys() == {"mask", "probabilities", "overlay_bytes"}
    for signature in (default, image_bytes):
        assert signature.inputs.keys() == signature.examples.keys()
        outputs = signature.function(*map(tf.constant, signature.examples.values()))
        assert outputs.keys() == signature.expected.keys()
        for key, expected in signature.expected.items():
            if key == "probabilities":
                assert expected.dtype == np.float32
                np.testing.assert_allclose(outputs[key], expected, rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(expected.sum(-1), 1, rtol=1e-5)
            else:
                np.testing.assert_array_equal(outputs[key], expected)
    count = len(default.examples["images"])
    assert default.expected["mask"].dtype == np.uint8
    assert default.expected["mask"].shape == (count, 16, 24)
    assert default.expected["probabilities"].shape == (count, 16, 24, 3)
    assert signature.expected["overlay_bytes"].shape == (count,)


def test_verification_examples_have_no_ambiguous_pixel(model, data, monkeypatch):
    """Half of the images are made ambiguous."""
    first = first_images(data.test, 10)

    def predict(inputs, **_):
        logits = np.zeros((len(inputs), *SHAPE[:2], 3), np.float32)
        logits[..., 1] = np.where(np.arange(len(inputs)) % 2, 1.0, 1e-5)[:, None, None]
        return logits

    monkeypatch.setattr(model, "predict", predict)
    default, _ = signatures(model, data)
    np.testing.assert_array_equal(np.sort(default.examples["images"], 0), np.sort(first[1::2], 0))
    assert (default.expected["mask"] == 1).all()
    # Where all are ambiguous, there is one example.
    monkeypatch.setattr(model, "predict", lambda inputs, **_: predict(inputs) * 0)
    default, _ = signatures(model, data)
    assert len(default.examples["images"]) == 1


def test_verification_examples_are_few_for_large_images(model, data, monkeypatch):
    monkeypatch.setattr(f"{signatures.__module__}._MAX_PROBABILITIES", 2 * 16 * 16 * 3)
    default, _ = signatures(model, data)
    assert 1 <= len(default.examples["images"]) <= 2


def test_a_file_of_another_size_gets_an_overlay_of_its_own_size(model, data):
    (tensor,) = first_images(data.test, 1)
    large = Image.fromarray(tensor.squeeze()).resize((50, 40)).convert("RGB")
    file = io.BytesIO()
    large.save(file, "PNG")
    _, image_bytes = signatures(model, data)
    small = tf.io.encode_png(tensor)
    outputs = image_bytes.function(tf.stack([tf.constant(file.getvalue()), small]))
    assert outputs["mask"].shape == (2, 16, 16)
    overlays = [np.asarray(Image.open(io.BytesIO(png))) for png in outputs["overlay_bytes"].numpy()]
    assert [overlay.shape for overlay in overlays] == [(40, 50, 3), (16, 16, 3)]
    colors = palette(CLASSES)
    rows, columns = ((2 * np.arange(side) + 1) * 16 // (2 * side) for side in (40, 50))
    mask = outputs["mask"].numpy()[0][rows][:, columns]
    expected = overlay(np.asarray(large), mask, colors)
    np.testing.assert_array_equal(overlays[0], expected)


@pytest.mark.parametrize("shape", [(2, 16, 16), (2, 17, 16, 1), (2, 16, 16, 3), (16, 16, 1)])
def test_images_of_another_shape_are_an_error_before_the_network(model, data, shape):
    default, _ = signatures(model, data)
    function = tf.function(
        default.function, input_signature=[tf.TensorSpec(None, tf.uint8, name="images")]
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        function(tf.zeros(shape, tf.uint8))
