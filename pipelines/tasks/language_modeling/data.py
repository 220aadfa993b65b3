"""Running text for language models: documents as one stream of tokens, read in windows.

The documents of a split follow each other, with [END] before, between and after them. Training
reads the stream block by block. Validation and test read it in windows that overlap by half; a
prediction counts in the first window that makes it, so that each token is predicted once, and from
the second window on with half a window of context at least. An n-gram model is scored on the same
tokens.

Your own text is read as `text/documents.py` says; a text file, or a row of a table, is a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import files, in_memory, loading, lookup
from pipelines.datasets.dataset import SPLITS, Dataset
from pipelines.datasets.loading import Identity, Source
from pipelines.datasets.stored import Stored
from pipelines.errors import UserError
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.language_modeling.weights import read_tokenizer
from pipelines.tasks.language_modeling.windows import TokenStream, Windows
from pipelines.tasks.language_modeling.windows import windows as cut_windows
from pipelines.text import byte_pairs, documents
from pipelines.text.byte_pairs import BytePairTokenizer
from pipelines.text.reversible import (
    RUNNING_TEXT,
    ReversibleTokenizer,
    chunks,
    train,
)

# More text would make about the same vocabulary.
_MAX_TRAINING_CHARACTERS = 20_000_000
# With fewer documents, intervals come from parts of the stream.
_MIN_DOCUMENTS = 10
_PARTS = 50

Tokenizer = ReversibleTokenizer | BytePairTokenizer


@dataclass(frozen=True, kw_only=True, eq=False)
class RunningText(Dataset):
    """A data set of documents in windows.

    Examples are {"token_ids", "padding_mask"}, int32 [context + 1], the next tokens, int32
    [context], and their weights, float32 [context].

    Attributes:
        streams: The tokens of each split.
        windows: The windows of each split.
        tokenizer: Trained on the training split, or pre-trained.
        context: Number of tokens that a network reads at once.
    """

    streams: Mapping[str, TokenStream]
    windows: Mapping[str, Windows]
    tokenizer: Tokenizer
    context: int

    def contents(self, split: str) -> None:
        """Returns nothing: windows are cut from documents."""


def load(config: LanguageModelingConfig) -> RunningText:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The set cannot be had, or has no text.
    """
    train_tokenizer = tokenizer_trainer(config)
    if path := lookup.own_path(config.dataset):
        own = documents.read(path, config, "language_modeling")
        return running_text(
            loading.own_identity(path, own.digest()),
            own.texts,
            train_tokenizer,
            config.context,
            notes=own.notes,
            left_out=own.left_out,
        )
    source = loading.open_dataset(config)
    feature = _feature(source.builder)
    texts = {split: _Documents(source, split, feature) for split in SPLITS}
    return running_text(source.identity(), texts, train_tokenizer, config.context)


def tokenizer_trainer(config: LanguageModelingConfig) -> Callable[[Iterable[str]], Tokenizer]:
    """Returns the function from training documents to the tokenizer that `config` asks for.

    That of pre-trained weights is what they were trained with.
    """
    if config.weights:
        tokenizer = read_tokenizer(config.weights)
        return lambda _: tokenizer
    if config.tokens == "byte_pairs":
        return partial(
            byte_pairs.train, size=config.vocabulary, max_characters=_MAX_TRAINING_CHARACTERS
        )
    return partial(
        train,
        RUNNING_TEXT[config.tokens],
        size=config.vocabulary,
        max_characters=_MAX_TRAINING_CHARACTERS,
    )


