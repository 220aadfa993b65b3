"""Residual networks against keras.applications, their counts and their defining property."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from architectures.counting import abstract, count_parameters
from architectures.resnet import resnet

IMAGENET: dict[str, Any] = {"classes": 1000, "input_shape": (224, 224, 3)}
CIFAR: dict[str, Any] = {"classes": 10, "input_shape": (32, 32, 3), "stem": "cifar"}
SMALL: dict[str, Any] = {"classes": 3, "input_shape": (16, 16, 3), "stem": "cifar"}


@pytest.mark.parametrize(
    ("depth", "trainable"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
@pytest.mark.parametrize("version", ["1", "1.5"])
def test_imagenet_counts_are_the_published_ones(depth, version, trainable):
    assert count_parameters(resnet, depth, version=version, **IMAGENET).trainable == trainable


@pytest.mark.parametrize(
    ("depth", "option_a", "option_b"),
    [
        (20, 269_722, 272_474),
        (32, 464_154, 466_906),
        (44, 658_586, 661_338),
        (56, 853_018, 855_770),
        (110, 1_727_962, 1_730_714),
    ],
)
def test_cifar_counts_are_the_published_ones(depth, option_a, option_b):
    assert count_parameters(resnet, depth, shortcut="A", **CIFAR).trainable == option_a
    assert count_parameters(resnet, depth, shortcut="B", **CIFAR).trainable == option_b


def test_the_plain_counterpart_has_the_parameters_of_option_a():
    plain = count_parameters(resnet, 20, shortcut="none", **CIFAR)
    assert plain == count_parameters(resnet, 20, shortcut="A", **CIFAR)


def test_version_2_moves_the_norms_and_keeps_the_convolutions():
    """It lacks the norms of projections and of each block's end, and has one before each block
    but the first, and one at the end: 4 scales and offsets per channel."""
    first = count_parameters(resnet, 50, version="1", **IMAGENET).total
    ends = [256] * 3 + [512] * 4 + [1024] * 6 + [2048] * 3
    projections = [256, 512, 1024, 2048]
    entries = [256] * 2 + [256] + [512] * 3 + [512] + [1024] * 5 + [1024] + [2048] * 2
    second = first + 4 * (sum(entries) + 2048 - sum(ends) - sum(projections))
    assert count_parameters(resnet, 50, version="2", **IMAGENET).total == second


def test_resnet50_version_1_equals_keras_applications_with_copied_weights():
    keras.utils.set_random_seed(0)
    reference = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=7)
    ours = resnet(50, classes=7, input_shape=(64, 64, 3), version="1")
    _copy_from_applications(reference, ours)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    expected = reference(images, training=False)
    found = keras.ops.softmax(ours(images, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def _copy_from_applications(reference: keras.Model, ours: keras.Model) -> None:
    """Copies weights by position in the block; keras.applications has biases, still zero here."""

    def copy(theirs: str, mine: str) -> None:
        kernel, bias = reference.get_layer(f"{theirs}_conv").get_weights()
        assert not bias.any()
        ours.get_layer(mine).set_weights([kernel])
        values = reference.get_layer(f"{theirs}_bn").get_weights()
        ours.get_layer(f"{mine}_norm").set_weights(values)
        # Its epsilon is 1.001e-5.
        ours.get_layer(f"{mine}_norm").epsilon = 1.001e-5

    copy("conv1", "conv1")
    for stage, blocks in zip((2, 3, 4, 5), (3, 4, 6, 3), strict=True):
        for block in range(1, blocks + 1):
            if block == 1:
                copy(f"conv{stage}_block1_0", f"conv{stage}_1_shortcut")
            for index in (1, 2, 3):
                copy(f"conv{stage}_block{block}_{index}", f"conv{stage}_{block}_{index}")
    ours.get_layer("logits").set_weights(reference.get_layer("predictions").get_weights())


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_with_zero_gamma_each_block_starts_as_its_shortcut(shortcut):
    model = resnet(20, shortcut=shortcut, zero_gamma=True, **SMALL)
    stem = keras.Model(model.input, model.get_layer("conv1_relu").output)
    # Blocks of the first stage keep width and size: their shortcut is the identity.
    stage = keras.Model(model.input, model.get_layer("conv2_3_relu").output)
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(stage(images), stem(images))
    plain = resnet(20, shortcut="none", **SMALL)
    stem = keras.Model(plain.input, plain.get_layer("conv1_relu").output)
    stage = keras.Model(plain.input, plain.get_layer("conv2_3_relu").output)
    assert np.abs(np.asarray(stage(images)) - np.asarray(stem(images))).max() > 0.1


def test_option_a_subsamples_and_appends_zeros():
    model = resnet(8, shortcut="A", **SMALL)
    before = model.get_layer("conv2_1_relu").output
    after = model.get_layer("conv3_1_shortcut_pad").output
    images = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype(np.float32)
    x, y = (np.asarray(v) for v in keras.Model(model.input, [before, after])(images))
    np.testing.assert_array_equal(y[..., :16], x[:, ::2, ::2])
    assert not y[..., 16:].any()


@pytest.mark.parametrize(("version", "strides"), [("1", [2, 1, 1]), ("1.5", [1, 2, 1])])
def test_versions_1_and_15_stride_in_different_convolutions(version, strides):
    with abstract():
        model = resnet(50, classes=2, input_shape=(64, 64, 3), version=version)
        layers = [model.get_layer(f"conv3_1_{index}") for index in (1, 2, 3)]
    assert [layer.strides[0] for layer in layers] == strides


@pytest.mark.parametrize(
    ("depth", "wrong", "sentence"),
    [
        (17, {"stem": "imagenet"}, "resnet: depth must be one of 18, 34, 50, 101, 152, not 17"),
        (21, {}, "resnet: depth must be 6n .* 20 is nearest to 21"),
        (20, {"stem": "x"}, "resnet: stem must be one of 'imagenet', 'cifar', not 'x'"),
        (20, {"shortcut": "C"}, "resnet: shortcut must be one of 'A', 'B', 'none', not 'C'"),
        (20, {"version": 2}, "resnet: version must be one of '1', '1.5', '2', not 2"),
        (20, {"version": "2", "zero_gamma": True}, "resnet: zero_gamma needs version 1 or 1.5 .*"),
        (20, {"input_shape": (8, 8)}, r"resnet: input_shape must be \(height, .*\), not \(8, 8\)"),
    ],
)
def test_a_bad_hyperparameter_is_named(depth, wrong, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        resnet(depth, **{**SMALL, **wrong})
