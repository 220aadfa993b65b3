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
from pipelines.datasets.columns import ragged_examples, read_columns, strings
from pipelines.datasets.dataset import SPLITS, Content, Dataset, contents_of_texts
from pipelines.datasets.loading import Identity
from pipelines.datasets.text_columns import PackedTexts, joined, taken, texts_of
from pipelines.errors import UserError
from pipelines.tasks.translation import own
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.tasks.translation.own import TEXTS
from pipelines.text.reversible import SENTENCES, ReversibleTokenizer, train

START, END = (SENTENCES["pieces"].special.index(token) for token in ("[START]", "[END]"))
_CHUNK = 4096
# Frequent words decide a vocabulary of WordPieces; more texts only take longer.
_MAX_TRAINING_TEXTS = 100_000
# The tokens of bundled sets; other sets are cut into WordPieces.
_KINDS = {"cmudict": ("characters", "words")}

# From sources and targets, str [texts], to the tokenizers of both.
TrainTokenizers = Callable[
    [PackedTexts, PackedTexts], tuple[ReversibleTokenizer, ReversibleTokenizer]
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
                split: {name: texts_of(table.columns[name]) for name in TEXTS}
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
        columns[split] = {
            text: texts_of(read[name]) for text, name in zip(TEXTS, languages, strict=True)
        }
    return parallel(source.identity(), columns, make_tokenizers, config.max_length)


def parallel(
    identity: Identity,
    columns: Mapping[str, Mapping[str, PackedTexts]],
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
    tokenizers = train_tokenizers(texts["train"]["source"], texts["train"]["target"])
    parts = {}
    for split, read in texts.items():
        parts[split], short = _parts(tokenizers, read, max_length, leave_out=split == "train")
        if not short.any() and split == "train":
            raise UserError(f"{name} has no pair of texts within --max_length {max_length} tokens")
        if long := len(short) - int(short.sum()):
            what = "left out" if split == "train" else "truncated"
            found.append(
                f"{what}: {files.number(long, 'pair')} of {split}, longer than --max_length "
                f"{max_length} tokens"
            )
        if split == "train" and long:
            lost["train"] += long
            kept = np.flatnonzero(short)
            texts["train"] = {side: texts_of(taken(column, kept)) for side, column in read.items()}
    examples = {split: ragged_examples(*own) for split, own in parts.items()}
    return ParallelTexts(
        **identity,
        sizes={split: len(read["source"]) for split, read in texts.items()},
        train=examples["train"],
        validation=examples["validation"],
        test=examples["test"],
        gathered=in_memory.of(*parts["train"]),
        columns=texts,
        source_tokenizer=tokenizers[0],
        target_tokenizer=tokenizers[1],
        notes=found,
        left_out=lost,
    )


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
    config: TranslationConfig, source: PackedTexts, target: PackedTexts
) -> tuple[ReversibleTokenizer, ReversibleTokenizer]:
    """Trains the tokenizers on training texts, str [texts]; WordPieces are shared by both."""
    source_kind, target_kind = kinds(config)
    if source_kind == target_kind == "pieces":
        shared = _train("pieces", texts_of(joined([source, target])), config.vocabulary)
        return shared, shared
    return (
        _train(source_kind, source, config.vocabulary),
        _train(target_kind, target, config.vocabulary),
    )


def _train(kind: str, texts: PackedTexts, size: int) -> ReversibleTokenizer:
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
    tokenizers: tuple[ReversibleTokenizer, ReversibleTokenizer],
    texts: Mapping[str, PackedTexts],
    max_length: int,
    *,
    leave_out: bool,
) -> tuple[tuple[dict[str, tf.RaggedTensor], tf.RaggedTensor, tf.RaggedTensor], np.ndarray]:
    """Returns the parts of examples, see `ParallelTexts`, which are made of a few texts at a time.

    Args:
        tokenizers: Of sources and of targets.
        texts: "source" and "target", str [pairs].
        max_length: Maximum number of tokens of a text, its end included.
        leave_out: Whether longer pairs are left out, and not truncated.

    Returns:
        The parts; and which pairs are short enough, bool [pairs].
    """
    short: list[np.ndarray] = []

    def chunks() -> Iterator[dict[str, tf.RaggedTensor]]:
        for start in range(0, len(texts["source"]), _CHUNK):
            source, target = (
                tokenizer(strings(texts[side][start : start + _CHUNK]))
                for tokenizer, side in zip(tokenizers, TEXTS, strict=True)
            )
            fits = tf.maximum(source.row_lengths(), target.row_lengths()) < max_length
            short.append(fits.numpy())
            if leave_out:
                source, target = (tf.ragged.boolean_mask(x, fits) for x in (source, target))
            following = tf.concat([target, _column(target, END)], 1)[:, :max_length]
            ids = tf.concat([_column(target, START), following], 1)
            yield {
                **_source(source, max_length),
                "target_ids": ids,
                "target_padding_mask": tf.ones_like(ids),
                "following": following,
                "weights": tf.cast(tf.ones_like(following), tf.float32),
            }

    inputs = in_memory.joined(chunks())
    following, weights = inputs.pop("following"), inputs.pop("weights")
    return (inputs, following, weights), np.concatenate(short)


def _column(ids: tf.RaggedTensor, token: int) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_tensor(tf.fill([ids.nrows(), 1], token))


def _without_empty(columns: Mapping[str, PackedTexts]) -> dict[str, PackedTexts]:
    pairs = zip(*columns.values(), strict=True)
    some = np.fromiter((bool(source.strip() and target.strip()) for source, target in pairs), bool)
    if some.all():
        return dict(columns)
    return {name: texts_of(taken(x, np.flatnonzero(some))) for name, x in columns.items()}


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
