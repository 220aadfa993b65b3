"""U-Net with a residual encoder: counts, skip connections, and the error for other sizes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from architectures.counting import abstract, count_parameters
from architectures.residual_unet import residual_unet
from architectures.resnet import resnet

PUBLISHED: dict[str, Any] = {"classes": 1, "input_shape": (224, 224, 3)}
SMALL: dict[str, Any] = {"classes": 3, "input_shape": (32, 64, 3), "filters": (6, 5, 4, 3, 2)}


@pytest.mark.parametrize(
    ("depth", "trainable"), [(18, 14_328_209), (34, 24_436_369), (50, 32_521_105)]
)
@pytest.mark.parametrize("version", ["1", "1.5"])
def test_counts_are_those_of_segmentation_models(depth, trainable, version):
    assert (
        count_parameters(residual_unet, depth, version=version, **PUBLISHED).trainable == trainable
    )


@pytest.mark.parametrize(("depth", "widths"), [(18, (64, 128, 256, 512)), (50, (256, 512, 1024))])
def test_the_expanding_path_has_as_many_parameters_as_its_convolutions_and_norms(depth, widths):
    """In closed form: two convolutions a level, 4 values a channel for norms, and the logits."""
    widths = (64, *widths) if depth == 18 else (64, *widths, 2048)
    filters, classes = (256, 128, 64, 32, 16), 7
    into = [widths[-1], *filters[:-1]]
    skips = [*reversed(widths[:-1]), 0]
    expected = (
        9 * filters[-1] * classes
        + classes
        + sum(
            9 * (below + skip) * width + 9 * width * width + 8 * width
            for below, skip, width in zip(into, skips, filters, strict=True)
        )
    )
    shape = (64, 64, 3)
    whole = count_parameters(residual_unet, depth, classes=classes, input_shape=shape).total
    body = count_parameters(resnet, depth, classes=1, input_shape=shape).total - widths[-1] - 1
    assert whole - body == expected


@pytest.mark.parametrize("depth", [18, 50])
def test_skip_connections_are_the_stem_and_the_stages_of_the_residual_network(depth):
    with abstract():
        model = residual_unet(depth, **SMALL)
        joined = [model.get_layer(f"up{level}_concat").input for level in (1, 2, 3, 4)]
        sizes = [tuple(skip.shape[1:3]) for _, skip in joined]
        assert sizes == [(2, 4), (4, 8), (8, 16), (16, 32)]
        last = {18: (2, 2, 2), 50: (3, 4, 6)}[depth]
        names = ["conv1_relu", *(f"conv{n}_{k}_relu" for n, k in zip((2, 3, 4), last, strict=True))]
        assert [
            skip is model.get_layer(name).output
            for (_, skip), name in zip(joined, reversed(names), strict=True)
        ] == [True] * 4
        assert model.output_shape == (None, 32, 64, 3)


def test_the_encoder_computes_what_the_residual_network_does():
    keras.utils.set_random_seed(0)
    model = residual_unet(18, **SMALL)
    body = resnet(18, classes=5, input_shape=(32, 64, 3))
    for layer in body.layers[:-2]:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    images = np.random.default_rng(0).normal(size=(1, 32, 64, 3)).astype(np.float32)
    ends = ["conv1_relu", "conv5_2_relu"]
    ours, expected = (
        keras.Model(one.input, [one.get_layer(name).output for name in ends])(images)
        for one in (model, body)
    )
    for found, wanted in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"input_shape": (48, 64, 3)}, "residual_unet: images of side 48 .* are 32 and 64"),
        ({"input_shape": (64, 8, 3)}, "residual_unet: images of side 8 .* do are 32"),
        ({"version": "2"}, "residual_unet: version must be one of '1', '1.5', not '2'"),
        ({"filters": (4, 4)}, "residual_unet: filters must have 5 entries, .*, not 2"),
        ({"depth": 20}, "resnet: depth must be one of 18, 34, 50, 101, 152, not 20"),
    ],
)
def test_a_bad_hyperparameter_is_named(wrong, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        residual_unet(**{**SMALL, **wrong})
