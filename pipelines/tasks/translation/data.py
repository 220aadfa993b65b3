"""Parallel texts: sources and their translations as strings, and the tokens of both.

They come from a bundled set; from a set of TFDS with the features of a translation, as
`ted_hrlr_translate/pt_to_en`, `wmt16_translate/de-en` or `opus/…`, whose first language is the
source; or from a user's own tables or files, see `own.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import files, in_memory, loading, lookup, split_tables
from pipelines.datasets.columns import decode_strings, ragged_examples, read_columns
from pipelines.datasets.dataset import SPLITS, Content, Dataset, contents_of_texts
from pipelines.datasets.loading import Identity
from pipelines.errors import UserError
from pipelines.tasks.translation import own
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.tasks.translation.own import TEXTS
from pipelines.text.reversible import SENTENCES, ReversibleTokenizer, chunks, train

START, END = (SENTENCES["pieces"].special.index(token) for token in ("[START]", "[END]"))
_CHUNK = 4096
# Frequent words decide a vocabulary of WordPieces; more texts only take longer.
_MAX_TRAINING_TEXTS = 100_000
# The tokens of bundled sets; other sets are cut into WordPieces.
_KINDS = {"cmudict": ("characters", "words")}

# From sources and targets, str [texts], to the tokenizers of both.
TrainTokenizers = Callable[
    [np.ndarray, np.ndarray], tuple[ReversibleTokenizer, ReversibleTokenizer]
]


@dataclass(frozen=True, kw_only=True, eq=False)
class ParallelTexts(Dataset):
    """A data set of texts and their translations.

    Examples are (inputs, int32 [tokens], float32 [tokens]). Inputs are "source_ids", which end with
    `END`, "target_ids", which are the target between `START` and `END`, and the padding mask of
    either, all int32 [tokens]; the second part is the token after each of "target_ids" but the
    last, the third is 1 there. Training pairs longer than the maximum length are left out; in
    validation and test they are truncated, and a truncated target has no `END`.

    Columns are "source" and "target", str [examples].

    Attributes:
        source_tokenizer: Trained on the training split.
        target_tokenizer: The same one where both languages share a vocabulary.
    """

    source_tokenizer: ReversibleTokenizer
    target_tokenizer: ReversibleTokenizer

    def contents(self, split: str) -> Iterator[Content]:
        columns = self.raw(split)
        return contents_of_texts([columns[name] for name in TEXTS])


def load(config: TranslationConfig) -> ParallelTexts:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The set cannot be had, or has no pairs of texts that are short enough.
    """
    make_tokenizers = partial(train_tokenizers, config)
    if path := lookup.own_path(config.dataset):
        whole = own.read(path, config, reverse=config.reverse)
        found = split_tables.at_most(whole, config)
        return parallel(
            loading.own_identity(path, split_tables.digest(found)),
            {
                split: {name: np.asarray(table.columns[name]) for name in TEXTS}
                for split, table in found.items()
            },
            make_tokenizers,
            config.max_length,
            notes=split_tables.notes(found),
            left_out={split: table.left_out for split, table in found.items()},
        )
    source = loading.open_dataset(config)
    languages = _languages(source.builder)
    if config.reverse:
        languages = languages[::-1]
    columns = {}
    for split in SPLITS:
        read = read_columns(source.read(split), languages)
        both = (decode_strings(read[language]) for language in languages)
        columns[split] = dict(zip(TEXTS, both, strict=True))
    return parallel(source.identity(), columns, make_tokenizers, config.max_length)


