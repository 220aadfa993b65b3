"""Chunks of documents, and the examples that are drawn from them; `data.py` has the rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipelines.datasets.stored import Stored
from pipelines.datasets.text_columns import Column
from pipelines.text.tokenizers import WordPieces

# Fraction of the examples that are shorter than the maximum, as texts in fine-tuning are.
_SHORT_RATE = 0.1
_BATCH = 4096

# Inputs and targets by name.
Example = tuple[dict[str, np.ndarray], dict[str, np.int64]]
# Where tokens of a split start and end.
Span = tuple[int, int]


@dataclass(frozen=True)
class Tokens:
    """The tokens of a split.

    Attributes:
        ids: int32 [tokens], of all sentences one after the other.
        sentences: int64 [sentences + 1], where in `ids` each starts.
        documents: int64 [documents + 1], the first sentence of each.
    """

    ids: np.ndarray
    sentences: np.ndarray
    documents: np.ndarray

    @property
    def count(self) -> int:
        """Number of documents."""
        return len(self.documents) - 1

    def bounds(self, document: int) -> np.ndarray:
        """Returns where in `ids` a document's sentences start, and where the last one ends."""
        first, last = self.documents[document : document + 2]
        return self.sentences[first : last + 1]

    def boundaries(self, start: int, end: int) -> np.ndarray:
        """Returns where in `ids` sentences begin between two tokens, int64."""
        first = np.searchsorted(self.sentences, start, side="right")
        return np.unique(self.sentences[first : np.searchsorted(self.sentences, end)])


class Chunk(NamedTuple):
    """Consecutive tokens of a document, from which one example is drawn.

    Attributes:
        document: Number of the document.
        start: Its first token.
        end: The token after its last.
    """

    document: int
    start: int
    end: int


def tokenize(tokenizer: WordPieces, documents: Column) -> Tokens:
    """Returns the tokens of the documents of a split."""
    ids, ends = Stored(np.int32), Stored(np.int64)
    ends.append(np.zeros(1))
    sentences = chain.from_iterable(documents)
    while batch := list(islice(sentences, _BATCH)):
        found = tokenizer.split(tf.constant(batch))
        ends.append(len(ids) + found.row_splits.numpy()[1:])
        ids.append(found.flat_values.numpy())
    sizes = np.fromiter(map(len, documents), np.int64, len(documents))
    return Tokens(ids.column(), ends.column(), np.append(0, np.cumsum(sizes)))


def sentence_chunks(tokens: Tokens, capacity: int, random: np.random.Generator) -> Iterator[Chunk]:
    """Yields chunks of two sentences or more, with at least `capacity` tokens where possible."""
    for document in range(tokens.count):
        starts = np.unique(tokens.bounds(document))  # Sentences without tokens do not count.
        first = 0
        while first < len(starts) - 2:
            short = random.random() < _SHORT_RATE
            length = random.integers(2, capacity + 1) if short else capacity
            last = max(first + 2, int(np.searchsorted(starts, starts[first] + length)))
            if last >= len(starts) - 2:  # No single sentence remains at the end.
                last = len(starts) - 1
            yield Chunk(document, int(starts[first]), int(starts[last]))
            first = last


def block_chunks(tokens: Tokens, capacity: int) -> Iterator[Chunk]:
    """Yields chunks of whole sentences with at most `capacity` tokens; longer ones are split."""
    for document in range(tokens.count):
        starts = tokens.bounds(document)
        start = int(starts[0])
        while start < starts[-1]:
            fitting = int(starts[np.searchsorted(starts, start + capacity, side="right") - 1])
            end = fitting if fitting > start else start + capacity
            yield Chunk(document, start, end)
            start = end


def draw_examples(
    tokens: Tokens,
    chunks: np.ndarray,
    tokenizer: WordPieces,
    sentence_task: str,
    random: np.random.Generator,
) -> Iterator[Example]:
    """Yields an example for each chunk: packed inputs, int32 [tokens] each, and its label.

    A chunk's examples have the same length in every pass; what a shorter segment leaves is padded.

    Args:
        tokens: The split.
        chunks: Chunks of it, int64 [chunks, 3], with the numbers of a `Chunk` in each row.
        tokenizer: Gives the maximum length, and whether there are segments.
        sentence_task: "next_sentence", "sentence_order" or "".
        random: Draws where the first segment ends, and what the second is.
    """
    capacity = tokenizer.max_length - 3
    for chunk in map(Chunk._make, chunks.tolist()):
        target = {}
        if not tokenizer.segments:
            segments = [tokens.ids[chunk.start : chunk.end]]
            length = len(segments[0]) + 2
        else:
            boundaries = tokens.boundaries(chunk.start, chunk.end)
            cut = int(boundaries[random.integers(len(boundaries))])
            a, b = (chunk.start, cut), (cut, chunk.end)
            label = int(random.random() < 0.5) if sentence_task else 0
            if label and sentence_task == "next_sentence":
                b = _random_span(tokens, chunk.document, b[1] - b[0], random)
            elif label:
                a, b = b, a
            segments = [tokens.ids[slice(*span)] for span in _truncate(a, b, capacity, random)]
            length = min(chunk.end - chunk.start, capacity) + 3
            if sentence_task:
                target = {sentence_task: np.int64(label)}
        yield _pack(segments, length, tokenizer), target


def _pack(
    segments: Sequence[np.ndarray], length: int, tokenizer: WordPieces
) -> dict[str, np.ndarray]:
    """Returns one or two segments between [CLS] and [SEP], padded to `length` tokens."""
    first, separator = (tokenizer.vocabulary.index(token) for token in ("[CLS]", "[SEP]"))
    names = ["token_ids", "padding_mask", *(["segment_ids"] if tokenizer.segments else [])]
    inputs = {name: np.zeros(length, np.int32) for name in names}
    inputs["token_ids"][0] = first
    end = 1
    for number, segment in enumerate(segments):
        start, end = end, end + len(segment) + 1
        inputs["token_ids"][start : end - 1] = segment
        inputs["token_ids"][end - 1] = separator
        if number:
            inputs["segment_ids"][start:end] = 1
    inputs["padding_mask"][:end] = 1
    return inputs


def _random_span(tokens: Tokens, document: int, length: int, random: np.random.Generator) -> Span:
    """Draws `length` tokens of another document, from a sentence's start on."""
    other = int(random.integers(tokens.count - 1))
    starts = tokens.bounds(other + (other >= document))
    full = int(np.searchsorted(starts, starts[-1] - length, side="right"))
    start = int(starts[random.integers(max(full, 1))])
    return start, min(start + length, int(starts[-1]))


def _truncate(a: Span, b: Span, capacity: int, random: np.random.Generator) -> Iterator[Span]:
    """Yields two spans with at most `capacity` tokens; the longer one loses some at both ends."""
    shorter = min((a, b), key=lambda span: span[1] - span[0])
    least = min(shorter[1] - shorter[0], capacity // 2)
    for start, end in (a, b):
        kept = min(end - start, least if (start, end) == shorter else capacity - least)
        before = int(random.binomial(end - start - kept, 0.5))
        yield start + before, start + before + kept
