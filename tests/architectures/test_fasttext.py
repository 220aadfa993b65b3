"""The bag of words and n-grams: its equation, whatever the padding, and its error messages."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from architectures.fasttext import fasttext

SMALL: dict[str, Any] = {
    "outputs": 2,
    "vocabulary": 9,
    "embedding": 3,
    "ngrams": 3,
    "buckets": 50,
}


@functools.cache
def small() -> keras.Model:
    keras.utils.set_random_seed(5)
    return fasttext(**SMALL)


def bucket(tokens: list[int]) -> int:
    """The bucket of an n-gram, in integers without a limit."""
    hashed = 0
    for token in tokens:
        hashed = hashed * 116_049_371 + token
    signed = (hashed + 2**31) % 2**32 - 2**31
    return signed % SMALL["buckets"]


def by_hand(tokens: list[int]) -> np.ndarray:
    """The mean of the vectors of words, pairs and triples, and the last layer."""
    words, ngrams = (
        small().get_layer(f"{x}_embedding").get_weights()[0] for x in ("token", "ngram")
    )
    runs = [tokens[i : i + n] for n in (2, 3) for i in range(len(tokens) - n + 1)]
    vectors = [words[token] for token in tokens] + [ngrams[bucket(run)] for run in runs]
    kernel, bias = small().get_layer("logits").get_weights()
    return np.mean(vectors, axis=0) @ kernel + bias


@given(st.lists(st.integers(0, 8), min_size=1, max_size=6), st.integers(0, 4))
def test_it_computes_the_paper_s_equation_whatever_the_padding(tokens, padding):
    ids = np.array([tokens + [7] * padding], np.int32)
    mask = np.array([[1] * len(tokens) + [0] * padding], np.int32)
    answer = small()({"token_ids": ids, "padding_mask": mask}, training=False)
    np.testing.assert_allclose(answer[0], by_hand(tokens), rtol=1e-4, atol=1e-5)


def test_a_text_without_tokens_has_the_logits_of_the_bias():
    empty = {"token_ids": np.full((1, 2), 5, np.int32), "padding_mask": np.zeros((1, 2), np.int32)}
    np.testing.assert_allclose(small()(empty)[0], small().get_layer("logits").get_weights()[1])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"ngrams": 0}, "fasttext: ngrams must be positive integers, not 0"),
        ({"buckets": -1}, "fasttext: buckets must be positive integers, not -1"),
        ({"dropout": 1.0}, r"fasttext: dropout must be a number in \[0, 1\), not 1.0"),
    ],
)
def test_what_cannot_be_built_is_refused(config, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        fasttext(**{**SMALL, **config})
