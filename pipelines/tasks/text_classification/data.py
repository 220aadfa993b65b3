"""Labelled texts, or pairs of texts: strings, their labels, and the token ids of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading, tables
from pipelines.errors import UserError
from pipelines.text.config import TextConfig
from pipelines.text.tokenizers import Tokenizer, tokenized

SPLITS = ("train", "validation", "test")
TEXTS = ("text", "text_pair")
_BATCH = 4096


@dataclass(frozen=True)
class LabelledTexts:
    """A data set of texts with one label each.

    Attributes:
        name: TFDS name.
        version: Version of the data set.
        digest: Fingerprint of the prepared files.
        class_names: Names in the order of the labels.
        columns: By split, "text" and for pairs "text_pair", str [examples], and "target", int64
            [examples].
        tokenizer: From texts to token ids; its vocabulary is that of the training split.
        train: ({"token_ids": int32 [tokens], …}, int64 []) examples, unbatched, as the others.
        validation: What choices look at.
        test: What is reported, once.
    """

    name: str
    version: str
    digest: str
    class_names: tuple[str, ...]
    columns: Mapping[str, Mapping[str, np.ndarray]]
    tokenizer: Tokenizer
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples in each split."""
        return {split: len(columns["target"]) for split, columns in self.columns.items()}

    @property
    def example_bytes(self) -> int:
        """Nothing to keep: the token ids are in memory already."""
        return 0

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns the texts of a split."""
        return {name: self.columns[split][name] for name in self.text_names}

    @property
    def text_names(self) -> tuple[str, ...]:
        """ "text", and "text_pair" if texts come in pairs."""
        return tuple(name for name in TEXTS if name in self.columns["train"])


def load(config: TextConfig, learn: Callable[[np.ndarray], Tokenizer]) -> LabelledTexts:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set.
        learn: From the training texts, str [texts], to a tokenizer.

    Raises:
        UserError: The set cannot be had, or holds no labelled texts.
    """
    if tables.is_folder_of_tables(config.dataset):
        folder = Path(config.dataset).expanduser()
        own, class_names, digest = tables.read(folder)
        about = {"name": loading.own_name(folder), "version": "1.0.0", "digest": digest}
        return labelled(own, learn, class_names=class_names, **about)
    builder = loading.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    texts, label = _features(builder)
    chosen = loading.splits(builder)
    columns = {}
    for split in SPLITS:
        read = columns_of(builder, getattr(chosen, split), (*texts, label))
        columns[split] = {
            **dict(zip(TEXTS, (strings(read[text]) for text in texts), strict=False)),
            "target": read[label].astype(np.int64),
        }
    return labelled(
        columns,
        learn,
        name=loading.name(builder),
        version=str(builder.info.version),
        digest=loading.digest(builder),
        class_names=tuple(builder.info.features[label].names),
    )


def labelled(
    columns: Mapping[str, Mapping[str, np.ndarray]],
    learn: Callable[[np.ndarray], Tokenizer],
    **about: Any,
) -> LabelledTexts:
    """Returns the data set of `columns`, tokenized with what `learn` makes of its training texts.

    Args:
        columns: As `LabelledTexts.columns`.
        learn: From the training texts, str [texts], to a tokenizer.
        **about: `name`, `version`, `digest` and `class_names`.
    """
    train = columns["train"]
    tokenizer = learn(np.concatenate([train[name] for name in TEXTS if name in train]))
    examples = {split: _examples(tokenizer, columns[split]) for split in SPLITS}
    return LabelledTexts(columns=columns, tokenizer=tokenizer, **about, **examples)


def columns_of(
    builder: tfds.core.DatasetBuilder, split: str, names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Returns features of fixed shape as whole columns, in the order of the files."""
    examples = builder.as_dataset(split=split).map(lambda row: {name: row[name] for name in names})
    batches = list(examples.batch(_BATCH).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in batches]) for name in names}


def strings(column: np.ndarray) -> np.ndarray:
    """Decodes UTF-8 bytes [texts] to str [texts]."""
    return np.array([text.decode() for text in column], object)


def slices(inputs: Mapping[str, tf.RaggedTensor], *targets) -> tf.data.Dataset:
    """Returns ragged inputs and their targets as unbatched examples."""
    examples = tf.data.Dataset.from_tensor_slices((dict(inputs), *targets))
    # A slice of a ragged tensor is a tensor, which its element spec does not say.
    return examples.map(lambda *parts: tf.nest.map_structure(tf.identity, parts))


def _examples(tokenizer: Tokenizer, columns: Mapping[str, np.ndarray]) -> tf.data.Dataset:
    texts = [columns[name] for name in TEXTS if name in columns]
    return slices(tokenized(tokenizer, *texts), columns["target"])


def _features(builder: tfds.core.DatasetBuilder) -> tuple[tuple[str, ...], str]:
    """Returns the names of one or two texts and of the label among the set's features."""
    features = loading.features(builder)
    texts = tuple(k for k, v in features.items() if isinstance(v, tfds.features.Text))
    labels = [k for k, v in features.items() if isinstance(v, tfds.features.ClassLabel)]
    if not labels or not 1 <= len(texts) <= 2:
        raise UserError(
            f"{builder.name} has no text, or pair of texts, with a class label; its features are: "
            f"{', '.join(features)}"
        )
    pair = builder.info.supervised_keys or ()
    return texts, next((label for label in labels if label in pair), labels[0])
