"""Labeled texts, or pairs of texts: strings, their labels, and the token ids of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Unpack

import numpy as np
import tensorflow_datasets as tfds

from pipelines.datasets import in_memory, loading, lookup, split_tables
from pipelines.datasets.columns import ragged_examples, read_columns
from pipelines.datasets.dataset import SPLITS, Content, contents_of_texts
from pipelines.datasets.text_columns import PackedTexts, joined, texts_of
from pipelines.errors import UserError
from pipelines.tasks.text_classification import own
from pipelines.tasks.text_classification.own import TEXTS
from pipelines.text.config import TextConfig
from pipelines.text.dataset import TokenizedDataset
from pipelines.text.tokenizers import Tokenizer, tokenize


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

    def contents(self, split: str) -> Iterator[Content]:
        names = (self.class_names[label] for label in self.labels[split])
        return contents_of_texts(list(self.raw(split).values()), names)


def load(config: TextConfig, make_tokenizer: Callable[[PackedTexts], Tokenizer]) -> LabeledTexts:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set: own tables, see `own.py`, or a TFDS name.
        make_tokenizer: From the training texts, str [texts], to a tokenizer.

    Raises:
        UserError: The set cannot be had, or holds no labeled texts.
    """
    columns: dict[str, dict[str, PackedTexts]] = {}
    if path := lookup.own_path(config.dataset):
        found = own.read(path, config)
        number = {name: label for label, name in enumerate(found.class_names)}
        tables = split_tables.at_most(found.tables, config)
        for split, table in tables.items():
            labels = (number[label] for label in table.columns["label"])
            columns[split] = {
                **{name: texts_of(x) for name, x in table.columns.items() if name in TEXTS},
                "target": np.fromiter(labels, np.int64, len(table)),
            }
        return labeled_texts(
            columns,
            make_tokenizer,
            class_names=found.class_names,
            **loading.own_identity(path, split_tables.digest(tables)),
            notes=found.notes,
            left_out={split: table.left_out for split, table in tables.items()},
        )
    source = loading.open_dataset(config)
    texts, label = _features(source.builder)
    for split in SPLITS:
        read = read_columns(source.read(split), (*texts, label))
        columns[split] = {
            **{name: texts_of(read[text]) for name, text in zip(TEXTS, texts, strict=False)},
            "target": np.asarray(read[label], np.int64),
        }
    class_names = tuple(source.builder.info.features[label].names)
    return labeled_texts(columns, make_tokenizer, class_names=class_names, **source.identity())


def labeled_texts(
    columns: Mapping[str, Mapping[str, PackedTexts]],
    make_tokenizer: Callable[[PackedTexts], Tokenizer],
    *,
    class_names: tuple[str, ...],
    notes: Sequence[str] = (),
    left_out: Mapping[str, int] = MappingProxyType({}),
    **identity: Unpack[loading.Identity],
) -> LabeledTexts:
    """Returns the data set of `columns`, tokenized.

    Args:
        columns: By split, "text" and for pairs "text_pair", str [examples], and "target", int64
            [examples].
        make_tokenizer: From the training texts, str [texts], to a tokenizer.
        class_names: Names in the order of the labels.
        notes: What is worth knowing of own files.
        left_out: By split, the number of rows that are left out.
        **identity: Name, version and digest of the data set, and whose it is.
    """
    texts = {
        split: {text: read[text] for text in TEXTS if text in read}
        for split, read in columns.items()
    }
    first, *others = texts["train"].values()
    tokenizer = make_tokenizer(texts_of(joined([first, *others])) if others else first)
    labels = {split: np.asarray(columns[split]["target"]) for split in SPLITS}
    tokens = {split: tokenize(tokenizer, *texts[split].values()) for split in SPLITS}
    return LabeledTexts(
        **identity,
        sizes={split: len(labels[split]) for split in SPLITS},
        columns=texts,
        tokenizer=tokenizer,
        class_names=class_names,
        labels=labels,
        notes=notes,
        left_out=left_out,
        gathered=in_memory.of(tokens["train"], labels["train"]),
        **{split: ragged_examples(tokens[split], labels[split]) for split in SPLITS},
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
