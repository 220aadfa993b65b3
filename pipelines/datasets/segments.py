"""What encoders are pre-trained on: pairs of segments of documents, or blocks of whole sentences.

Pairs as in BERT's data (Devlin et al. 2019, section A.2): consecutive sentences of a document, as
many as fill the length, and of a tenth of the examples fewer; cut between two sentences into A and
B; what is too long loses tokens at either end of the longer segment. Half of the Bs are replaced
by sentences of another document, for "next_sentence", or half of the pairs swapped, for
"sentence_order" (Lan et al. 2020). Where a document is cut into examples is settled once; between
which sentences A ends, and what B is, are drawn anew for every pass over the training split. A
random B has as many tokens as the true one, so that lengths give nothing away.

Networks without segments read blocks: as many whole sentences of one document as fit (Liu et al.
2019, "doc-sentences"). Sentences longer than that are cut.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from pipelines.datasets.documents import SPLITS, Documents
from pipelines.errors import UserError
from pipelines.evaluation import joined
from pipelines.tokenizers import WordPieces

SENTENCE_TASKS = ("next_sentence", "sentence_order")
# Of examples that are shorter than they could be, as texts are that one fine-tunes with.
_SHORT = 0.1
_CHUNK = 4096
# Seed of everything that is drawn once, so that all runs are compared on the same.
_EVALUATION = 0

# Turns a padded batch of inputs and targets into a masked one; the seed is int32 [2].
Mask = Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor], tf.Tensor], tuple[dict, dict]]


@dataclass(frozen=True)
class Tokens:
    """A split in tokens.

    Attributes:
        ids: int32 [tokens], of all sentences one after the other.
        sentences: int64 [sentences + 1], where in `ids` each starts.
        documents: int64 [documents + 1], which sentence each starts with.
    """

    ids: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    @property
    def count(self) -> int:
        """Number of documents."""
        return len(self.documents) - 1

    def within(self, document: int) -> np.ndarray:
        """Returns where in `ids` the sentences of a document start, and where the last ends."""
        first, last = self.documents[document : document + 2]
        return self.sentences[first : last + 1]


@dataclass(frozen=True)
class Stretch:
    """What one example is cut from: tokens of a document, and where sentences end within."""

    document: int
    start: int
    end: int
    boundaries: tuple[int, ...] = ()


@dataclass(frozen=True)
class Segments:
    """A data set to pre-train on.

    Attributes:
        documents: What it is cut from.
        tokenizer: From texts to token ids.
        sentence_task: What is asked about a pair: "next_sentence", "sentence_order" or nothing.
        tokens: By split.
        stretches: By split, what each example is cut from.
        columns: By split, all but train: "block", int64 [examples], the number of the document;
            "original", the tokens before any was masked, an object array of int32 [tokens].
        train: ({"token_ids": int32 [tokens], …}, {sentence_task: int64 []}) examples, not masked
            yet, drawn anew in every pass.
        validation: The same masked, always the same.
        test: As validation.
    """

    documents: Documents
    tokenizer: WordPieces
    sentence_task: str
    tokens: Mapping[str, Tokens]
    stretches: Mapping[str, Sequence[Stretch]]
    columns: Mapping[str, Mapping[str, np.ndarray]]
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset

    @property
    def name(self) -> str:
        return self.documents.name

    @property
    def version(self) -> str:
        return self.documents.version

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the documents and of the validation examples that were made of them."""
        sha = hashlib.sha256(self.documents.digest.encode())
        for part in self.validation.batch(_CHUNK).as_numpy_iterator():
            for array in keras.tree.flatten(part):
                sha.update(array.tobytes())
        return sha.hexdigest()[:12]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples in each split."""
        return {
            split: len(self.columns.get(split, {}).get("block", self.stretches[split]))
            for split in SPLITS
        }

    @property
    def example_bytes(self) -> None:
        """None: examples are drawn anew and must not be kept."""
        return None

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns the columns of a split."""
        return dict(self.columns.get(split, {}))


