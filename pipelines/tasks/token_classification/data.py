"""Texts with a tag for each word: words, tags, and the token ids that a network reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import files, in_memory, loading, lookup, split_tables
from pipelines.datasets.columns import ragged_examples
from pipelines.datasets.dataset import SPLITS, Content, contents_of_texts
from pipelines.datasets.text_columns import (
    Column,
    PackedTexts,
    PackedValues,
    column_of,
    columns_of,
    texts_of,
    values_of,
)
from pipelines.errors import UserError
from pipelines.tasks.token_classification import own
from pipelines.text.config import TextConfig
from pipelines.text.dataset import TokenizedDataset
from pipelines.text.tokenizers import WordPieces

# Names of the feature of tags, where a set has several kinds of them.
_PREFERRED = ("tags", "ner", "ner_tags")
_BIO = re.compile(r"O|[BI]-.+")
# If more words than this fraction end in a punctuation mark, marks are parts of words in the set.
_ATTACHED = 0.01
# Texts that are encoded at once.
_CHUNK = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class TaggedTexts(TokenizedDataset):
    """Texts with one tag for each word.

    Examples are ({"token_ids": int32 [tokens], …}, int64 [tokens], float32 [tokens]): inputs, the
    tag of each word at its first token, and 1 there and 0 elsewhere. The columns are "words" and
    "tags", a tuple of str for each text.

    Attributes:
        labels: Tags in the order of their ids.
        punctuation_apart: Whether punctuation marks are words of their own.
    """

    tokenizer: WordPieces
    labels: tuple[str, ...]
    punctuation_apart: bool

    def contents(self, split: str) -> Iterator[Content]:
        columns = self.raw(split)
        types = (tuple(t[2:] for t in tags if t.startswith("B-")) for tags in columns["tags"])
        return contents_of_texts([columns["words"]], parts=types)


def load(config: TextConfig, make_tokenizer: Callable[[PackedTexts], WordPieces]) -> TaggedTexts:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set: a TFDS name, or the path of own texts, see `conll.py`.
        make_tokenizer: From the training texts, str [texts], to a tokenizer.

    Raises:
        UserError: The set cannot be had, or holds no words with tags.
    """
    if path := lookup.own_path(config.dataset):
        return _load_own(path, config, make_tokenizer)
    source = loading.open_dataset(config)
    words, tags = _features(source.builder)
    labels = tuple(source.builder.info.features[tags].feature.names)
    columns = {split: _columns(source.read(split), words, tags, labels) for split in SPLITS}
    left_out = {split: size - len(columns[split]["tags"]) for split, size in source.sizes().items()}
    notes = [
        f"{number} texts of {split} have no words and are left out"
        for split, number in left_out.items()
        if number
    ]
    return _tagged_texts(columns, make_tokenizer, labels, source.identity(), notes, left_out)


def _load_own(
    path: Path, config: TextConfig, make_tokenizer: Callable[[PackedTexts], WordPieces]
) -> TaggedTexts:
    found = own.find(path)
    whole = own.read_splits(path, found, config)
    tables = split_tables.at_most(whole, config)
    columns = {
        split: {
            "words": _tuples(table.columns["tokens"]),
            "tags": _tuples(table.columns["tags"]),
        }
        for split, table in tables.items()
    }
    digest = files.digest(file for parts in found.values() for file in parts)
    return _tagged_texts(
        columns,
        make_tokenizer,
        own.labels(whole),
        loading.own_identity(path, digest, config.max_examples),
        list(dict.fromkeys(note for table in tables.values() for note in table.notes)),
        {split: table.left_out for split, table in tables.items()},
    )


def _tagged_texts(
    columns: Mapping[str, Mapping[str, PackedValues]],
    make_tokenizer: Callable[[PackedTexts], WordPieces],
    labels: tuple[str, ...],
    identity: loading.Identity,
    notes: list[str],
    left_out: Mapping[str, int],
) -> TaggedTexts:
    train = columns["train"]["words"]
    tokenizer = make_tokenizer(texts_of(column_of(map(" ".join, train))))
    examples = {}
    for split in SPLITS:
        examples[split], truncated = _examples(columns[split], tokenizer, labels)
        if truncated:
            notes = [*notes, _truncated(split, truncated, len(columns[split]["tags"]))]
    return TaggedTexts(
        **identity,
        sizes={split: len(columns[split]["tags"]) for split in SPLITS},
        columns=columns,
        tokenizer=tokenizer,
        labels=labels,
        punctuation_apart=punctuation_apart(train),
        notes=tuple(notes),
        left_out={split: number for split, number in left_out.items() if number},
        **examples,
    )


def _truncated(split: str, number: int, size: int) -> str:
    read = "are not learned" if split == "train" else "count as outside all spans"
    return (
        f"{number} of the {size} texts of {split} have words beyond --max_length tokens, which "
        f"{read}"
    )


