"""The convolutional classifier: its published sizes, its arithmetic, and its error messages."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import architectures
from architectures.convnet import convnet
from architectures.counting import abstract


@pytest.mark.parametrize(("name", "layers"), [("vgg11", 11), ("vgg13", 13), ("vgg16", 16)])
def test_vgg_is_called_after_its_layers_with_weights(name, layers):
    with abstract():
        model = architectures.build(name)
    assert sum(bool(layer.weights) for layer in model.layers) == layers
    # Five poolings take the 224 pixels of a side to 7.
    assert model.get_layer("pool5").output.shape == (None, 7, 7, 512)


@given(
    classes=st.integers(1, 4),
    shape=st.tuples(st.integers(8, 12), st.integers(8, 12), st.integers(1, 3)),
    stages=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 2)), min_size=1, max_size=2),
    units=st.lists(st.integers(1, 4), max_size=2),
    kernel=st.integers(1, 3),
    normalize=st.booleans(),
)
def test_parameters_follow_the_closed_form(classes, shape, stages, units, kernel, normalize):
    height, width, channels = shape
    expected = 0
    for filters, depth in stages:
        for _ in range(depth):
            # Normalization has four vectors and takes the place of the bias.
            expected += kernel * kernel * channels * filters + filters * (4 if normalize else 1)
            channels = filters
        height, width = height // 2, width // 2
    features = height * width * channels
    for following in (*units, classes):
        expected += (features + 1) * following
        features = following
    with abstract():
        model = convnet(
            classes=classes,
            input_shape=shape,
            filters=[filters for filters, _ in stages],
            convolutions=[depth for _, depth in stages],
            kernel_size=kernel,
            normalize=normalize,
            units=units,
        )
    assert model.count_params() == expected


def test_a_convolution_agrees_with_the_example_worked_by_hand():
    """1 to 25 by rows: a pixel less the one two columns on is -2, and three rows of it are -6."""
    model = convnet(
        classes=2,
        input_shape=(5, 5, 1),
        filters=(1,),
        convolutions=1,
        padding="valid",
        activation="linear",
        normalize=False,
        pool_size=1,
    )
    convolution = model.get_layer("conv1_1")
    kernel = np.array([[1, 0, -1]] * 3).reshape(3, 3, 1, 1)
    convolution.set_weights([kernel, np.zeros(1)])
    image = np.arange(1, 26, dtype="float32").reshape(1, 5, 5, 1)
    answer = keras.Model(model.input, convolution.output)(image)
    np.testing.assert_allclose(answer, np.full((1, 3, 3, 1), -6))


def test_pooling_ends_a_stage_and_keeps_the_largest():
    model = convnet(
        classes=2,
        input_shape=(4, 4, 1),
        filters=(1,),
        convolutions=1,
        kernel_size=1,
        activation="relu",
        normalize=False,
    )
    model.get_layer("conv1_1").set_weights([np.ones((1, 1, 1, 1)), -np.ones(1) * 6])
    image = np.arange(1, 17, dtype="float32").reshape(1, 4, 4, 1)
    answer = keras.Model(model.input, model.get_layer("pool1").output)(image)
    # 6, 8, 14 and 16 are the largest of the four quarters; the first ends below zero.
    np.testing.assert_array_equal(np.asarray(answer).reshape(2, 2), [[0, 2], [8, 10]])


@pytest.mark.parametrize(
    ("head", "reduce"), [("max", np.max), ("average", np.mean)], ids=["max", "average"]
)
def test_a_global_head_sees_one_number_per_channel(head, reduce):
    config: dict[str, Any] = {"classes": 2, "filters": (3,), "head": head, "units": ()}
    model = convnet(input_shape=(8, 8, 1), pooling="average", **config)
    names = ("pool1", "global_pool")
    parts = keras.Model(model.input, [model.get_layer(name).output for name in names])
    image = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    stage, features = (np.asarray(part) for part in parts(image))
    np.testing.assert_allclose(features, reduce(stage, axis=(1, 2)), rtol=1e-5)
    # The head is the same for a larger image.
    assert convnet(input_shape=(32, 8, 1), **config).count_params() == model.count_params()


def test_weight_decay_is_the_sum_of_squares_of_all_kernels():
    model = convnet(classes=2, input_shape=(8, 8, 1), filters=(2,), units=(3,), l2=0.5)
    kernels = [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]
    assert len(kernels) == len(model.losses) == 4
    expected = 0.5 * sum(float((kernel.numpy() ** 2).sum()) for kernel in kernels)
    np.testing.assert_allclose(float(sum(model.losses)), expected, rtol=1e-5)


@pytest.mark.parametrize("units", [(), (8,)])
def test_dropout_stands_in_the_head_with_and_without_hidden_layers(units):
    keras.utils.set_random_seed(0)
    model = convnet(
        classes=2,
        input_shape=(8, 8, 1),
        filters=(4,),
        stage_dropout=0.0,
        units=units,
        dropout=0.5,
    )
    batch = np.random.default_rng(0).uniform(size=(16, 8, 8, 1)).astype("float32")

    def differences(training: bool) -> int:
        one, two = (np.asarray(model(batch, training=training)) for _ in range(2))
        return int((one != two).sum())

    assert differences(training=True) > 0
    assert differences(training=False) == 0


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"input_shape": (8, 8)}, r"input_shape must be \(height, width, channels\)"),
    ({"input_shape": (None, 8, 1)}, "input_shape must be positive integers, not None"),
    ({"input_shape": 8}, r"input_shape must be \(height, width, channels\), not 8"),
    ({"classes": 0}, "classes must be positive integers, not 0"),
    ({"classes": 2.5}, "classes must be positive integers, not 2.5"),
    ({"filters": ()}, "filters needs at least one stage"),
    ({"filters": (4, -1)}, "filters must be positive integers, not -1"),
    ({"filters": 4}, "filters must be a list of integers, not 4"),
    ({"filters": "44"}, "filters must be a list of integers, not '44'"),
    ({"convolutions": (1, 1, 1)}, "convolutions has 3 entries for 1 stages in filters"),
    ({"convolutions": 0}, "convolutions must be positive integers, not 0"),
    ({"convolutions": 1.5}, "convolutions must be a list of integers, not 1.5"),
    ({"kernel_size": 0}, "kernel_size must be positive integers, not 0"),
    ({"kernel_size": "3"}, "kernel_size must be positive integers, not '3'"),
    ({"pool_size": 0}, "pool_size must be positive integers, not 0"),
    ({"padding": "full"}, "padding must be one of 'same', 'valid', not 'full'"),
    ({"pooling": "min"}, "pooling must be one of 'max', 'average', not 'min'"),
    ({"head": "mean"}, "head must be one of 'flatten', 'max', 'average', not 'mean'"),
    ({"units": (0,)}, "units must be positive integers, not 0"),
    ({"units": None}, "units must be a list of integers, not None"),
    ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), not 1.0"),
    ({"dropout": "much"}, r"dropout must be a number in \[0, 1\), not 'much'"),
    ({"stage_dropout": -0.1}, r"stage_dropout must be a number in \[0, 1\), not -0.1"),
    ({"activation": "quick"}, "Keras has no activation 'quick'"),
    ({"filters": (4, 4, 4, 4)}, "images of 8x8 are used up by stage 4 of 4; use fewer filters"),
    ({"kernel_size": 5, "padding": "valid", "convolutions": 2}, "images of 8x8 are used up by"),
]


@pytest.mark.parametrize(("changed", "message"), WRONG, ids=lambda part: str(part)[:40])
def test_a_wrong_hyperparameter_raises_one_sentence(changed, message):
    config = {"classes": 2, "input_shape": (8, 8, 1), "filters": (4,), **changed}
    with pytest.raises(ValueError, match=f"^convnet: {message}") as caught:
        architectures.build("convnet", **config)
    assert "\n" not in str(caught.value)


def mostly(right: st.SearchStrategy, *wrong: Any) -> st.SearchStrategy:
    return st.integers(0, 9).flatmap(lambda n: st.sampled_from(wrong) if n == 9 else right)


@settings(max_examples=100)
@given(
    st.fixed_dictionaries(
        {
            "classes": mostly(st.integers(1, 3), 0, None, "ten"),
            "input_shape": mostly(
                st.tuples(st.integers(4, 9), st.integers(4, 9), st.integers(1, 3)),
                *((8, 8), (0, 8, 1), (8, 8, 0), (8, None, 1), 8, None),
            ),
            "filters": mostly(st.lists(st.integers(1, 3), min_size=1, max_size=2), [], [0], 3, "x"),
            "convolutions": mostly(st.integers(1, 2), 0, [1, 1, 1], 1.5, None),
            "kernel_size": mostly(st.integers(1, 4), 0, 2.5, [3, 3]),
            "padding": mostly(st.sampled_from(["same", "valid"]), "full", None, 3),
            "activation": mostly(st.sampled_from(["relu", "tanh"]), "quick", 3),
            "pool_size": mostly(st.integers(1, 3), 0, -1, "2"),
            "stage_dropout": mostly(st.floats(0, 0.9), 1.0, "x", None),
            "units": mostly(st.lists(st.integers(1, 3), max_size=1), [0], 5, None, "x"),
            "dropout": mostly(st.floats(0, 0.9), 1.0, float("nan"), [0.5]),
        }
    )
)
def test_a_configuration_is_either_built_or_refused_by_the_builder(config):
    """Never by a layer in the middle, whose message would name no hyperparameter."""
    with abstract():
        try:
            shape = convnet(**config).output_shape
        except ValueError as error:
            if not str(error).startswith("convnet: "):
                raise
        else:
            assert shape == (None, config["classes"])
