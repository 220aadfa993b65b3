"""Baselines of image captioning say what their neighbors say."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer

from pipelines.tasks.image_captioning import baselines
from tests.pipelines.tasks.image_captioning import examples

# Two kinds of images, near 0 and near 1.
TRAIN = np.array([[0.0, 0.1], [0.1, 0.0], [0.1, 0.1], [1.0, 0.9], [0.9, 1.0]], np.float32)
KNOWN = [("a dog", "one dog"), ("a dog", "the dog"), ("a dog runs",), ("a cat",), ("a cat", "cat")]


@pytest.fixture
def vectorizer() -> TfidfVectorizer:
    found = TfidfVectorizer(analyzer=baselines._grams)
    return found.fit([caption for own in KNOWN for caption in own])


def test_the_most_frequent_caption_is_said_of_all():
    captioner = baselines.most_frequent(KNOWN)
    assert captioner(TRAIN[:2]) == [captioner(TRAIN[3:4])[0]] * 2
    assert captioner(TRAIN[:1])[0] in ("a dog", "a cat")
    assert baselines.most_frequent([("x", "y"), ("y",)])(TRAIN[:1]) == ["y"]


def test_the_nearest_image_lends_its_first_caption():
    captioner = baselines.nearest(TRAIN, KNOWN)
    assert captioner(np.array([[0, 0.09], [0.99, 0.9]], np.float32)) == ["a dog", "a cat"]


def test_the_consensus_is_what_most_neighbors_say(vectorizer, monkeypatch):
    monkeypatch.setattr(baselines, "_NEIGHBORS", 3)
    captioner = baselines.consensus(TRAIN, KNOWN, vectorizer)
    assert captioner(TRAIN[[2]]) == ["a dog"]  # Not its own caption, "a dog runs".


def test_a_linear_regression_finds_captions_of_the_kind(vectorizer):
    captioner = baselines.regression(
        np.repeat(TRAIN, 9, 0), [k for k in KNOWN for _ in range(9)], vectorizer
    )
    low, high = captioner(np.array([[0.05, 0.05], [0.95, 0.95]], np.float32))
    assert "dog" in low
    assert "cat" in high


def test_thumbnails_are_small_and_flat():
    images = np.zeros((3, 64, 8, 1), np.uint8)
    images[1, :32] = 255
    found = baselines.thumbnails(tf.data.Dataset.from_tensor_slices(images))
    assert found.shape == (3, 32 * 8)
    assert found[1, : 16 * 8].min() == 1
    assert found[1, 16 * 8 :].max() == 0


def test_all_are_scored_on_both_splits():
    data = examples.loaded(examples.config())
    found = {baseline.name: baseline for baseline in baselines.baselines(data)}
    assert list(found) == [
        "the most frequent caption",
        "the nearest image's caption",
        "the consensus of the nearest images",
        "linear regression to captions",
    ]
    # Bright corners are found in pixels.
    assert found["linear regression to captions"].test["exact_match"] == 1
    assert found["the most frequent caption"].test["exact_match"] < 0.6
