"""Masked language modeling: loss, accuracy, predictions, their scores and samples.

Targets are the original tokens at "mask_positions", int [batch, masks]; rows with fewer masks than
others end with `IGNORE_ID`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.pretraining.data import Segments

# Token 0 is padding, which is never masked.
IGNORE_ID = 0
# Tokens that signatures return for each [MASK].
TOP_K = 5
_SAMPLES = 5
# Weights of the head, beside those of its encoder.
_HEAD_FILE = "masked_lm.npz"
_HEAD = ("masked_lm_dense", "masked_lm_norm", "masked_lm")


def loss() -> keras.Loss:
    """Returns the mean cross-entropy of the masked tokens."""
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORE_ID)


@keras.saving.register_keras_serializable(package="pipelines")
class MaskedAccuracy(keras.metrics.Mean):
    """Accuracy over the masked tokens, int [batch, masks]."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true = keras.ops.cast(y_true, "int32")
        correct = keras.ops.cast(keras.ops.argmax(y_pred, -1), "int32") == y_true
        super().update_state(correct, sample_weight=y_true != IGNORE_ID)


def accuracy() -> keras.Metric:
    """Returns the accuracy over the masked tokens."""
    return MaskedAccuracy(name="accuracy")


def write_head(model: keras.Model, folder: Path) -> None:
    """Writes the weights of the head that predicts tokens into an encoder's directory."""
    weights: Any = {k: w.numpy() for k, w in _head_weights(model).items()}
    np.savez(folder / _HEAD_FILE, **weights)


def read_head(model: keras.Model, folder: Path) -> None:
    """Reads what `write_head` wrote, if the directory has it and the model's head is as large."""
    file, weights = folder / _HEAD_FILE, _head_weights(model)
    if not file.is_file():
        return
    with np.load(file) as found:
        values = dict(found)
    if {k: w.shape for k, w in weights.items()} == {k: x.shape for k, x in values.items()}:
        for name, weight in weights.items():
            weight.assign(values[name])


def _head_weights(model: keras.Model) -> dict[str, keras.Variable]:
    named = {layer.name: layer for layer in model.layers if layer.name in _HEAD}
    return {f"{name}/{w.name}": w for name, layer in named.items() for w in layer.weights}


def most_probable(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the most probable "token" at each mask, int32 [batch, masks]."""
    return {"token": tf.argmax(logits, -1, output_type=tf.int32)}


def predict(logits: tf.Tensor, original: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns what `scores` and figures need of a batch, each [batch, masks].

    Args:
        logits: float32 [batch, masks, vocabulary].
        original: The masked tokens, int32 [batch, masks].

    Returns:
        "token", the most probable one; its probability "score"; and "log_probability", that of the
        original token.
    """
    log_p = tf.nn.log_softmax(logits)
    return {
        **most_probable(logits),
        "score": tf.exp(tf.reduce_max(log_p, -1)),
        "log_probability": tf.gather(log_p, original, batch_dims=2),
    }


def statistics(predictions: Predictions) -> dict[str, np.ndarray]:
    """Returns what `scores` sums up of "token", "log_probability" and "masked_lm".

    These are [examples, masks], statistics [examples].
    """
    original, predicted = predictions.examples["masked_lm"], predictions.predicted
    real = original != IGNORE_ID
    surprisal = np.where(real, -predicted["log_probability"].astype(np.float64), 0)
    return {
        "masked_tokens": real.sum(-1),
        "right_tokens": (real & (predicted["token"] == original)).sum(-1),
        "surprisal": surprisal.sum(-1),
    }


def scores(predictions: Predictions) -> Scores:
    """Scores predictions with the `statistics` of their examples.

    Returns:
        masked_lm_accuracy; masked_lm_perplexity: exp of the mean of -log p over the masked tokens,
        all those of an example being masked at once.
    """
    tokens = predictions.total("masked_tokens")
    return {
        "masked_lm_accuracy": float(predictions.total("right_tokens") / tokens),
        "masked_lm_perplexity": float(np.exp(predictions.total("surprisal") / tokens)),
    }


def top_k(logits: tf.Tensor, positions: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the most probable tokens at each mask; zeros where the position is 0, padding.

    Returns:
        "guesses", int32, and "scores", float32, both [batch, masks, TOP_K].
    """
    probabilities, ids = tf.math.top_k(tf.nn.softmax(logits), TOP_K)
    real = positions[..., tf.newaxis] > 0
    return {"guesses": tf.where(real, ids, 0), "scores": tf.where(real, probabilities, 0.0)}


def top_k_arrays(logits: np.ndarray, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the same as `top_k`, computed by NumPy."""
    probabilities = keras.ops.softmax(logits).numpy()
    ids = np.argsort(-probabilities, axis=-1, kind="stable")[..., :TOP_K].astype(np.int32)
    real = positions[..., np.newaxis] > 0
    best = np.take_along_axis(probabilities, ids, -1)
    return {"guesses": np.where(real, ids, 0), "scores": np.where(real, best, np.float32(0))}


def detokenize(
    vocabulary: Sequence[str],
    tokens: np.ndarray,
    positions: Sequence[int] | None = None,
    replacements: Mapping[int, str] | None = None,
) -> str:
    """Returns tokens as text.

    Args:
        vocabulary: Tokens in the order of their ids.
        tokens: int [tokens].
        positions: Those to return; None returns all.
        replacements: Text for some positions, instead of the tokens there.
    """
    text = ""
    for position in range(len(tokens)) if positions is None else positions:
        word = vocabulary[tokens[position]]
        if replacements and position in replacements:
            text += f" {replacements[position]}"
        else:
            text += word[2:] if word.startswith("##") else f" {word}"
    return text.strip()


def sampler(model: keras.Model, data: Segments) -> Callable[[], str]:
    """Returns a function that shows what the network predicts in the first validation texts."""
    inputs, target = data.arrays("validation")
    rows = np.flatnonzero(target["masked_lm"].any(1))[:_SAMPLES]
    batch = {name: inputs[name][rows] for name in model.input}
    original = data.raw("validation")["original"]

    def sample() -> str:
        # Keras' own predict_on_batch would answer once for each device of a strategy.
        logits = model(batch, training=False)["masked_lm"].numpy()
        texts = []
        for row, tokens in zip(rows, logits.argmax(-1), strict=True):
            masked = target["masked_lm"][row]
            shown = {
                int(position): _comparison(data.vocabulary, token, true)
                for position, token, true in zip(
                    inputs["mask_positions"][row], tokens, masked, strict=True
                )
                if true != IGNORE_ID
            }
            texts.append(detokenize(data.vocabulary, original[row], replacements=shown))
        return "\n\n".join(texts)

    return sample


def _comparison(vocabulary: Sequence[str], token: int, true: int) -> str:
    correct = token == true
    return f"[{vocabulary[token]}]" if correct else f"[{vocabulary[token]}, not {vocabulary[true]}]"
