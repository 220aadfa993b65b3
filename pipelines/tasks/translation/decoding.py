"""Translation: how a network learns to translate, and how it does."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf
from keras import ops

import architectures
from architectures import seq2seq, transformer
from pipelines.text import beam_search
from pipelines.text.beam_search import Beam
from pipelines.text.reversible import Reversible

# What translates, by its module: from a source to a cache, and from there token by token.
DECODERS: dict[str, ModuleType] = {"transformer": transformer, "seq2seq": seq2seq}


@keras.saving.register_keras_serializable(package="pipelines")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy with a share of each target's probability spread evenly over all tokens.

    Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2016, section 7.
    Losses, [batch, tokens], are averaged by their weights, so padding counts for nothing.

    Args:
        share: What is spread.
    """

    def __init__(self, share: float, name: str = "smoothed_cross_entropy", **options: Any) -> None:
        super().__init__(name=name, **{"reduction": "mean_with_sample_weight", **options})
        self.share = share

    def call(self, y_true, y_pred):
        chance = ops.log_softmax(y_pred, axis=-1)
        ids = ops.expand_dims(ops.cast(y_true, "int32"), -1)
        truth = ops.squeeze(ops.take_along_axis(chance, ids, axis=-1), -1)
        if not self.share:
            return -truth
        return -(1 - self.share) * truth - self.share * ops.mean(chance, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "share": self.share}


class ScheduledSampling(keras.Model):
    """Fits a network to go on after its own words, too, not only after the true ones.

    Bengio et al., "Scheduled Sampling for Sequence Prediction with Recurrent Neural Networks",
    2015, with a linear schedule, in two parallel passes (Mihaylova & Martins, "Scheduled Sampling
    for Transformers", 2019): the first reads the true words and draws one at each position; the
    second reads a mixture of both, and it alone is learned from.

    Args:
        network: A model of `transformer` or `seq2seq`.
        share: Share of target tokens that are drawn, in the end.
        steps: Updates over which it rises from zero.
        seed: Of what is drawn.
    """

    def __init__(self, network: keras.Model, share: float, steps: int, seed: int) -> None:
        super().__init__(name="scheduled_sampling")
        self.network, self.share, self.steps = network, share, steps
        self.random = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        if not training:
            return self.network(inputs, training=False)
        ids = inputs["target_ids"]
        logits = ops.stop_gradient(self.network(inputs, training=False))
        size, tokens = ops.shape(logits)[-1], ops.shape(ids)[1]
        drawn = keras.random.categorical(
            ops.reshape(logits, [-1, size]), 1, dtype="int32", seed=self.random
        )
        # What is drawn at a position stands at the next; the first is the start.
        own = ops.roll(ops.reshape(drawn, ops.shape(ids)), 1, axis=1)
        progress = ops.cast(self.optimizer.iterations, "float32") / self.steps
        chance = self.share * ops.minimum(progress, 1.0)
        chosen = keras.random.uniform(ops.shape(ids), seed=self.random) < chance
        mixed = ops.where(ops.logical_and(chosen, ops.arange(tokens) > 0), own, ids)
        return self.network({**inputs, "target_ids": mixed}, training=True)


def translates(architecture: str) -> bool:
    """Returns whether an architecture reads one text and writes another."""
    return architectures.get(architecture).kind == "encoder_decoder"


def translator(
    model: keras.Model, choice: Beam
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function that translates token ids, with beam search and cached decoding.

    Args:
        model: A model of `transformer` or `seq2seq`.
        choice: How translations are written.

    Returns:
        A function from "source_ids" and "source_padding_mask", int32 [batch, tokens], to
        "token_ids", int32 [batch, beams, length], "scores" and "margin", as `beam_search.search`
        returns them.
    """
    decoder, step = DECODERS[model.name], DECODERS[model.name].next_token(model)

    def translate(ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        cache = decoder.encode(model, ids, mask, choice.length)
        tokens, worth, margin = beam_search.search(step, cache, tf.shape(ids)[0], choice)
        return {"token_ids": tokens, "scores": worth, "margin": margin}

    return translate


def answers(found: dict[str, tf.Tensor], tokenizer: Reversible) -> dict[str, tf.Tensor]:
    """Turns what a translator found into texts.

    Returns:
        "translations", strings [batch, beams], and what they are worth, "scores", float32; and the
        best of each, "translation" and "score", [batch].
    """
    tokens, scores = found["token_ids"], found["scores"]
    texts = tokenizer.texts(tf.reshape(tokens, [-1, tf.shape(tokens)[2]]))
    texts = tf.ensure_shape(tf.reshape(texts, tf.shape(scores)), [None, tokens.shape[1]])
    best = {"translation": texts[:, 0], "score": scores[:, 0]}
    return {**best, "translations": texts, "scores": scores}


def of_nothing(nothing: tf.Tensor, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Makes the translations of texts without words empty, and what they are worth 0.

    Args:
        nothing: Whether a text has no words, bool [batch].
        found: Translations, strings, and what they are worth, floats; each [batch, ...].
    """

    def emptied(x: tf.Tensor) -> tf.Tensor:
        rows = nothing if x.shape.rank == 1 else nothing[:, tf.newaxis]
        return tf.where(rows, "" if x.dtype == tf.string else 0.0, x)

    return {name: emptied(x) for name, x in found.items()}


def log_likelihood(model: keras.Model, inputs: dict[str, tf.Tensor], ids: tf.Tensor) -> tf.Tensor:
    """Returns the log-probability of each target given its source, float32 [batch].

    Args:
        model: A model of `transformer` or `seq2seq`.
        inputs: Its inputs; positions that their mask leaves out count for nothing.
        ids: What follows each target token, int32 [batch, tokens].
    """
    chance = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, model(inputs, training=False))
    return -tf.reduce_sum(chance * tf.cast(inputs["target_padding_mask"], tf.float32), 1)
