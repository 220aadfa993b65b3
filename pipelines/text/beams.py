"""What an encoder-decoder generates: the texts of its beams, and the probability of a target."""

from __future__ import annotations

import keras
import tensorflow as tf

from pipelines.text.reversible import ReversibleTokenizer


def detokenize(
    found: dict[str, tf.Tensor], tokenizer: ReversibleTokenizer, text: str
) -> dict[str, tf.Tensor]:
    """Turns what beam search returns into texts.

    Args:
        found: "token_ids", int32 [batch, beams, length], and "scores", float32 [batch, beams].
        tokenizer: That of the texts.
        text: What a text is called, as "translation".

    Returns:
        The texts in the plural, as "translations", strings [batch, beams], and their "scores"; and
        the best of each, as "translation" and "score", [batch].
    """
    tokens, scores = found["token_ids"], found["scores"]
    texts = tokenizer.detokenize(tf.reshape(tokens, [-1, tf.shape(tokens)[2]]))
    texts = tf.ensure_shape(tf.reshape(texts, tf.shape(scores)), [None, tokens.shape[1]])
    best = {text: texts[:, 0], "score": scores[:, 0]}
    return {**best, f"{text}s": texts, "scores": scores}


def log_likelihood(model: keras.Model, inputs: dict[str, tf.Tensor], ids: tf.Tensor) -> tf.Tensor:
    """Returns the log-probability of each target given its source, float32 [batch].

    Args:
        model: An encoder-decoder, whose outputs are logits [batch, tokens, vocabulary].
        inputs: Its inputs; positions that "target_padding_mask" leaves out do not count.
        ids: The token after each target token, int32 [batch, tokens].
    """
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, model(inputs, training=False))
    return -tf.reduce_sum(losses * tf.cast(inputs["target_padding_mask"], tf.float32), 1)