def running_text(
    identity: Identity,
    texts: Mapping[str, Iterable[str]],
    train_tokenizer: Callable[[Iterable[str]], Tokenizer],
    context: int,
    *,
    notes: Sequence[str] = (),
    left_out: Mapping[str, int] = MappingProxyType({}),
) -> RunningText:
    """Returns the data set of documents.

    Args:
        identity: Name, version and digest.
        texts: Documents by split; they are read more than once.
        train_tokenizer: From the training documents to a tokenizer.
        context: Number of tokens that a network reads at once.
        notes: What is worth knowing of own files.
        left_out: By split, the number of documents that are left out already.

    Raises:
        UserError: A split has no text.
    """
    tokenizer = train_tokenizer(texts["train"])
    streams = {split: token_stream(tokenizer, texts[split]) for split in SPLITS}
    for split, stream in streams.items():
        if not stream.lengths.any():
            raise UserError(f"{identity['name']} has no text in its {split} split")
    empty = [
        f"left out: {files.number(stream.empty, 'document')} of {split} without text"
        for split, stream in streams.items()
        if stream.empty
    ]
    windows = {
        split: cut_windows(len(stream.tokens) - 1, context, overlap=split != "train")
        for split, stream in streams.items()
    }
    arrays = {split: windows[split].examples(streams[split]) for split in SPLITS}
    sizes = {split: len(found.starts) for split, found in windows.items()}
    return RunningText(
        **identity,
        sizes=sizes,
        gathered=arrays["train"],
        **{split: in_memory.examples(arrays[split], sizes[split]) for split in SPLITS},
        columns={split: _columns(streams[split], windows[split], tokenizer) for split in SPLITS},
        streams=streams,
        windows=windows,
        tokenizer=tokenizer,
        context=context,
        notes=[*notes, *empty],
        left_out={split: left_out.get(split, 0) + streams[split].empty for split in SPLITS},
    )


def token_stream(tokenizer: Tokenizer, documents: Iterable[str]) -> TokenStream:
    """Returns documents as one stream of tokens; those without tokens are left out."""
    last = tokenizer.ids.end
    tokens, lengths, empty = Stored(np.int32), Stored(np.int32), 0
    tokens.append(np.array([last]))
    lengths.append(np.zeros(1))
    for chunk in chunks(documents):
        ids, counts = tokenizer.with_lengths(tf.constant(chunk))
        some = ids.row_lengths() > 0
        empty += int(tf.reduce_sum(tf.cast(~some, tf.int32)))
        for ragged, column, end in ((ids, tokens, last), (counts, lengths, 0)):
            ragged = tf.ragged.boolean_mask(ragged, some)
            ends = tf.fill([ragged.nrows(), 1], tf.constant(end, tf.int32))
            column.append(tf.concat([ragged, ends], axis=1).flat_values.numpy())
    return TokenStream(tokens.column(), lengths.column(), empty, last)


def _columns(stream: TokenStream, windows: Windows, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
    """Returns what scores need of each window.

    Returns:
        "characters", int64 [windows], of the tokens that count; "spelling_bits", float64
        [windows], the cost of those that [UNK] stands for, if they are spelled by a uniform
        distribution over the alphabet: log2(alphabet + 1) each; and "block", int64 [windows]: the
        document, or, where there are few, a fiftieth of the split.
    """
    characters, spelling, documents = [], [], []
    for part in windows.parts():
        weights = part.weights
        lengths = part.cut(stream.lengths)[:, 1:] * (weights > 0)
        unknown = part.cut(stream.tokens)[:, 1:] == tokenizer.ids.unknown
        characters.append(lengths.sum(-1))
        spelling.append((lengths * unknown).sum(-1) * np.log2(tokenizer.alphabet + 1))
        documents.append(stream.documents(part.starts + weights.argmax(-1) + 1))
    count, blocks = len(windows.starts), np.concatenate(documents)
    if blocks[-1] + 1 < _MIN_DOCUMENTS:
        blocks = np.arange(count) * _PARTS // count
    return {
        "characters": np.concatenate(characters),
        "spelling_bits": np.concatenate(spelling),
        "block": blocks,
    }


@dataclass(frozen=True)
class _Documents:
    """The texts of a split, read from disk by each iteration."""

    source: Source
    split: str
    feature: str

    def __iter__(self) -> Iterator[str]:
        examples = self.source.read(
            self.split,
            decoders=tfds.decode.PartialDecoding({self.feature: True}),
            # In the order of the files on every machine.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        for example in examples.as_numpy_iterator():
            yield example[self.feature].decode(errors="replace")


def _feature(builder: tfds.core.DatasetBuilder) -> str:
    """Returns the name of the feature that is the text: the only one, or else `text`."""
    features = loading.features(builder)
    texts = [name for name, kind in features.items() if isinstance(kind, tfds.features.Text)]
    if len(texts) == 1 or "text" in texts:
        return "text" if "text" in texts else texts[0]
    raise UserError(
        f"{builder.name} has no feature `text`; its features are: {', '.join(features)}"
    )