def load(
    documents: Documents, tokenizer: WordPieces, sentence_task: str, mask: Mask, *, seed: int = 0
) -> Segments:
    """Cuts documents into examples.

    Args:
        documents: What to cut.
        tokenizer: Cuts sentences into tokens, and tells the length of an example.
        sentence_task: One of `SENTENCE_TASKS`, or "" for none.
        mask: Masks the examples of validation and test.
        seed: For what is drawn for training; what choices and reports look at is always the same.

    Raises:
        UserError: A split has nothing to cut, or nothing to draw a random sentence from.
    """
    tokens = {split: _tokens(tokenizer, documents.sentences[split]) for split in SPLITS}
    stretches: dict[str, Sequence[Stretch]] = {}
    for number, split in enumerate(SPLITS):
        random = np.random.default_rng([_EVALUATION, number])
        if tokenizer.segments:
            cut = _pairs(tokens[split], tokenizer.max_length - 3, random)
        else:
            cut = _blocks(tokens[split], tokenizer.max_length - 2)
        stretches[split] = list(cut)
        if not stretches[split]:
            raise UserError(f"{documents.name} has no two sentences in a row in its {split} split")
        if sentence_task == "next_sentence" and len(documents.sentences[split]) < 2:
            raise UserError(
                f"{documents.name} has one document in its {split} split; next_sentence needs "
                "others to draw from: separate them by blank lines, or choose --sentence_task none"
            )
    drawn = {
        split: list(
            _examples(
                tokens[split],
                stretches[split],
                tokenizer,
                sentence_task,
                np.random.default_rng([_EVALUATION, number]),
            )
        )
        for number, split in enumerate(("validation", "test"))
    }
    columns = {split: _columns(rows, stretches[split]) for split, rows in drawn.items()}
    fixed = {split: _masked(rows, mask) for split, rows in drawn.items()}
    passes = itertools.count()

    def anew() -> Iterator[tuple[dict, dict]]:
        random = np.random.default_rng([seed, next(passes)])
        order = random.permutation(len(stretches["train"]))
        shuffled = [stretches["train"][index] for index in order]
        yield from _examples(tokens["train"], shuffled, tokenizer, sentence_task, random)

    names = ["token_ids", "padding_mask", *(["segment_ids"] if tokenizer.segments else [])]
    spec = (
        {name: tf.TensorSpec([None], tf.int32) for name in names},
        {sentence_task: tf.TensorSpec([], tf.int64)} if sentence_task else {},
    )
    train = tf.data.Dataset.from_generator(anew, output_signature=spec)
    return Segments(
        documents=documents,
        tokenizer=tokenizer,
        sentence_task=sentence_task,
        tokens=tokens,
        stretches=stretches,
        columns=columns,
        train=train,
        **fixed,
    )


def _tokens(tokenizer: WordPieces, documents: Sequence[Sequence[str]]) -> Tokens:
    sentences = np.array([sentence for document in documents for sentence in document], object)
    chunks = [
        tokenizer.split(tf.constant(sentences[start : start + _CHUNK]))
        for start in range(0, len(sentences), _CHUNK)
    ]
    lengths = np.concatenate([chunk.row_lengths().numpy() for chunk in chunks])
    return Tokens(
        ids=np.concatenate([chunk.flat_values.numpy() for chunk in chunks]),
        sentences=np.append(0, np.cumsum(lengths)),
        documents=np.append(0, np.cumsum([len(document) for document in documents])),
    )


def _pairs(tokens: Tokens, room: int, random: np.random.Generator) -> Iterator[Stretch]:
    """Yields stretches of at least two sentences with at least so many tokens, if there are."""
    for document in range(tokens.count):
        starts = np.unique(tokens.within(document))  # Sentences of no tokens are none.
        first = 0
        while first < len(starts) - 2:
            least = random.integers(2, room + 1) if random.random() < _SHORT else room
            last = max(first + 2, int(np.searchsorted(starts, starts[first] + least)))
            if last >= len(starts) - 2:  # No sentence is left alone at the end.
                last = len(starts) - 1
            cuts = tuple(map(int, starts[first + 1 : last]))
            yield Stretch(document, int(starts[first]), int(starts[last]), cuts)
            first = last


