"""Where documents are cut into examples, and how an example is drawn from such a stretch.

The rules are those that `segments.py` states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pipelines.text.tokenizers import WordPieces

# Of examples that are shorter than they could be, as texts are that one fine-tunes with.
_SHORT = 0.1
_CHUNK = 4096


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


def tokens_of(tokenizer: WordPieces, documents: Sequence[Sequence[str]]) -> Tokens:
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


def pairs(tokens: Tokens, room: int, random: np.random.Generator) -> Iterator[Stretch]:
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


def blocks(tokens: Tokens, room: int) -> Iterator[Stretch]:
    """Yields stretches of whole sentences with at most so many tokens."""
    for document in range(tokens.count):
        starts = tokens.within(document)
        start = int(starts[0])
        while start < starts[-1]:
            fitting = int(starts[np.searchsorted(starts, start + room, side="right") - 1])
            end = fitting if fitting > start else start + room
            yield Stretch(document, start, end)
            start = end


def examples(
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
