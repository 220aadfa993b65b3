"""Weights of keras.applications: our networks compute what those do, images as uint8 included."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from architectures import image_checkpoints
from architectures.convnet import convnet
from architectures.image_weights import assign
from architectures.resnet import resnet


def randomized(network):
    """Gives a network random weights, its moving statistics and biases too."""
    random = np.random.default_rng(0)
    for layer in network.layers:
        for variable in layer.weights:
            low, high = (0.5, 1.5) if variable.name in ("gamma", "moving_variance") else (-0.3, 0.3)
            if variable.name == "kernel":
                fan = np.prod(variable.shape[:-1])
                value = random.normal(0, np.sqrt(1.5 / fan), variable.shape)
            else:
                value = random.uniform(low, high, variable.shape)
            variable.assign(value.astype(np.float32))
    return network


@pytest.mark.parametrize("name", ["resnet50", "vgg16"])
def test_our_network_has_the_probabilities_of_the_original(tmp_path, name):
    shape: dict[str, Any] = {"input_shape": (64, 64, 3), "classes": 7}
    if name == "vgg16":
        theirs, prepare = keras.applications.VGG16, keras.applications.vgg16.preprocess_input
        ours = convnet(
            filters=(64, 128, 256, 512, 512),
            convolutions=(2, 2, 3, 3, 3),
            units=(4096, 4096),
            normalize=False,
            stage_dropout=0.0,
            **shape,
        )
    else:
        theirs, prepare = keras.applications.ResNet50, keras.applications.resnet.preprocess_input
        ours = resnet(50, version="1", **shape)
    reference = randomized(theirs(weights=None, **shape))
    reference.save_weights(tmp_path / "saved.weights.h5")
    checkpoint = image_checkpoints.read(tmp_path / "saved.weights.h5")
    assert (checkpoint.architecture, checkpoint.classes, checkpoint.channels) == (name, 7, 3)
    assert checkpoint.version == ("1" if name == "resnet50" else "")
    assign(ours, name, checkpoint, head=range(7))

    images = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    expected = reference(prepare(images.copy()), training=False)
    how = checkpoint.preprocessing
    read = (images / 255 - np.array(how.mean)) / np.array(how.deviation)
    found = keras.ops.softmax(ours(read.astype(np.float32), training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert np.ptp(np.asarray(expected)) > 0.01


def test_another_network_is_named(tmp_path):
    other = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    other.save_weights(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match=r"other\.weights\.h5 has 1 convolutions, as no ResNet50"):
        image_checkpoints.read(tmp_path / "other.weights.h5")
