"""Parallel texts: sources and their translations as strings, and the tokens of both.

They come from an embedded set; from a set of TFDS with the features of a translation, as
`ted_hrlr_translate/pt_to_en`, `wmt16_translate/de-en` or `opus/…`, whose first language is the
source; or from a folder of tables with the columns `source` and `target`.
"""

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
from pipelines.tasks.text_classification.data import SPLITS, columns_of, slices, strings
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.text.reversible import (
    END,
    START,
    Pieces,
    Reversible,
    Symbols,
    learn_pieces,
    learn_symbols,
)

TEXTS = ("source", "target")
_CHUNK = 4096

# What the embedded sets are cut into; others are cut into WordPieces.
_KINDS = {"cmudict": ("characters", "words")}

# From sources and targets, str [texts], to the tokenizers of both.
Learn = Callable[[np.ndarray, np.ndarray], tuple[Reversible, Reversible]]


@dataclass(frozen=True)
class ParallelTexts:
    """A data set of texts and their translations.

    Attributes:
        name: TFDS name.
        version: Version of the data set.
        digest: Fingerprint of the prepared files.
        columns: By split, "source" and "target", str [examples].
        source_tokenizer: Its vocabulary is that of the training split.
        target_tokenizer: The same one, where both languages share a vocabulary.
        train: (inputs, int32 [tokens], float32 [tokens]) examples, unbatched, as the others. Inputs
            are "source_ids", which end with `END`, "target_ids", which are the target between
            `START` and `END`, and the padding mask of either, all int32 [tokens]; the second part
            is what to write after each of "target_ids" but the last, the third is 1 there. Pairs
            longer than the length at which texts are cut off are left out.
        validation: What choices look at. Of a target that is cut off, there is no end.
        test: What is reported, once.
    """

    name: str
    version: str
    digest: str
    columns: Mapping[str, Mapping[str, np.ndarray]]
    source_tokenizer: Reversible
    target_tokenizer: Reversible
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset

    @property
    def sizes(self) -> dict[str, int]:
        """Number of pairs in each split."""
        return {split: len(columns["source"]) for split, columns in self.columns.items()}

    @property
    def example_bytes(self) -> int:
        """Nothing to keep: the token ids are in memory already."""
        return 0

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns the texts of a split."""
        return dict(self.columns[split])


def load(config: TranslationConfig, learn: Learn) -> ParallelTexts:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set.
        learn: Makes the tokenizers of the training texts.

    Raises:
        UserError: The set cannot be had, or holds no pairs of texts that are short enough.
    """
    if tables.is_folder_of_tables(config.dataset):
        folder = Path(config.dataset).expanduser()
        columns, digest = tables.read_texts(folder, TEXTS)
        about = {"name": loading.own_name(folder), "version": "1.0.0", "digest": digest}
    else:
        builder = loading.prepared(
            config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
        )
        languages, chosen = _languages(builder), loading.splits(builder)
        columns = {}
        for split in SPLITS:
            read = columns_of(builder, getattr(chosen, split), languages)
            both = (strings(read[language]) for language in languages)
            columns[split] = dict(zip(TEXTS, both, strict=True))
        about = {
            "name": loading.name(builder),
            "version": str(builder.info.version),
            "digest": loading.digest(builder),
        }
    if config.reverse:
        columns = {
            split: {"source": read["target"], "target": read["source"]}
            for split, read in columns.items()
        }
    return parallel(columns, learn, config.max_length, **about)


