"""Features of texts: what a network that is not trained on computes for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from pipelines.training import batching

_BATCH = 64


def features(
    compute: Callable[[Mapping[str, tf.Tensor]], tf.Tensor], examples: tf.data.Dataset
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features of texts, and their labels, in the order of the texts.

    Texts are batched with others of about their length, as padding costs as much as tokens do.

    Args:
        compute: From inputs, each [batch, tokens, ...], to features, [batch, ...].
        examples: (inputs, int64 []) examples.

    Returns:
        Features, [texts, ...], and labels, int64 [texts].
    """
    batches = batching.by_length(examples.enumerate(), _BATCH)
    _, (spec, _) = batches.element_spec
    graph = tf.function(compute, input_signature=[spec])  # One for all lengths.
    places, found, labels = [], [], []
    for place, (inputs, label) in batches:
        places.append(place.numpy())
        found.append(graph(inputs).numpy())
        labels.append(label.numpy())
    order = np.argsort(np.concatenate(places))
    return np.concatenate(found)[order], np.concatenate(labels)[order]
