"""Running text for language models: documents as one row of tokens, read in windows.

The documents of a split stand behind each other, [END] before, between and after them. Training
reads the row block by block. Validation and test read it in windows that overlap by half: of a
window's predictions only those count that no window before has made, so each token is predicted
once, and from the second window on after half a window of context at least. An n-gram model is
scored on the same tokens.

Own text: a folder with `train.txt`, `validation.txt` and `test.txt`, or one file, `FILE.txt`, of
which the first 80 % are for training, the next 10 % for validation and the last for test, cut
between lines. A file is one document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.errors import UserError
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.text_classification.data import SPLITS
from pipelines.text.reversible_tokenizers import END, UNKNOWN, ReversibleTokenizer, chunks

_SHARES = (0.8, 0.9)
# Documents that make intervals of their own; of fewer, parts of the row stand for them.
_FEWEST_DOCUMENTS = 10
_PARTS = 50


@dataclass(frozen=True)
class Row:
    """The documents of a split behind each other.

    Attributes:
        tokens: int32 [tokens], [END] first, last, and between documents.
        lengths: int32 [tokens], characters that each token stands for; [END] for none.
    """

    tokens: np.ndarray
    lengths: np.ndarray

    @property
    def documents(self) -> np.ndarray:
        """The number of each token's document, int64 [tokens], of [END] that of the one it ends."""
        ends = self.tokens == END
        return np.cumsum(ends) - ends - 1