def as_column(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Returns sequences of different lengths as one object array [rows] of tuples."""
    return np.fromiter(map(tuple, rows), object, len(rows))


def _tuples(column: Column) -> PackedValues:
    return values_of(column_of(map(tuple, column)))


def punctuation_apart(words: PackedValues) -> bool:
    """Returns whether punctuation marks are words of their own in tuples of words [texts]."""
    attached = sum(len(word) > 1 and word[-1] in ",;:!?" for text in words for word in text)
    return attached < _ATTACHED * sum(map(len, words))


def inputs_of(
    tokenizer: WordPieces, words: tf.RaggedTensor
) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor]:
    """Turns words into inputs; training and serving both call it.

    Args:
        tokenizer: It truncates texts to its maximum length.
        words: string [batch, words].

    Returns:
        The inputs, each [batch, tokens], and the index of each word's first token, int64 [batch,
        words]; truncated words have none.
    """
    pieces = tokenizer.pieces(words)
    inputs = tokenizer.pack(pieces.merge_dims(1, 2))
    counts = pieces.with_flat_values(tf.ones_like(pieces.flat_values))
    counts = tf.reduce_sum(tf.cast(counts, tf.int64), axis=2)
    before = tf.ragged.map_flat_values(lambda ends, own: ends - own, _running_sum(counts), counts)
    first = before + 1  # Behind [CLS].
    last = inputs["token_ids"].row_lengths() - 1  # The index of [SEP].
    return inputs, tf.ragged.boolean_mask(first, first < last[:, tf.newaxis])


def _running_sum(counts: tf.RaggedTensor) -> tf.RaggedTensor:
    total = tf.cumsum(counts.flat_values)
    starts = tf.gather(tf.concat([[0], total], 0), counts.row_starts())
    return counts.with_flat_values(total - tf.gather(starts, counts.value_rowids()))


def _examples(
    columns: Mapping[str, PackedValues], tokenizer: WordPieces, labels: tuple[str, ...]
) -> tuple[tf.data.Dataset, int]:
    """Returns the examples, and how many texts are truncated."""
    words, tags = columns["words"], columns["tags"]
    ids = {label: index for index, label in enumerate(labels)}
    truncated = 0

    def encoded() -> Iterator[dict[str, tf.RaggedTensor]]:
        nonlocal truncated
        for start in range(0, len(words), _CHUNK):
            own = tf.ragged.constant(list(map(list, words[start : start + _CHUNK])), tf.string)
            of_text = [[ids[tag] for tag in text] for text in tags[start : start + _CHUNK]]
            found, cut = _encoded(tokenizer, own, tf.ragged.constant(of_text, tf.int64))
            truncated += cut
            yield found

    inputs = in_memory.joined(encoded())
    target, weight = inputs.pop("target"), inputs.pop("weight")
    return ragged_examples(inputs, target, weight), truncated


def _encoded(
    tokenizer: WordPieces, words: tf.RaggedTensor, tags: tf.RaggedTensor
) -> tuple[dict[str, tf.RaggedTensor], int]:
    """Returns inputs, "target" and "weight" of some texts, and how many are truncated."""
    inputs, first = inputs_of(tokenizer, words)
    places = tf.stack([first.value_rowids(), first.flat_values], axis=1)
    ragged = inputs["token_ids"]
    shape = ragged.bounding_shape()
    read = tf.ragged.range(tags.row_lengths()) < first.row_lengths()[:, tf.newaxis]
    kept = tf.ragged.boolean_mask(tags, read)
    lengths = ragged.row_lengths()

    def spread(values: tf.Tensor) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_tensor(tf.scatter_nd(places, values, shape), lengths)

    weights = tf.ones_like(kept.flat_values, tf.float32)
    truncated = tf.math.count_nonzero(first.row_lengths() < tags.row_lengths())
    found = {**inputs, "target": spread(kept.flat_values), "weight": spread(weights)}
    return found, int(truncated)


def _columns(
    examples: tf.data.Dataset, words: str, tags: str, labels: tuple[str, ...]
) -> dict[str, PackedValues]:
    columns = columns_of(
        {
            "words": tuple(word.decode() for word in row[words]),
            "tags": tuple(labels[tag] for tag in row[tags]),
        }
        for row in examples.as_numpy_iterator()
        if len(row[words])
    )
    return {name: values_of(columns.get(name, [])) for name in ("words", "tags")}


def _features(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the words and of their tags among the set's features."""
    features = loading.features(builder)
    sequences = {k: v.feature for k, v in features.items() if isinstance(v, tfds.features.Sequence)}
    words = [k for k, v in sequences.items() if isinstance(v, tfds.features.Text)]
    tags = [k for k, v in sequences.items() if isinstance(v, tfds.features.ClassLabel)]
    # Other tags, such as parts of speech, make no spans.
    tags = [name for name in tags if all(map(_BIO.fullmatch, sequences[name].names))]
    tags = [name for name in _PREFERRED if name in tags] or tags
    if not words or not tags:
        raise UserError(
            f"{builder.name} has no words with a tag for each in the scheme BIO; its features are: "
            f"{', '.join(features)}"
        )
    return words[0], tags[0]
