"""Texts whose words have tags: words, tags, and the token ids that a network reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.errors import UserError
from pipelines.tasks.text_classification.data import SPLITS, slices
from pipelines.tasks.token_classification import metrics as tagging
from pipelines.text.config import TextConfig
from pipelines.text.tokenizers import WordPieces

# Where a set has several kinds of tags, which one is meant.
_PREFERRED = ("tags", "ner", "ner_tags")
_BIO = re.compile(r"O|[BI]-.+")
# More of them than this share, and punctuation is a part of words in this set.
_ATTACHED = 0.01


@dataclass(frozen=True)
class TaggedTexts:
    """A data set of texts with one tag for each word.

    Attributes:
        name: TFDS name.
        version: Version of the data set.
        digest: Fingerprint of the prepared files.
        labels: Tags in the order of their ids.
        punctuation_apart: Whether punctuation marks are words of their own.
        columns: By split, "words" and "tags", object arrays [texts] of tuples of str.
        tokenizer: From words to token ids; its vocabulary is that of the training split.
        train: ({"token_ids": int32 [tokens], …}, int64 [tokens], float32 [tokens]) examples:
            inputs, the tag of each word at its first token, and 1 there and 0 elsewhere.
        validation: What choices look at.
        test: What is reported, once.
    """

    name: str
    version: str
    digest: str
    labels: tuple[str, ...]
    punctuation_apart: bool
    columns: Mapping[str, Mapping[str, np.ndarray]]
    tokenizer: WordPieces
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset

    @property
    def sizes(self) -> dict[str, int]:
        """Number of texts in each split."""
        return {split: len(columns["tags"]) for split, columns in self.columns.items()}

    @property
    def example_bytes(self) -> int:
        """Nothing to keep: the token ids are in memory already."""
        return 0

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns the words and tags of a split."""
        return dict(self.columns[split])


def load(config: TextConfig, learn: Callable[[np.ndarray], WordPieces]) -> TaggedTexts:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set.
        learn: From the training texts, str [texts], to a tokenizer.

    Raises:
        UserError: The set cannot be had, or holds no words with tags.
    """
    builder = loading.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    words, tags = _features(builder)
    labels = tuple(builder.info.features[tags].feature.names)
    chosen = loading.splits(builder)
    columns = {
        split: _columns(builder.as_dataset(split=getattr(chosen, split)), words, tags, labels)
        for split in SPLITS
    }
    tokenizer = learn(np.array([" ".join(text) for text in columns["train"]["words"]], object))
    return TaggedTexts(
        name=loading.name(builder),
        version=str(builder.info.version),
        digest=loading.digest(builder),
        labels=labels,
        punctuation_apart=punctuation_apart(columns["train"]["words"]),
        columns=columns,
        tokenizer=tokenizer,
        **{split: _examples(columns[split], tokenizer, labels) for split in SPLITS},
    )


def punctuation_apart(words: np.ndarray) -> bool:
    """Returns whether punctuation marks are words of their own in tuples of words [texts]."""
    every = [word for text in words for word in text]
    attached = sum(len(word) > 1 and word[-1] in ",;:!?" for word in every)
    return attached < _ATTACHED * len(every)


def inputs_of(
    tokenizer: WordPieces, words: tf.RaggedTensor
) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
    """Turns words into inputs; training and serving both call it.

    Args:
        tokenizer: With its length at which texts are cut off.
        words: string [batch, words].

    Returns:
        The inputs, each [batch, tokens], and where among them the first token of each word
        stands, int64 [batch, words]; words that are cut off have none.
    """
    pieces = tokenizer.pieces(words)
    inputs = tokenizer.pack(pieces.merge_dims(1, 2))
    counts = pieces.with_flat_values(tf.ones_like(pieces.flat_values))
    counts = tf.reduce_sum(tf.cast(counts, tf.int64), axis=2)
    before = tf.ragged.map_flat_values(lambda ends, own: ends - own, _running_sum(counts), counts)
    first = before + 1  # Behind [CLS].
    last = inputs["token_ids"].row_lengths() - 1  # Where [SEP] stands.
    return inputs, tf.ragged.boolean_mask(first, first < last[:, tf.newaxis])


def _running_sum(counts: tf.RaggedTensor) -> tf.RaggedTensor:
    total = tf.cumsum(counts.flat_values)
    starts = tf.gather(tf.concat([[0], total], 0), counts.row_starts())
    return counts.with_flat_values(total - tf.gather(starts, counts.value_rowids()))


def _examples(
    columns: Mapping[str, np.ndarray], tokenizer: WordPieces, labels: tuple[str, ...]
) -> tf.data.Dataset:
    words = tf.ragged.constant([list(text) for text in columns["words"]], dtype=tf.string)
    inputs, first = inputs_of(tokenizer, words)
    ids = {label: index for index, label in enumerate(labels)}
    tags = tf.ragged.constant(
        [[ids[tag] for tag in text] for text in columns["tags"]], dtype=tf.int64
    )
    places = tf.stack([first.value_rowids(), first.flat_values], axis=1)
    ragged = inputs["token_ids"]
    shape = ragged.bounding_shape()
    read = tf.ragged.range(tags.row_lengths()) < first.row_lengths()[:, tf.newaxis]
    kept = tf.ragged.boolean_mask(tags, read)
    lengths = ragged.row_lengths()

    def spread(values: tf.Tensor) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_tensor(tf.scatter_nd(places, values, shape), lengths)

    weights = tf.ones_like(kept.flat_values, tf.float32)
    return slices(inputs, spread(kept.flat_values), spread(weights))


def _columns(examples, words: str, tags: str, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
    rows = [
        (
            [word.decode() for word in row[words]],
            [labels[tag] for tag in row[tags]],
        )
        for row in examples.as_numpy_iterator()
        if len(row[words])
    ]
    return {
        "words": tagging.column([text for text, _ in rows]),
        "tags": tagging.column([answer for _, answer in rows]),
    }


def _features(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the words and of their tags among the set's features."""
    features = loading.features(builder)
    sequences = {k: v.feature for k, v in features.items() if isinstance(v, tfds.features.Sequence)}
    words = [k for k, v in sequences.items() if isinstance(v, tfds.features.Text)]
    tags = [k for k, v in sequences.items() if isinstance(v, tfds.features.ClassLabel)]
    # Spans cannot be read off others, such as parts of speech.
    tags = [name for name in tags if all(map(_BIO.fullmatch, sequences[name].names))]
    tags = [name for name in _PREFERRED if name in tags] or tags
    if not words or not tags:
        raise UserError(
            f"{builder.name} has no words with a tag for each in the scheme BIO; its features are: "
            f"{', '.join(features)}"
        )
    return words[0], tags[0]
