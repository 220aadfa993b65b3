"""Extractive question answering: from logits to a span, from a span to text, and its scores."""

from __future__ import annotations

import functools
import re
import string
from collections import Counter

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from architectures import heads
from pipelines.predictions import Predictions, Scores

# Tokens of an answer at most, as in BERT's code.
LONGEST = 30
# The logit of tokens outside the passage.
_NEVER = -1e9
# Two spans whose log-probabilities are closer than this are equal as far as proofs go.
_UNDECIDED = 1e-3


def span_finder(encoder: keras.Model, separator: int) -> keras.Model:
    """Builds `heads.span_finder` such that answers lie within the passage.

    Args:
        encoder: An encoder of `architectures.bert`.
        separator: The id of [SEP]; the passage stands behind the first.

    Returns:
        A model from the encoder's inputs to logits {"start", "end"}, each float32 [batch, tokens].
    """
    model = heads.span_finder(encoder)
    separators = ops.equal(encoder.input["token_ids"], separator)
    passage = ops.equal(ops.cumsum(ops.cast(separators, "int32"), axis=1), 1)
    within = ops.logical_and(passage, ops.logical_not(separators))
    logits = {name: ops.where(within, x, _NEVER) for name, x in model.output.items()}
    return keras.Model(encoder.input, logits, name=model.name)


def joint(logits: dict[str, tf.Tensor]) -> tf.Tensor:
    """Returns the log-probability of each span, float32 [batch, start, end].

    It is that of its start and its end together; spans that end before they start or are longer
    than `LONGEST` tokens have none to speak of.
    """
    start, end = (tf.nn.log_softmax(logits[name])[..., tf.newaxis] for name in ("start", "end"))
    both = start + tf.linalg.matrix_transpose(end)
    place = tf.range(tf.shape(both)[1])
    more = place - place[:, tf.newaxis]
    return tf.where((more >= 0) & (more < LONGEST), both, _NEVER)


def decode(logits: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the most probable span.

    Returns:
        "start" and "end", int64 [batch], its first and last token, and "score", float32 [batch],
        its probability: 0 where there is no passage.
    """
    both = joint(logits)
    tokens = tf.shape(both, tf.int64)[2]
    flat = tf.reshape(both, [tf.shape(both)[0], -1])
    best = tf.argmax(flat, -1)
    some = tf.reduce_max(logits["start"], -1) > _NEVER
    score = tf.where(some, tf.exp(tf.reduce_max(flat, -1)), 0.0)
    return {"start": best // tokens, "end": best % tokens, "score": score}


def clear(logits: dict[str, np.ndarray]) -> np.ndarray:
    """Returns the examples whose best span no rounding can change, or else the first."""
    both = joint(logits).numpy()
    two = np.sort(both.reshape(len(both), -1))[:, -2:]
    certain = np.flatnonzero(two[:, 1] - two[:, 0] > _UNDECIDED)
    return certain if len(certain) else np.arange(1)


def answer(
    context: tf.Tensor, spans: tf.Tensor, start: tf.Tensor, end: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Cuts answers out of their passages.

    Args:
        context: string [batch].
        spans: int32 bytes [batch, tokens, 2], as of `questions.encode`.
        start: int64 [batch], the first token of each answer.
        end: int64 [batch], the last.

    Returns:
        "answer", string [batch], and where it stands in its passage, int64 characters [batch]:
        "start", and "end" behind it.
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


def texts(predictions: Predictions) -> list[str]:
    """Returns the answers to questions with "context" and "spans", given "start" and "end"."""
    columns = (predictions.examples[name] for name in ("context", "spans"))
    tokens = (predictions.predicted[name] for name in ("start", "end"))
    return [
        context[spans[start, 0] : spans[end, 1]].decode()
        for context, spans, start, end in zip(*columns, *tokens, strict=True)
    ]


def scores(predictions: Predictions) -> Scores:
    """Scores answers against the "answers" of each question.

    Returns:
        The means of f1 and exact_match, each that of the question's best answer.
    """
    both = measured(predictions)
    return {"f1": float(both[:, 0].mean()), "exact_match": float(both[:, 1].mean())}


def measured(predictions: Predictions) -> np.ndarray:
    """Returns f1 and exact_match of each question, float [questions, 2]."""
    truths = predictions.examples["answers"]
    return np.array([_measure(*pair) for pair in zip(texts(predictions), truths, strict=True)])


def by_kind(predictions: Predictions) -> dict[str, float]:
    """Returns the mean F1 of kinds of answers and of passages, by their names and numbers."""
    f1_of_each = measured(predictions)[:, 0]
    answers = [truths[0].decode() for truths in predictions.examples["answers"]]
    lengths = np.array([len(context.split()) for context in predictions.examples["context"]])
    middle = int(np.median(lengths))
    number = np.array([bool(re.search(r"\d", answer)) for answer in answers])
    words = np.array([len(answer.split()) for answer in answers])
    kinds = {
        "with a number": number,
        "one word": ~number & (words == 1),
        "several words": ~number & (words > 1),
        f"passage of at most {middle} words": lengths <= middle,
        f"passage of more than {middle} words": lengths > middle,
    }
    return {
        f"{name} ({kind.sum()})": float(f1_of_each[kind].mean())
        for name, kind in kinds.items()
        if kind.any()
    }


# The bootstrap asks for the same again and again.
@functools.lru_cache(maxsize=1 << 17)
def _measure(answer: str, truths: tuple[bytes, ...]) -> tuple[float, float]:
    given = normalized(answer)
    right = [normalized(truth.decode()) for truth in truths]
    return max(f1(given, truth) for truth in right), float(given in right)


def normalized(text: str) -> str:
    """Returns a text in lower case, without punctuation (of ASCII), articles and extra space.

    As the official script of SQuAD 1.1 does it (Rajpurkar et al. 2016, section 6.1).
    """
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def f1(given: str, truth: str) -> float:
    """Returns the harmonic mean of precision and recall of the words of two normalized texts."""
    words, right = given.split(), truth.split()
    common = sum((Counter(words) & Counter(right)).values())
    return 2 * common / (len(words) + len(right)) if common else 0.0


def most_alike(question: str, context: str) -> tuple[int, int]:
    """Returns where in the passage, in bytes, the sentence stands that is most like the question.

    It has the most words of the question, each counted once; the first of several such.
    """
    asked = _words(question)
    sentences = list(re.finditer(r"\S.*?(?:[.!?][\"')\]]*(?=\s)|$)", context, re.DOTALL))
    best = max(sentences, key=lambda found: len(asked & _words(found.group())), default=None)
    if best is None:
        return 0, 0
    return len(context[: best.start()].encode()), len(context[: best.end()].encode())


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
