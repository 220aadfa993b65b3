"""Probing: features of each layer by hand, and a probe that finds what is there to be found."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import architectures
from pipelines.datasets.text_columns import PackedTexts
from pipelines.tasks.text_classification import probing
from pipelines.tasks.text_classification.data import LabeledTexts, labeled_texts
from pipelines.text.tokenizers import SPECIAL, WordPieces
from tests.architectures.encoder_reference import scramble
from tests.pipelines.written import ENCODER, topics

NAMES = {
    "bert": "bert_tiny",
    "albert": "albert_base",
    "electra": "electra_small",
    "distilbert": "distilbert_base",
    "roberta": "roberta_base",
}


def tokenizer(column: PackedTexts, segments: bool = True) -> WordPieces:
    words = {word.strip(".,").lower() for text in column for word in text.split()}
    return WordPieces([*SPECIAL, *sorted(words - {""}), ".", ","], 16, segments=segments)


def loaded(segments: bool = True) -> LabeledTexts:
    columns = {
        split: {
            "text": np.array([row["text"] for row in rows], object),
            "target": np.array([row["label"] for row in rows]),
        }
        for split, rows in topics({"train": 200, "validation": 70, "test": 2}).items()
    }
    return labeled_texts(
        columns,
        lambda column: tokenizer(column, segments),
        class_names=("sea", "wood"),
        name="topics",
        version="1.0.0",
        digest="0123456789ab",
    )


@pytest.fixture(scope="module")
def data() -> LabeledTexts:
    return loaded()


def build(family: str, data: LabeledTexts, layers: int = 2) -> keras.Model:
    narrow = {"embedding": 8} if family in ("albert", "electra") else {}
    model = architectures.build(
        NAMES[family],
        vocabulary=len(data.tokenizer.vocabulary),
        max_length=16,
        **{**ENCODER, **narrow, "layers": layers},
    )
    scramble(model)
    for weight in model.weights:  # As at the start of training, so that no feature vanishes.
        if "norm" in weight.path:
            weight.assign(tf.fill(weight.shape, float(weight.path.endswith("gamma"))))
    return model


@pytest.mark.parametrize("family", NAMES)
def test_every_layer_is_probed_with_every_pooling(family):
    data = loaded(segments=family not in ("distilbert", "roberta"))
    scores = probing.probe(build(family, data, layers=3), data)
    assert tuple(scores) == probing.POOLINGS
    # The embeddings and three layers; ALBERT's one layer is applied three times.
    assert {len(accuracies) for accuracies in scores.values()} == {4}
    assert all(0 <= accuracy <= 1 for row in scores.values() for accuracy in row)
    # Which words there are is in the mean of their embeddings; [CLS] there knows of none.
    assert scores["mean"][0] > 0.7
    assert scores["cls"][0] == pytest.approx(0.5, abs=0.02)
    # Behind an attention it does.
    assert max(scores["cls"][1:]) > 0.55


def test_layers_are_told_apart(data):
    """The last values are those of the encoder's own output."""
    encoder = build("albert", data, layers=3)
    seen: list[np.ndarray] = []
    pooled = probing._pooled

    def kept(hidden, examples):
        features, labels = pooled(hidden, examples)
        seen.append(features)
        return features, labels

    probing._pooled = kept
    try:
        probing.probe(encoder, data)
    finally:
        probing._pooled = pooled
    train, validation = seen
    assert train.shape == (200, 4, 3, 16)
    ((inputs, _),) = data.validation.padded_batch(100)
    output = encoder(inputs)["sequence_output"].numpy()
    np.testing.assert_allclose(validation[:, 3, 0], output[:, 0], atol=1e-4)
    for layer in range(3):
        assert np.abs(validation[:, layer] - validation[:, layer + 1]).max() > 0.01


def test_features_are_pooled_over_real_tokens_only():
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    numbers = keras.ops.cast(ids, "float32")[..., None]
    inputs = {"token_ids": ids, "padding_mask": mask}
    hidden = keras.Model(inputs, [numbers, -numbers])
    rows = [[4, 2, 9], [1, 5], [7]]
    examples = tf.data.Dataset.from_tensor_slices((tf.ragged.constant(rows), [0, 1, 0])).map(
        lambda row, label: ({"token_ids": row, "padding_mask": tf.ones_like(row)}, label)
    )
    features, labels = probing._pooled(hidden, examples)
    assert labels.tolist() == [0, 1, 0]
    # [texts, layers, poolings, width]: the first token, the mean, the largest.
    np.testing.assert_allclose(
        features[..., 0],
        [
            [[4, 5, 9], [-4, -5, -2]],
            [[1, 3, 5], [-1, -3, -1]],
            [[7, 7, 7], [-7, -7, -7]],
        ],
        rtol=1e-6,
    )


def test_the_encoder_learns_nothing_and_not_all_texts_are_needed(data, monkeypatch):
    encoder = build("bert", data)
    before = [weight.numpy() for weight in encoder.weights]
    monkeypatch.setattr(probing, "_MAX_TRAINING", 30)
    monkeypatch.setattr(probing, "_MAX_VALIDATION", 10)
    scores = probing.probe(encoder, data)
    for weight, value in zip(encoder.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)
    for accuracy in (value for row in scores.values() for value in row):
        assert accuracy * 10 == pytest.approx(round(accuracy * 10))


def test_the_figure_has_a_line_for_each_pooling(data, monkeypatch):
    scores = {"cls": [0.5, 0.6], "mean": [0.7, 0.8], "max": [0.6, 0.9]}
    monkeypatch.setattr(probing, "probe", lambda encoder, data: scores)
    (axes,) = probing.figure(keras.Model(), data).axes
    plotted = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in axes.lines}
    assert plotted == scores