def parallel(
    columns: Mapping[str, Mapping[str, np.ndarray]], learn: Learn, max_length: int, **about: Any
) -> ParallelTexts:
    """Returns the data set of `columns`, tokenized with what `learn` makes of its training texts.

    Args:
        columns: As `ParallelTexts.columns`; pairs with an empty text are left out.
        learn: Makes the tokenizers.
        max_length: Tokens after which texts are cut off, their end included.
        **about: `name`, `version` and `digest`.

    Raises:
        UserError: A split has no pair of texts, or training none that is short enough.
    """
    columns = {split: _with_text(read) for split, read in columns.items()}
    for split, read in columns.items():
        if not len(read["source"]):
            raise UserError(f"{about['name']} has no pair of texts in its {split} split")
    tokenizers = learn(*(columns["train"][name] for name in TEXTS))
    ids = {
        split: {
            name: _tokens(tokenizer, read[name])
            for name, tokenizer in zip(TEXTS, tokenizers, strict=True)
        }
        for split, read in columns.items()
    }
    lengths = [ids["train"][name].row_lengths().numpy() for name in TEXTS]
    short = np.max(lengths, axis=0) < max_length
    if not short.any():
        raise UserError(
            f"{about['name']} has no pair of texts within --max_length {max_length} tokens"
        )
    columns["train"] = {name: texts[short] for name, texts in columns["train"].items()}
    ids["train"] = {name: tf.ragged.boolean_mask(x, short) for name, x in ids["train"].items()}
    examples = {split: _examples(**tokens, max_length=max_length) for split, tokens in ids.items()}
    source_tokenizer, target_tokenizer = tokenizers
    return ParallelTexts(
        columns=columns,
        source_tokenizer=source_tokenizer,
        target_tokenizer=target_tokenizer,
        **about,
        **examples,
    )


def kinds(config: TranslationConfig) -> tuple[str, str]:
    """Returns what sources and targets are cut into: "pieces", "words" or "characters"."""
    known = _KINDS.get(config.dataset.partition("/")[0], ("pieces", "pieces"))
    source, target = known[::-1] if config.reverse else known
    return (
        source if config.source_tokens == "auto" else config.source_tokens,
        target if config.target_tokens == "auto" else config.target_tokens,
    )


def learned(
    config: TranslationConfig, source: np.ndarray, target: np.ndarray
) -> tuple[Reversible, Reversible]:
    """Returns the tokenizers of training texts, str [texts]; WordPieces are shared by both."""

    def learn(kind: str, texts: np.ndarray) -> Reversible:
        if kind == "pieces":
            return Pieces(learn_pieces(texts, config.vocabulary))
        characters = kind == "characters"
        symbols = learn_symbols(texts, config.vocabulary, characters=characters)
        return Symbols(symbols, characters=characters)

    source_kind, target_kind = kinds(config)
    if source_kind == target_kind == "pieces":
        both = learn("pieces", np.concatenate([source, target]))
        return both, both
    return learn(source_kind, source), learn(target_kind, target)


def source_inputs(
    tokenizer: Reversible, texts: tf.Tensor, max_length: int
) -> dict[str, tf.RaggedTensor]:
    """Turns sources, string [batch], into inputs; training and serving both do so.

    Returns:
        "source_ids", which end with `END`, and "source_padding_mask", int32 [batch, tokens].
    """
    return _source(tokenizer(texts), max_length)


def _source(ids: tf.RaggedTensor, max_length: int) -> dict[str, tf.RaggedTensor]:
    ids = tf.concat([ids[:, : max_length - 1], _column(ids, END)], 1)
    return {"source_ids": ids, "source_padding_mask": tf.ones_like(ids)}


def _examples(source: tf.RaggedTensor, target: tf.RaggedTensor, max_length: int) -> tf.data.Dataset:
    following = tf.concat([target, _column(target, END)], 1)[:, :max_length]
    ids = tf.concat([_column(target, START), following], 1)
    inputs = {
        **_source(source, max_length),
        "target_ids": ids,
        "target_padding_mask": tf.ones_like(ids),
    }
    return slices(inputs, following, tf.cast(tf.ones_like(following), tf.float32))


def _column(ids: tf.RaggedTensor, token: int) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_tensor(tf.fill([ids.nrows(), 1], token))


def _tokens(tokenizer: Reversible, texts: np.ndarray) -> tf.RaggedTensor:
    chunks = [
        tokenizer(tf.constant(texts[start : start + _CHUNK]))
        for start in range(0, len(texts), _CHUNK)
    ]
    return tf.concat(chunks, axis=0)


def _with_text(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    some = np.array([bool(s.strip() and t.strip()) for s, t in zip(*columns.values(), strict=True)])
    return {name: texts[some.astype(bool)] for name, texts in columns.items()}


def _languages(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the source's and of the target's feature."""
    features = loading.features(builder)
    pair = builder.info.supervised_keys or tuple(features)
    texts = all(isinstance(features.get(name), tfds.features.Text) for name in pair)
    if len(pair) != 2 or not texts:
        raise UserError(
            f"{builder.name} has no texts with their translations, as ted_hrlr_translate has; its "
            f"features are: {', '.join(features)}"
        )
    return pair[0], pair[1]