@dataclass(frozen=True)
class RunningText:
    """A data set of documents.

    Attributes:
        name: TFDS name, or that of the folder or file.
        version: Version of the data set.
        digest: Fingerprint of the prepared files and of what was chosen of them.
        rows: The tokens of each split.
        tokenizer: Its vocabulary is that of the training split.
        context: Tokens that a network reads at once.
    """

    name: str
    version: str
    digest: str
    rows: Mapping[str, Row]
    tokenizer: ReversibleTokenizer
    context: int

    @property
    def sizes(self) -> dict[str, int]:
        """Number of blocks or windows in each split."""
        return {split: len(self.starts(split)) for split in self.rows}

    @property
    def example_bytes(self) -> int:
        """Nothing to keep: the tokens are in memory already."""
        return 0

    @property
    def train(self) -> tf.data.Dataset:
        """Blocks of {"token_ids", "padding_mask"}, int32 [context + 1], next tokens, weights.

        The next tokens are int32 [context], their weights float32 [context]: 0 where they are
        padding or an earlier window has predicted them. Unbatched, as the others.
        """
        return self._examples("train")

    @property
    def validation(self) -> tf.data.Dataset:
        """What choices look at."""
        return self._examples("validation")

    @property
    def test(self) -> tf.data.Dataset:
        """What is reported, once."""
        return self._examples("test")

    def starts(self, split: str) -> np.ndarray:
        """Returns where the blocks or windows of a split start in its row, int64 [windows]."""
        predicted = len(self.rows[split].tokens) - 1
        if split == "train":
            return np.arange(0, predicted, self.context)
        stride = max(1, self.context // 2)
        return np.arange(0, max(1, predicted - self.context + stride), stride)

    def windows(self, split: str, column: np.ndarray) -> np.ndarray:
        """Cuts a column [tokens] of a row into windows [windows, context + 1], padded by zeros."""
        starts = self.starts(split)
        padded = np.pad(column, (0, int(starts[-1]) + self.context + 1 - len(column)))
        return np.lib.stride_tricks.sliding_window_view(padded, self.context + 1)[starts]

    def weights(self, split: str) -> np.ndarray:
        """Returns which predictions of each window count, float32 [windows, context]."""
        starts = self.starts(split)
        places = starts[:, np.newaxis] + np.arange(self.context)
        done = np.concatenate([[0], starts[:-1] + self.context])[:, np.newaxis]
        predicted = len(self.rows[split].tokens) - 1
        return ((places >= done) & (places < predicted)).astype(np.float32)

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns what scores need to know of each window.

        Returns:
            "characters", int64 [windows], of the tokens that count; "spelling_bits", float64
            [windows], what those of them cost that [UNK] stands for, if somebody spells them out
            who knows nothing but the alphabet: log2(alphabet + 1) each; and "block", int64
            [windows]: the document, or, where there are few, a fiftieth of the split.
        """
        row, weights = self.rows[split], self.weights(split)
        lengths = self.windows(split, row.lengths)[:, 1:] * (weights > 0)
        unknown = self.windows(split, row.tokens)[:, 1:] == UNKNOWN
        documents = row.documents[self.starts(split) + weights.argmax(-1) + 1]
        if documents[-1] + 1 < _FEWEST_DOCUMENTS:
            documents = np.arange(len(weights)) * _PARTS // len(weights)
        return {
            "characters": lengths.sum(-1),
            "spelling_bits": (lengths * unknown).sum(-1) * np.log2(self.tokenizer.alphabet + 1),
            "block": documents,
        }

    def _examples(self, split: str) -> tf.data.Dataset:
        tokens = self.windows(split, self.rows[split].tokens)
        inputs = {"token_ids": tokens, "padding_mask": (tokens > 0).astype(np.int32)}
        return tf.data.Dataset.from_tensor_slices((inputs, tokens[:, 1:], self.weights(split)))


def load(
    config: LanguageModelingConfig, learn: Callable[[Iterable[str]], ReversibleTokenizer]
) -> RunningText:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set.
        learn: From the training documents to a tokenizer.

    Raises:
        UserError: The set cannot be had, or holds no text.
    """
    path = Path(config.dataset).expanduser()
    if path.suffix == ".txt" or (path.is_dir() and any(_file(path, s).is_file() for s in SPLITS)):
        own = _read(path)
        sha = hashlib.sha256("\0".join(own[split] for split in SPLITS).encode())
        about = {
            "name": loading.own_name(path),
            "version": "1.0.0",
            "digest": sha.hexdigest()[:12],
        }
        return running_text({s: [own[s]] for s in SPLITS}, learn, config.context, **about)
    builder = loading.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    feature, chosen = _feature(builder), loading.splits(builder)
    digest = loading.digest(builder)
    if config.max_texts:
        digest = hashlib.sha256(f"{digest} {config.max_texts}".encode()).hexdigest()[:12]
    documents = {
        split: _Documents(builder, getattr(chosen, split), feature, config.max_texts)
        for split in SPLITS
    }
    return running_text(
        documents,
        learn,
        config.context,
        name=loading.name(builder),
        version=str(builder.info.version),
        digest=digest,
    )


def running_text(
    documents: Mapping[str, Iterable[str]],
    learn: Callable[[Iterable[str]], ReversibleTokenizer],
    context: int,
    **about: str,
) -> RunningText:
    """Returns the data set of `documents`, tokenized with what `learn` makes of those for training.

    Args:
        documents: By split; they are gone through more than once.
        learn: From the training documents to a tokenizer.
        context: Tokens that a network reads at once.
        **about: `name`, `version` and `digest`.

    Raises:
        UserError: A split has no text.
    """
    tokenizer = learn(documents["train"])
    rows = {split: row(tokenizer, documents[split]) for split in SPLITS}
    for split, found in rows.items():
        if not found.lengths.any():
            raise UserError(f"{about['name']} has no text in its {split} split")
    return RunningText(rows=rows, tokenizer=tokenizer, context=context, **about)


def row(tokenizer: ReversibleTokenizer, documents: Iterable[str]) -> Row:
    """Returns documents as one row of tokens; those without any are left out."""
    tokens, lengths = [np.array([END], np.int32)], [np.array([0], np.int32)]
    for chunk in chunks(documents):
        ids, counts = tokenizer.with_lengths(tf.constant(chunk))
        some = ids.row_lengths() > 0
        for ragged, parts, end in ((ids, tokens, END), (counts, lengths, 0)):
            ragged = tf.ragged.boolean_mask(ragged, some)
            ends = tf.fill([ragged.nrows(), 1], tf.constant(end, tf.int32))
            parts.append(tf.concat([ragged, ends], axis=1).flat_values.numpy())
    return Row(np.concatenate(tokens), np.concatenate(lengths))


@dataclass(frozen=True)
class _Documents:
    """The texts of a split, read anew whenever they are gone through."""

    builder: tfds.core.DatasetBuilder
    split: str
    feature: str
    most: int

    def __iter__(self) -> Iterator[str]:
        decoders = tfds.decode.PartialDecoding({self.feature: True})
        # In the order of the files, whatever the machine.
        options = tfds.ReadConfig(interleave_cycle_length=1)
        examples = self.builder.as_dataset(
            split=self.split, decoders=decoders, read_config=options
        ).take(self.most or -1)
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


def _file(folder: Path, split: str) -> Path:
    return folder / f"{split}.txt"


def _read(path: Path) -> dict[str, str]:
    """Returns the text of each split of a folder or of one file."""
    if path.is_dir():
        return {split: _text(_file(path, split)) for split in SPLITS}
    text = _text(path)
    first, second = (text.find("\n", int(share * len(text))) + 1 for share in _SHARES)
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
