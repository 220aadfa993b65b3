"""U-Net: the published sizes and count, its skip connections, and the error for other sizes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from architectures.counting import abstract, count_parameters
from architectures.unet import output_size, unet

PUBLISHED: dict[str, Any] = {
    "classes": 2,
    "input_shape": (572, 572, 1),
    "padding": "valid",
    "normalize": False,
}


def test_the_published_network_has_its_published_count():
    counts = count_parameters(unet, **PUBLISHED)
    assert (counts.total, counts.trainable) == (31_030_658, 31_030_658)


def test_the_published_network_maps_572_to_388():
    with abstract():
        assert unet(**PUBLISHED).output_shape == (None, 388, 388, 2)


def test_the_smallest_legal_input_is_188():
    assert output_size(188) == 4
    assert all(output_size(size) is None for size in range(1, 188))


@given(st.integers(1, 3), st.integers(1, 200), st.sampled_from(["valid", "same"]))
def test_a_size_is_built_as_calculated_or_refused_with_sizes_that_work(depth, size, padding):
    config: dict[str, Any] = {"classes": 2, "filters": 1, "depth": depth, "padding": padding}
    expected = output_size(size, depth, padding)
    with abstract():
        if expected is not None:
            model = unet(input_shape=(size, size, 1), normalize=False, **config)
            assert model.output_shape == (None, expected, expected, 2)
            return
        with pytest.raises(ValueError, match="do not divide evenly") as error:
            unet(input_shape=(size, size, 1), **config)
        for near in str(error.value).rpartition(" do are ")[2].split(" and "):
            assert output_size(int(near), depth, padding) is not None


def test_a_skip_connection_concatenates_the_cropped_map_with_the_upsampled_one():
    model = unet(
        classes=2, input_shape=(44, 44, 1), filters=2, depth=2, padding="valid", normalize=False
    )
    names = ("down1_conv2_relu", "up1_conv", "up1_concat")
    parts = keras.Model(model.input, [model.get_layer(name).output for name in names])
    images = np.random.default_rng(0).normal(size=(1, 44, 44, 1)).astype(np.float32)
    encoder, upsampled, joined = (np.asarray(part) for part in parts(images))
    margin = (encoder.shape[1] - upsampled.shape[1]) // 2
    cropped = encoder[:, margin:-margin, margin:-margin]
    np.testing.assert_array_equal(joined, np.concatenate([cropped, upsampled], -1))


def test_any_multiple_fits_where_the_size_is_free():
    model = unet(classes=3, input_shape=(None, None, 1), filters=2, depth=2)
    for height, width in ((8, 12), (16, 4)):
        shape = model(np.zeros((1, height, width, 1), np.float32)).shape
        assert tuple(shape) == (1, height, width, 3)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"input_shape": (30, 32, 1)}, "unet: images of side 30 .* are 28 and 32"),
        ({"padding": "full"}, "unet: padding must be one of 'valid', 'same', not 'full'"),
        ({"depth": 0}, "unet: depth must be positive integers, not 0"),
        (
            {"input_shape": (None, None, 1), "padding": "valid"},
            "unet: padding 'valid' needs a fixed height and width",
        ),
    ],
)
def test_a_bad_hyperparameter_is_named(wrong, sentence):
    config: dict[str, Any] = {"classes": 2, "input_shape": (32, 32, 1), "depth": 2, **wrong}
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        unet(**config)