def _blocks(tokens: Tokens, room: int) -> Iterator[Stretch]:
    """Yields stretches of whole sentences with at most so many tokens."""
    for document in range(tokens.count):
        starts = tokens.within(document)
        start = int(starts[0])
        while start < starts[-1]:
            fitting = int(starts[np.searchsorted(starts, start + room, side="right") - 1])
            end = fitting if fitting > start else start + room
            yield Stretch(document, start, end)
            start = end


def _examples(
    tokens: Tokens,
    stretches: Sequence[Stretch],
    tokenizer: WordPieces,
    sentence_task: str,
    random: np.random.Generator,
) -> Iterator[tuple[dict, dict]]:
    """Yields an example for each stretch, as long as the stretch allows, padded if need be."""
    room = tokenizer.max_length - 3
    first, separator = (tokenizer.vocabulary.index(token) for token in ("[CLS]", "[SEP]"))
    for stretch in stretches:
        target = {}
        if not tokenizer.segments:
            segments = [tokens.ids[stretch.start : stretch.end]]
            length = len(segments[0]) + 2
        else:
            cut = stretch.boundaries[random.integers(len(stretch.boundaries))]
            a, b = (stretch.start, cut), (cut, stretch.end)
            other = int(random.random() < 0.5) if sentence_task else 0
            if other and sentence_task == "next_sentence":
                b = _elsewhere(tokens, stretch.document, b[1] - b[0], random)
            elif other:
                a, b = b, a
            segments = [tokens.ids[slice(*part)] for part in _shortened(a, b, room, random)]
            length = min(stretch.end - stretch.start, room) + 3
            if sentence_task:
                target = {sentence_task: np.int64(other)}
        inputs = {name: np.zeros(length, np.int32) for name in ("token_ids", "padding_mask")}
        if tokenizer.segments:
            inputs["segment_ids"] = np.zeros(length, np.int32)
        end = 1
        inputs["token_ids"][0] = first
        for number, segment in enumerate(segments):
            start, end = end, end + len(segment) + 1
            inputs["token_ids"][start : end - 1] = segment
            inputs["token_ids"][end - 1] = separator
            if number:
                inputs["segment_ids"][start:end] = 1
        inputs["padding_mask"][:end] = 1
        yield inputs, target


def _elsewhere(
    tokens: Tokens, document: int, length: int, random: np.random.Generator
) -> tuple[int, int]:
    """Draws so many tokens of another document, from a sentence's start on."""
    other = int(random.integers(tokens.count - 1))
    starts = tokens.within(other + (other >= document))
    full = int(np.searchsorted(starts, starts[-1] - length, side="right"))
    start = int(starts[random.integers(max(full, 1))])
    return start, min(start + length, int(starts[-1]))


def _shortened(
    a: tuple[int, int], b: tuple[int, int], room: int, random: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Yields the two spans without what is too much, taken from either end of the longer one."""
    shorter = min((a, b), key=lambda span: span[1] - span[0])
    least = min(shorter[1] - shorter[0], room // 2)
    for start, end in (a, b):
        kept = min(end - start, least if (start, end) == shorter else room - least)
        ahead = int(random.binomial(end - start - kept, 0.5))
        yield start + ahead, start + ahead + kept


def _columns(
    rows: Sequence[tuple[dict, dict]], stretches: Sequence[Stretch]
) -> dict[str, np.ndarray]:
    original = np.empty(len(rows), object)
    for number, (inputs, _) in enumerate(rows):
        original[number] = inputs["token_ids"][inputs["padding_mask"] > 0]
    block = np.array([stretch.document for stretch in stretches], np.int64)
    return {"block": block, "original": original}


def _masked(rows: Sequence[tuple[dict, dict]], mask: Mask) -> tf.data.Dataset:
    """Returns examples masked once and for all, padded to the longest."""
    inputs, targets = (
        {name: joined([part[name][np.newaxis] for part in parts]) for name in parts[0]}
        for parts in zip(*rows, strict=True)
    )
    masked = mask(inputs, targets, tf.constant([_EVALUATION, len(rows)]))
    return tf.data.Dataset.from_tensor_slices(masked)
