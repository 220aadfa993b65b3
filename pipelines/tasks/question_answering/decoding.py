"""Decoding of spans: from logits to the most probable span, and from a span to its text."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipelines.predictions import Predictions
from pipelines.tasks.question_answering.network import MASKED_LOGIT

# Maximum number of tokens of an answer, as in BERT's code.
MAX_TOKENS = 30
# If the log-probabilities of two spans differ by less, rounding may choose either.
TIE_TOLERANCE = 1e-3


def span_log_probs(logits: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the log-probability of each span, float32 [batch, start, end].

    It is that of its start plus that of its end; spans that end before they start or are longer
    than `MAX_TOKENS` tokens get -1e9.
    """
    start, end = (tf.nn.log_softmax(logits[name])[..., tf.newaxis] for name in ("start", "end"))
    both = start + tf.linalg.matrix_transpose(end)
    place = tf.range(tf.shape(both)[1])
    more = place - place[:, tf.newaxis]
    return tf.where((more >= 0) & (more < MAX_TOKENS), both, MASKED_LOGIT)


def most_probable_span(logits: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the most probable span.

    Returns:
        "start" and "end", int64 [batch], its first and last token, and "score", float32 [batch],
        its probability: 0 where there is no passage.
    """
    both = span_log_probs(logits)
    tokens = tf.shape(both, tf.int64)[2]
    flat = tf.reshape(both, [tf.shape(both)[0], -1])
    best = tf.argmax(flat, -1)
    has_passage = tf.reduce_max(logits["start"], -1) > MASKED_LOGIT
    score = tf.where(has_passage, tf.exp(tf.reduce_max(flat, -1)), 0.0)
    return {"start": best // tokens, "end": best % tokens, "score": score}


def unambiguous(logits: dict[str, np.ndarray]) -> np.ndarray:
    """Returns indices of examples whose best span is no tie, or else of the first alone."""
    both = span_log_probs(logits).numpy()
    two = np.sort(both.reshape(len(both), -1))[:, -2:]
    clear = np.flatnonzero(two[:, 1] - two[:, 0] > TIE_TOLERANCE)
    return clear if len(clear) else np.arange(1)


def answer_spans(
    context: tf.Tensor, spans: tf.Tensor, start: tf.Tensor, end: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Returns the text of answers, and where it is in their passages.

    Args:
        context: string [batch].
        spans: int32 bytes [batch, tokens, 2], as of `data.encode`.
        start: int64 [batch], the first token of each answer.
        end: int64 [batch], the last.

    Returns:
        "answer", string [batch], and its place in the passage, int64 characters [batch]: "start",
        and "end", which is the one behind it.
    """
    first = tf.gather(spans[..., 0], start, batch_dims=1)
    behind = tf.gather(spans[..., 1], end, batch_dims=1)
    found = tf.strings.substr(context, first, behind - first)
    before = tf.strings.substr(context, tf.zeros_like(first), first)
    start = tf.strings.length(before, "UTF8_CHAR")
    length = tf.strings.length(found, "UTF8_CHAR")
    return {
        "answer": found,
        "start": tf.cast(start, tf.int64),
        "end": tf.cast(start + length, tf.int64),
    }


def answer_texts(predictions: Predictions) -> list[str]:
    """Returns the text between the predicted tokens "start" and "end" of each question."""
    columns = (predictions.examples[name] for name in ("context", "spans"))
    tokens = (predictions.predicted[name] for name in ("start", "end"))
    return [
        context[spans[start, 0] : spans[end, 1]].decode()
        for context, spans, start, end in zip(*columns, *tokens, strict=True)
    ]
