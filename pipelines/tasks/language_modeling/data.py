"""Running text for language models: documents as one stream of tokens, read in windows.

The documents of a split follow each other, with [END] before, between and after them. Training
reads the stream block by block. Validation and test read it in windows that overlap by half; a
prediction counts in the first window that makes it, so that each token is predicted once, and from
the second window on with half a window of context at least. An n-gram model is scored on the same
tokens.

Your own text is a folder with `train.txt`, `validation.txt` and `test.txt`, or one file,
`FILE.txt`, whose first 80 % are for training, the next 10 % for validation and the last for test,
split between lines. A file is one document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.datasets.dataset import SPLITS, Dataset
from pipelines.datasets.loading import Identity, Source
from pipelines.errors import UserError
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.text.generation import END
from pipelines.text.reversible import RUNNING_TEXT, UNKNOWN, ReversibleTokenizer, chunks, train

# More text would make about the same vocabulary.
_MAX_TRAINING_CHARACTERS = 20_000_000
_SPLIT_POINTS = (0.8, 0.9)
# With fewer documents, intervals come from parts of the stream.
_MIN_DOCUMENTS = 10
_PARTS = 50


@dataclass(frozen=True)
class TokenStream:
    """The documents of a split, one after the other.

    Attributes:
        tokens: int32 [tokens], [END] first, last, and between documents.
        lengths: int32 [tokens], number of characters that each token stands for, 0 for [END].
    """

    tokens: np.ndarray
    lengths: np.ndarray

    @property
    def documents(self) -> np.ndarray:
        """The index of each token's document, int64 [tokens]; [END] belongs to what it ends."""
        ends = self.tokens == END
        return np.cumsum(ends) - ends - 1


@dataclass(frozen=True)
class Windows:
    """Where the windows of a stream start, and which of their predictions count.

    Attributes:
        starts: int64 [windows].
        weights: float32 [windows, context], 0 where a prediction is padding or was made in an
            earlier window, else 1.
    """

    starts: np.ndarray
    weights: np.ndarray

    def cut(self, column: np.ndarray) -> np.ndarray:
        """Cuts a column [tokens] into windows [windows, context + 1], padded with zeros."""
        size = self.weights.shape[1] + 1
        padded = np.pad(column, (0, int(self.starts[-1]) + size - len(column)))
        return np.lib.stride_tricks.sliding_window_view(padded, size)[self.starts]


@dataclass(frozen=True, kw_only=True, eq=False)
class RunningText(Dataset):
    """A data set of documents in windows.

    Examples are {"token_ids", "padding_mask"}, int32 [context + 1], the next tokens, int32
    [context], and their weights, float32 [context].

    Attributes:
        streams: The tokens of each split.
        windows: The windows of each split.
        tokenizer: Trained on the training split.
        context: Number of tokens that a network reads at once.
    """

    streams: Mapping[str, TokenStream]
    windows: Mapping[str, Windows]
    tokenizer: ReversibleTokenizer
    context: int


