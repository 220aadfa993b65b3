"""Embeddings: hidden states pooled over the real tokens."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipelines.tasks.pretraining.embedding import embedder, encoder_inputs
from pipelines.text.tokenizers import dense


def test_vectors_are_hidden_states_pooled_over_the_real_tokens(bert):
    encoder = bert.network.parts["encoder"]
    texts = ["a ship", "", "moss of a Häher, a tree"]
    inputs = {k: x.numpy() for k, x in dense(bert.data.tokenizer(tf.constant(texts))).items()}
    given = encoder_inputs(encoder, {**inputs, "other": 0})
    assert given.keys() == encoder.input.keys()
    vectors = embedder(encoder).predict(given, verbose=0)
    hidden = encoder.predict(given, verbose=0)["sequence_output"]
    for row, real in enumerate(inputs["padding_mask"] > 0):
        expected = {
            "cls": hidden[row, 0],
            "mean": hidden[row, real].mean(0),
            "max": hidden[row, real].max(0),
        }
        assert vectors.keys() == expected.keys()
        for name, vector in expected.items():
            np.testing.assert_allclose(vectors[name][row], vector, rtol=1e-4, atol=1e-5)
