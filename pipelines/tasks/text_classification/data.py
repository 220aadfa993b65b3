"""Labeled texts, or pairs of texts: strings, their labels, and the token ids of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets import loading, tables
from pipelines.datasets.columns import decode_strings, ragged_examples, read_columns
from pipelines.datasets.dataset import SPLITS
from pipelines.errors import UserError
from pipelines.text.config import TextConfig
from pipelines.text.dataset import TokenizedDataset
from pipelines.text.tokenizers import Tokenizer, tokenize

TEXTS = ("text", "text_pair")


@dataclass(frozen=True, kw_only=True, eq=False)
class LabeledTexts(TokenizedDataset):
    """Texts with one label each: ({"token_ids": int32 [tokens], …}, int64 []) examples.

    Its columns are "text" and for pairs "text_pair", str [examples].

    Attributes:
        class_names: Names in the order of the labels.
        labels: By split, int64 [examples].
    """

    class_names: tuple[str, ...]
    labels: Mapping[str, np.ndarray]


def load(config: TextConfig, make_tokenizer: Callable[[np.ndarray], Tokenizer]) -> LabeledTexts:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set: a folder of tables, see `datasets/tables.py`, or a TFDS name.
        make_tokenizer: From the training texts, str [texts], to a tokenizer.

    Raises:
        UserError: The set cannot be had, or holds no labeled texts.
    """
    if tables.is_folder_of_tables(config.dataset):
        folder = Path(config.dataset).expanduser()
        columns, class_names, digest = tables.read(folder)
        return labeled_texts(
            columns,
            make_tokenizer,
            class_names=class_names,
            name=loading.own_name(folder),
            version="1.0.0",
            digest=digest,
        )
    source = loading.open_dataset(config)
    texts, label = _features(source.builder)
    columns = {}
    for split in SPLITS:
        read = read_columns(source.read(split), (*texts, label))
        columns[split] = {
            **dict(zip(TEXTS, (decode_strings(read[text]) for text in texts), strict=False)),
            "target": read[label].astype(np.int64),
        }
    class_names = tuple(source.builder.info.features[label].names)
    return labeled_texts(columns, make_tokenizer, class_names=class_names, **source.identity())


def labeled_texts(
    columns: Mapping[str, Mapping[str, np.ndarray]],
    make_tokenizer: Callable[[np.ndarray], Tokenizer],
    *,
    class_names: tuple[str, ...],
    name: str,
    version: str,
    digest: str,
) -> LabeledTexts:
    """Returns the data set of `columns`, tokenized.

    Args:
        columns: By split, "text" and for pairs "text_pair", str [examples], and "target", int64
            [examples].
        make_tokenizer: From the training texts, str [texts], to a tokenizer.
        class_names: Names in the order of the labels.
        name: Name of the data set.
        version: Its version.
        digest: Its fingerprint.
    """
    texts = {
        split: {text: own[text] for text in TEXTS if text in own} for split, own in columns.items()
    }
    tokenizer = make_tokenizer(np.concatenate(list(texts["train"].values())))
    labels = {split: columns[split]["target"] for split in SPLITS}
    return LabeledTexts(
        name=name,
        version=version,
        digest=digest,
        sizes={split: len(labels[split]) for split in SPLITS},
        columns=texts,
        tokenizer=tokenizer,
        class_names=class_names,
        labels=labels,
        **{
            split: ragged_examples(tokenize(tokenizer, *texts[split].values()), labels[split])
            for split in SPLITS
        },
    )


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