def load(config: LanguageModelingConfig) -> RunningText:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The set cannot be had, or has no text.
    """
    train_tokenizer = tokenizer_trainer(config)
    path = Path(config.dataset).expanduser()
    if path.suffix == ".txt" or (path.is_dir() and any(_file(path, s).is_file() for s in SPLITS)):
        own = _read(path)
        sha = hashlib.sha256("\0".join(own[split] for split in SPLITS).encode())
        identity: Identity = {
            "name": loading.registrable(path.resolve().stem),
            "version": "1.0.0",
            "digest": sha.hexdigest()[:12],
        }
        documents = {split: [text] for split, text in own.items()}
        return running_text(identity, documents, train_tokenizer, config.context)
    source = loading.open_dataset(config)
    feature, identity = _feature(source.builder), source.identity()
    if config.max_texts:
        digest = hashlib.sha256(f"{identity['digest']} {config.max_texts}".encode())
        identity = {**identity, "digest": digest.hexdigest()[:12]}
    texts = {split: _Documents(source, split, feature, config.max_texts) for split in SPLITS}
    return running_text(identity, texts, train_tokenizer, config.context)


def tokenizer_trainer(
    config: LanguageModelingConfig,
) -> Callable[[Iterable[str]], ReversibleTokenizer]:
    """Returns the function from training documents to the tokenizer that `config` asks for."""
    return partial(
        train,
        RUNNING_TEXT[config.tokens],
        size=config.vocabulary,
        max_characters=_MAX_TRAINING_CHARACTERS,
    )


def running_text(
    identity: Identity,
    documents: Mapping[str, Iterable[str]],
    train_tokenizer: Callable[[Iterable[str]], ReversibleTokenizer],
    context: int,
) -> RunningText:
    """Returns the data set of `documents`.

    Args:
        identity: Name, version and digest.
        documents: By split; they are read more than once.
        train_tokenizer: From the training documents to a tokenizer.
        context: Number of tokens that a network reads at once.

    Raises:
        UserError: A split has no text.
    """
    tokenizer = train_tokenizer(documents["train"])
    streams = {split: token_stream(tokenizer, documents[split]) for split in SPLITS}
    for split, stream in streams.items():
        if not stream.lengths.any():
            raise UserError(f"{identity['name']} has no text in its {split} split")
    windows = {
        split: _windows(len(stream.tokens) - 1, context, overlap=split != "train")
        for split, stream in streams.items()
    }
    examples = {split: _examples(streams[split], windows[split]) for split in SPLITS}
    return RunningText(
        **identity,
        sizes={split: len(found.starts) for split, found in windows.items()},
        train=examples["train"],
        validation=examples["validation"],
        test=examples["test"],
        columns={
            split: _columns(streams[split], windows[split], tokenizer.alphabet) for split in SPLITS
        },
        streams=streams,
        windows=windows,
        tokenizer=tokenizer,
        context=context,
    )


def token_stream(tokenizer: ReversibleTokenizer, documents: Iterable[str]) -> TokenStream:
    """Returns documents as one stream of tokens; those without tokens are left out."""
    tokens, lengths = [np.array([END], np.int32)], [np.array([0], np.int32)]
    for chunk in chunks(documents):
        ids, counts = tokenizer.with_lengths(tf.constant(chunk))
        some = ids.row_lengths() > 0
        for ragged, parts, end in ((ids, tokens, END), (counts, lengths, 0)):
            ragged = tf.ragged.boolean_mask(ragged, some)
            ends = tf.fill([ragged.nrows(), 1], tf.constant(end, tf.int32))
            parts.append(tf.concat([ragged, ends], axis=1).flat_values.numpy())
    return TokenStream(np.concatenate(tokens), np.concatenate(lengths))


def _windows(predicted: int, context: int, *, overlap: bool) -> Windows:
    """Returns blocks, or windows that overlap by half.

    Args:
        predicted: Number of tokens to predict, which is one less than there are.
        context: Number of tokens that a network reads at once.
        overlap: Whether windows overlap.
    """
    if overlap:
        stride = max(1, context // 2)
        starts = np.arange(0, max(1, predicted - context + stride), stride)
    else:
        starts = np.arange(0, predicted, context)
    places = starts[:, np.newaxis] + np.arange(context)
    done = np.concatenate([[0], starts[:-1] + context])[:, np.newaxis]
    return Windows(starts, ((places >= done) & (places < predicted)).astype(np.float32))


def _examples(stream: TokenStream, windows: Windows) -> tf.data.Dataset:
    tokens = windows.cut(stream.tokens)
    inputs = {"token_ids": tokens, "padding_mask": (tokens > 0).astype(np.int32)}
    return tf.data.Dataset.from_tensor_slices((inputs, tokens[:, 1:], windows.weights))


def _columns(stream: TokenStream, windows: Windows, alphabet: int) -> dict[str, np.ndarray]:
    """Returns what scores need of each window.

    Returns:
        "characters", int64 [windows], of the tokens that count; "spelling_bits", float64
        [windows], the cost of those that [UNK] stands for, if they are spelled by a uniform
        distribution over the alphabet: log2(alphabet + 1) each; and "block", int64 [windows]: the
        document, or, where there are few, a fiftieth of the split.
    """
    weights = windows.weights
    lengths = windows.cut(stream.lengths)[:, 1:] * (weights > 0)
    unknown = windows.cut(stream.tokens)[:, 1:] == UNKNOWN
    documents = stream.documents[windows.starts + weights.argmax(-1) + 1]
    if documents[-1] + 1 < _MIN_DOCUMENTS:
        documents = np.arange(len(weights)) * _PARTS // len(weights)
    return {
        "characters": lengths.sum(-1),
        "spelling_bits": (lengths * unknown).sum(-1) * np.log2(alphabet + 1),
        "block": documents,
    }


@dataclass(frozen=True)
class _Documents:
    """The texts of a split, read from disk by each iteration."""

    source: Source
    split: str
    feature: str
    max_texts: int

    def __iter__(self) -> Iterator[str]:
        examples = self.source.read(
            self.split,
            decoders=tfds.decode.PartialDecoding({self.feature: True}),
            # In the order of the files on every machine.
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        for example in examples.take(self.max_texts or -1).as_numpy_iterator():
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


def _file(folder: Path, split: str) -> Path:
    return folder / f"{split}.txt"


def _read(path: Path) -> dict[str, str]:
    """Returns the text of each split of a folder or of one file."""
    if path.is_dir():
        return {split: _text(_file(path, split)) for split in SPLITS}
    text = _text(path)
    first, second = (text.find("\n", int(fraction * len(text))) + 1 for fraction in _SPLIT_POINTS)
    if not 0 < first < second:
        raise UserError(f"{path} has too few lines to be split into three parts")
    return {"train": text[:first], "validation": text[first:second], "test": text[second:]}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 at byte {error.start}") from error