def parallel(
    identity: Identity,
    columns: Mapping[str, Mapping[str, np.ndarray]],
    train_tokenizers: TrainTokenizers,
    max_length: int,
    *,
    notes: Sequence[str] = (),
    left_out: Mapping[str, int] = MappingProxyType({}),
) -> ParallelTexts:
    """Returns the data set of `columns`.

    Args:
        identity: Name, version and digest.
        columns: By split, "source" and "target", str [examples]; pairs with an empty text are left
            out.
        train_tokenizers: From the training texts to the tokenizers.
        max_length: Maximum number of tokens of a text, its end included; longer training pairs are
            left out.
        notes: What is worth knowing of own files.
        left_out: By split, the number of pairs that are left out already.

    Raises:
        UserError: A split has no pair of texts, or training none that is short enough.
    """
    name = identity["name"]
    texts = {split: _without_empty(read) for split, read in columns.items()}
    lost = {split: left_out.get(split, 0) for split in texts}
    found = list(notes)
    for split, read in texts.items():
        if empty := len(columns[split]["source"]) - len(read["source"]):
            lost[split] += empty
            found.append(f"left out: {files.number(empty, 'pair')} of {split} with an empty text")
        if not len(read["source"]):
            raise UserError(f"{name} has no pair of texts in its {split} split")
    source_tokenizer, target_tokenizer = train_tokenizers(
        texts["train"]["source"], texts["train"]["target"]
    )
    ids = {
        split: {
            "source": _tokens(source_tokenizer, read["source"]),
            "target": _tokens(target_tokenizer, read["target"]),
        }
        for split, read in texts.items()
    }
    short = _fits(ids["train"], max_length)
    if not short.any():
        raise UserError(f"{name} has no pair of texts within --max_length {max_length} tokens")
    for split in SPLITS:
        if long := int(np.sum(~_fits(ids[split], max_length))):
            what = "left out" if split == "train" else "truncated"
            found.append(
                f"{what}: {files.number(long, 'pair')} of {split}, longer than --max_length "
                f"{max_length} tokens"
            )
    lost["train"] += int(np.sum(~short))
    if not short.all():
        texts["train"] = {side: column[short] for side, column in texts["train"].items()}
        ids["train"] = {side: tf.ragged.boolean_mask(x, short) for side, x in ids["train"].items()}
    parts = {split: _parts(**tokens, max_length=max_length) for split, tokens in ids.items()}
    examples = {split: ragged_examples(*own) for split, own in parts.items()}
    return ParallelTexts(
        **identity,
        sizes={split: len(read["source"]) for split, read in texts.items()},
        train=examples["train"],
        validation=examples["validation"],
        test=examples["test"],
        gathered=in_memory.of(*parts["train"]),
        columns=texts,
        source_tokenizer=source_tokenizer,
        target_tokenizer=target_tokenizer,
        notes=found,
        left_out=lost,
    )


def _fits(ids: Mapping[str, tf.RaggedTensor], max_length: int) -> np.ndarray:
    """Returns which pairs are short enough, each with its end, bool [pairs]."""
    return np.max([ids[side].row_lengths().numpy() for side in TEXTS], axis=0) < max_length


def kinds(config: TranslationConfig) -> tuple[str, str]:
    """Returns the tokens of sources and of targets: "pieces", "words" or "characters"."""
    known = ("pieces", "pieces")
    if not lookup.own_path(config.dataset):
        known = _KINDS.get(re.split("[/:]", config.dataset)[0], known)
    source, target = known[::-1] if config.reverse else known
    return (
        source if config.source_tokens == "auto" else config.source_tokens,
        target if config.target_tokens == "auto" else config.target_tokens,
    )


def train_tokenizers(
    config: TranslationConfig, source: np.ndarray, target: np.ndarray
) -> tuple[ReversibleTokenizer, ReversibleTokenizer]:
    """Trains the tokenizers on training texts, str [texts]; WordPieces are shared by both."""
    source_kind, target_kind = kinds(config)
    if source_kind == target_kind == "pieces":
        shared = _train("pieces", np.concatenate([source, target]), config.vocabulary)
        return shared, shared
    return (
        _train(source_kind, source, config.vocabulary),
        _train(target_kind, target, config.vocabulary),
    )


def _train(kind: str, texts: np.ndarray, size: int) -> ReversibleTokenizer:
    if kind == "pieces":
        texts = texts[:_MAX_TRAINING_TEXTS]
    return train(SENTENCES[kind], texts, size)


def source_inputs(
    tokenizer: ReversibleTokenizer, texts: tf.Tensor, max_length: int
) -> dict[str, tf.RaggedTensor]:
    """Turns sources, string [batch], into inputs, in training and in serving.

    Returns:
        "source_ids", which end with `END`, and "source_padding_mask", int32 [batch, tokens].
    """
    return _source(tokenizer(texts), max_length)


def _source(ids: tf.RaggedTensor, max_length: int) -> dict[str, tf.RaggedTensor]:
    ids = tf.concat([ids[:, : max_length - 1], _column(ids, END)], 1)
    return {"source_ids": ids, "source_padding_mask": tf.ones_like(ids)}


def _parts(
    source: tf.RaggedTensor, target: tf.RaggedTensor, max_length: int
) -> tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor, tf.RaggedTensor]:
    """Returns the parts of examples, see `ParallelTexts`, from the tokens of both sides."""
    following = tf.concat([target, _column(target, END)], 1)[:, :max_length]
    ids = tf.concat([_column(target, START), following], 1)
    inputs = {
        **_source(source, max_length),
        "target_ids": ids,
        "target_padding_mask": tf.ones_like(ids),
    }
    return inputs, following, tf.cast(tf.ones_like(following), tf.float32)


def _column(ids: tf.RaggedTensor, token: int) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_tensor(tf.fill([ids.nrows(), 1], token))


def _tokens(tokenizer: ReversibleTokenizer, texts: np.ndarray) -> tf.RaggedTensor:
    return tf.concat([tokenizer(tf.constant(chunk)) for chunk in chunks(texts, _CHUNK)], axis=0)


def _without_empty(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    pairs = zip(*columns.values(), strict=True)
    some = np.fromiter((bool(source.strip() and target.strip()) for source, target in pairs), bool)
    return {name: x if some.all() else x[some] for name, x in columns.items()}


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
