"""Probing: linear classifiers on the features of each layer of a frozen encoder.

Tenney et al., "BERT Rediscovers the Classical NLP Pipeline", 2019, and Devlin et al. 2019, section
5.3 (features from a fixed encoder): hidden states of a layer are pooled to one vector for each
text, and logistic regression on the training split is scored on validation. The encoder is not
trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from architectures.bert import transformer_layers
from pipelines import figures
from pipelines.tasks.text_classification.data import LabeledTexts
from pipelines.text.features import features

POOLINGS = ("cls", "mean", "max")
_MAX_TRAINING = 2000
_MAX_VALIDATION = 1000


def probe(encoder: keras.Model, data: LabeledTexts) -> dict[str, list[float]]:
    """Returns the validation accuracy of each layer's features, by pooling.

    The first value is that of the embeddings, the last that of the last layer. At most 2,000
    training and 1,000 validation texts are used.
    """
    hidden = _hidden(encoder)
    train, labels = _pooled(hidden, data.train.take(_MAX_TRAINING))
    validation, truth = _pooled(hidden, data.validation.take(_MAX_VALIDATION))
    scores: dict[str, list[float]] = {pooling: [] for pooling in POOLINGS}
    for layer in range(train.shape[1]):
        for index, pooling in enumerate(POOLINGS):
            classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
            classifier.fit(train[:, layer, index], labels)
            scores[pooling].append(float(classifier.score(validation[:, layer, index], truth)))
    return scores


def figure(encoder: keras.Model, data: LabeledTexts) -> Figure:
    """Plots `probe`: accuracy over layers, a line for each pooling."""
    return figures.lines(
        probe(encoder, data),
        x_label="layer (0: embeddings)",
        y_label="validation accuracy of a linear probe",
        title="Linear-probe accuracy by layer",
    )


def _hidden(encoder: keras.Model) -> keras.Model:
    """Returns a model with the same layers to the embeddings and to each layer's output."""
    states: list[Any] = []
    layers = transformer_layers(encoder)

    # Recorded call by call, for ALBERT calls one layer several times.
    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if layer in layers:
            states.extend([output] if states else [args[0], output])
        return output

    copy = keras.models.clone_model(encoder, clone_function=lambda layer: layer, call_function=call)
    return keras.Model(copy.input, states)


def _pooled(hidden: keras.Model, examples: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Returns features [texts, layers, poolings, width] and labels [texts]."""

    def pooled(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        # [batch, layers, tokens, width]
        read = {name: inputs[name] for name in hidden.input}
        states = tf.cast(tf.stack(hidden(read, training=False), axis=1), tf.float32)
        real = tf.cast(inputs["padding_mask"], tf.bool)[:, tf.newaxis, :, tf.newaxis]
        counted = tf.cast(real, tf.float32)
        mean = tf.reduce_sum(states * counted, 2) / tf.reduce_sum(counted, 2)
        largest = tf.reduce_max(tf.where(real, states, states.dtype.min), 2)
        return tf.stack([states[:, :, 0], mean, largest], axis=2)

    return features(pooled, examples)
