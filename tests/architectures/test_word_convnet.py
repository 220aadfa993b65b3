"""The convolutional network over words: its equation, its constraint, and its error messages."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from architectures.word_convnet import word_convnet

SMALL: dict[str, Any] = {
    "outputs": 2,
    "vocabulary": 9,
    "embedding": 3,
    "filters": 4,
    "widths": (2, 3),
}


def small() -> keras.Model:
    keras.utils.set_random_seed(5)
    return word_convnet(**SMALL)


@functools.cache
def shared() -> keras.Model:
    """The same model each time; tests must not change it."""
    return small()


def by_hand(model: keras.Model, tokens: list[int]) -> np.ndarray:
    """The largest value of each filter over the words, each filter centered on each word."""
    vectors = model.get_layer("token_embedding").get_weights()[0][tokens]
    features = []
    for name in ("conv1", "conv2"):
        kernel, bias = model.get_layer(name).get_weights()
        width = len(kernel)
        left = (width - 1) // 2
        padded = np.pad(vectors, ((left, width - 1 - left), (0, 0)))
        maps = [
            np.einsum("we,wef->f", padded[i : i + width], kernel) + bias for i in range(len(tokens))
        ]
        features.append(np.maximum(np.max(maps, axis=0), 0))
    kernel, bias = model.get_layer("logits").get_weights()
    return np.concatenate(features) @ kernel + bias


@given(st.lists(st.integers(0, 8), min_size=1, max_size=6), st.integers(0, 4))
def test_it_computes_the_paper_s_equation_whatever_the_padding(tokens, padding):
    model = shared()
    ids = np.array([tokens + [7] * padding], np.int32)
    mask = np.array([[1] * len(tokens) + [0] * padding], np.int32)
    answer = model({"token_ids": ids, "padding_mask": mask}, training=False)
    np.testing.assert_allclose(answer[0], by_hand(model, tokens), rtol=1e-4, atol=1e-5)


def test_the_last_layer_keeps_its_norm_at_three_or_less():
    model = small()
    model.compile(keras.optimizers.SGD(100.0), keras.losses.MeanSquaredError())
    inputs = {"token_ids": np.ones((4, 3), np.int32), "padding_mask": np.ones((4, 3), np.int32)}
    model.fit(inputs, np.full((4, 2), 50.0), epochs=2, verbose=0)
    norms = np.linalg.norm(model.get_layer("logits").get_weights()[0], axis=0)
    assert norms.max() == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"widths": ()}, "word_convnet: widths needs at least one width"),
        ({"widths": (0,)}, "word_convnet: widths must be positive integers, not 0"),
        ({"filters": 0}, "word_convnet: filters must be positive integers, not 0"),
        ({"dropout": 1.0}, r"word_convnet: dropout must be a number in \[0, 1\), not 1.0"),
    ],
)
def test_what_cannot_be_built_is_refused(config, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        word_convnet(**{**SMALL, **config})
