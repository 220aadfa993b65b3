"""Decoding of tags in the scheme BIO: from logits to tags of words, and from tags to spans.

B-X opens an entity of type X, I-X continues it, O is outside (Ramshaw & Marcus, "Text Chunking
using Transformation-Based Learning", 1995). Entities are read as conlleval does: one ends where the
type changes or another opens, and an I- after anything else opens one too. What the served graph
does is here in Python as well, for its verification.
"""

from __future__ import annotations

import functools
import re
import string
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from seqeval.metrics.sequence_labeling import get_entities

from pipelines.predictions import Predictions
from pipelines.tasks.token_classification.data import as_column

OUTSIDE = "O"


def most_probable(logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the most probable tag of each token.

    Args:
        logits: float32 [batch, tokens, labels].

    Returns:
        "tag_ids", int32 [batch, tokens], and "probabilities", float32 [batch, tokens].
    """
    probabilities = tf.nn.softmax(logits)
    return {
        "tag_ids": tf.argmax(probabilities, -1, output_type=tf.int32),
        "probabilities": tf.reduce_max(probabilities, -1),
    }


def tags_of_words(predictions: Predictions, labels: Sequence[str]) -> Predictions:
    """Turns predictions for tokens into tags of words; truncated words are outside all entities.

    Args:
        predictions: Predicted "tag_ids", int [texts, tokens]; examples "weight", 1 at the first
            token of each word, and "tags", an object array [texts] of tuples.
        labels: Tags in the order of their ids.

    Returns:
        The same examples, with predicted "tags", an object array [texts] of tuples.
    """
    truth = predictions.examples["tags"]
    rows = [
        [labels[tag] for tag in ids[weight > 0]] + [OUTSIDE] * len(true)
        for ids, weight, true in zip(
            predictions.predicted["tag_ids"], predictions.examples["weight"], truth, strict=True
        )
    ]
    tags = as_column([row[: len(true)] for row, true in zip(rows, truth, strict=True)])
    return Predictions(predictions.examples, {"tags": tags})


def words_and_spans(
    texts: tf.Tensor,
    words: tf.RaggedTensor,
    starts: tf.RaggedTensor,
    ends: tf.RaggedTensor,
    first: tf.RaggedTensor,
    *,
    tags: tf.Tensor,
    probabilities: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Returns the words of a batch of texts, their tags, and the entities, in a graph.

    Args:
        texts: string [batch].
        words: string [batch, words], as of `split_words`.
        starts: int64 [batch, words], where words start in the text, in bytes.
        ends: int64 [batch, words], where they end.
        first: int64 [batch, words], the index of each word's first token, as of `inputs_of`.
        tags: string [batch, tokens].
        probabilities: float32 [batch, tokens], of these tags.

    Returns:
        "words" and "tags", string [batch, words], padded with ""; "probabilities", float32
        [batch, words], padded with 0; and what `spans` returns. Truncated words are left out.
    """
    read = tf.ragged.range(words.row_lengths()) < first.row_lengths()[:, tf.newaxis]
    words, starts, ends = (tf.ragged.boolean_mask(x, read) for x in (words, starts, ends))
    word_tags = tf.gather(tags, first, batch_dims=1)
    return {
        "words": words.to_tensor(),
        "tags": word_tags.to_tensor(),
        "probabilities": tf.gather(probabilities, first, batch_dims=1).to_tensor(),
        **spans(texts, word_tags, starts, ends),
    }


def spans(
    texts: tf.Tensor, tags: tf.RaggedTensor, starts: tf.RaggedTensor, ends: tf.RaggedTensor
) -> dict[str, tf.Tensor]:
    """Returns the entities in a batch of tags, in a graph.

    Args:
        texts: string [batch].
        tags: string [batch, words].
        starts: int64 [batch, words], where words start in the text, in bytes.
        ends: int64 [batch, words], where they end.

    Returns:
        "span_labels" and "span_texts", string [batch, spans], padded with ""; "span_starts" and
        "span_ends", int64 [batch, spans], in bytes, padded with -1.
    """
    rows, names = tags.value_rowids(), tags.flat_values
    inside = tf.strings.regex_full_match(names, "[BI]-.*")
    types = tf.strings.regex_replace(names, "^[BI]-", "")
    same = tf.concat([[False], (types[1:] == types[:-1]) & (rows[1:] == rows[:-1])], 0)[
        : tf.size(names)
    ]
    continued = same & tf.concat([[False], inside[:-1]], 0)[: tf.size(names)]
    opens = inside & (tf.strings.regex_full_match(names, "B-.*") | ~continued)
    closes = (
        inside & tf.concat([~continued[1:] | opens[1:] | ~inside[1:], [True]], 0)[: tf.size(names)]
    )
    row = tf.boolean_mask(rows, opens)
    first = tf.boolean_mask(starts.flat_values, opens)
    last = tf.boolean_mask(ends.flat_values, closes)
    pieces = tf.strings.substr(tf.gather(texts, row), first, last - first)
    labels = tf.boolean_mask(types, opens)

    def padded(values: tf.Tensor, empty: str | int) -> tf.Tensor:
        ragged = tf.RaggedTensor.from_value_rowids(values, row, nrows=tags.nrows())
        return ragged.to_tensor(default_value=tf.constant(empty, values.dtype))

    return {
        "span_labels": padded(labels, ""),
        "span_texts": padded(pieces, ""),
        "span_starts": padded(first, -1),
        "span_ends": padded(last, -1),
    }


@functools.cache
def words_pattern(punctuation_apart: bool) -> re.Pattern[str]:
    """Returns a pattern that matches a word; `split_words` does the same in a graph."""
    space = r"\s\x00-\x1f\x7f-\x9f"
    if not punctuation_apart:
        return re.compile(rf"[^{space}]+")
    every = map(chr, range(sys.maxunicode))
    punctuation = "".join(c for c in every if unicodedata.category(c).startswith("P"))
    marks = re.escape(string.punctuation + punctuation)
    return re.compile(rf"[{marks}]|[^{space}{marks}]+")


def expected_of_tokens(
    logits: np.ndarray, padding_mask: np.ndarray, labels: Sequence[str]
) -> dict[str, np.ndarray]:
    """Returns the expected outputs of the signature for token ids.

    Args:
        logits: float32 [texts, tokens, labels], the Keras model's.
        padding_mask: int [texts, tokens], 1 at real tokens.
        labels: Tags in the order of their ids.

    Returns:
        "tags", bytes [texts, tokens], and "probabilities", float32 [texts, tokens].
    """
    probabilities = keras.ops.softmax(logits).numpy()
    real = padding_mask.astype(bool)
    names = np.array([label.encode() for label in labels], object)
    return {
        "tags": np.where(real, names[probabilities.argmax(-1)], b""),
        "probabilities": np.where(real, probabilities.max(-1), np.float32(0)),
    }


def expected_of_texts(
    texts: Sequence[str],
    words: Sequence[Sequence[re.Match[str]]],
    first: Sequence[Sequence[int]],
    tags: np.ndarray,
    probabilities: np.ndarray,
) -> dict[str, np.ndarray]:
    """Returns the expected outputs of the signature for strings, computed word by word in Python.

    Args:
        texts: The texts.
        words: Matches of the words of each text, as of `words_pattern`.
        first: The index of each word's first token among the text's tokens.
        tags: bytes [texts, tokens], predicted by the Keras model.
        probabilities: float32 [texts, tokens], of these tags.
    """
    rows: list[dict[str, list]] = []
    for text, matches, places, own_tags, own_probabilities in zip(
        texts, words, first, tags, probabilities, strict=True
    ):
        entities = get_entities([own_tags[place].decode() for place in places])
        starts = [len(text[: matches[one].start()].encode()) for _, one, _ in entities]
        ends = [len(text[: matches[last].end()].encode()) for _, _, last in entities]
        rows.append(
            {
                "words": [match.group().encode() for match in matches[: len(places)]],
                "tags": [own_tags[place] for place in places],
                "probabilities": [own_probabilities[place] for place in places],
                "span_labels": [label.encode() for label, _, _ in entities],
                "span_texts": [text.encode()[a:b] for a, b in zip(starts, ends, strict=True)],
                "span_starts": starts,
                "span_ends": ends,
            }
        )
    padding: dict[str, tuple[type, Any]] = {
        "probabilities": (np.float32, 0),
        "span_starts": (np.int64, -1),
        "span_ends": (np.int64, -1),
    }
    return {
        name: _padded([row[name] for row in rows], *padding.get(name, (object, b"")))
        for name in rows[0]
    }


def _padded(rows: Sequence[Sequence[Any]], dtype: type, empty: Any) -> np.ndarray:
    array: np.ndarray = np.full((len(rows), max(map(len, rows))), empty, dtype)
    for index, row in enumerate(rows):
        array[index, : len(row)] = row
    return array
