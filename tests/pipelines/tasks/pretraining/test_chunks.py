"""Chunks: which tokens of documents they hold."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.datasets import stored
from pipelines.datasets.stored import is_mapped
from pipelines.datasets.text_columns import column_of
from pipelines.tasks.pretraining.chunks import Tokens, block_chunks, sentence_chunks, tokenize
from pipelines.text.tokenizers import SPECIAL, WordPieces

CAPACITY = 12


def split(seed: int, documents: int = 5) -> Tokens:
    """Documents of two to nine sentences with one to twenty tokens."""
    random = np.random.default_rng(seed)
    counts = random.integers(2, 10, documents)
    lengths = random.integers(1, 21, counts.sum())
    return Tokens(
        ids=np.arange(lengths.sum(), dtype=np.int32),
        sentences=np.append(0, np.cumsum(lengths)),
        documents=np.append(0, np.cumsum(counts)),
    )


@pytest.mark.parametrize("seed", range(8))
def test_chunks_of_sentences_have_two_or_more_and_are_the_document_together(seed):
    tokens = split(seed)
    chunks = list(sentence_chunks(tokens, CAPACITY, np.random.default_rng(seed)))
    for document in range(tokens.count):
        bounds, own = tokens.bounds(document), [c for c in chunks if c.document == document]
        assert [own[0].start, *(c.end for c in own)] == [*(c.start for c in own), bounds[-1]]
        for chunk in own:
            inner = [b for b in bounds if chunk.start < b < chunk.end]
            assert tokens.boundaries(chunk.start, chunk.end).tolist() == inner
            assert inner


@pytest.mark.parametrize("seed", range(8))
def test_blocks_hold_whole_sentences_as_long_as_they_fit(seed):
    tokens = split(seed)
    blocks = list(block_chunks(tokens, CAPACITY))
    assert [b.start for b in blocks[1:]] == [b.end for b in blocks[:-1]]
    assert (blocks[0].start, blocks[-1].end) == (0, len(tokens.ids))
    for block in blocks:
        assert block.end - block.start <= CAPACITY
        if block.end not in tokens.bounds(block.document):  # A sentence that is too long.
            assert block.end - block.start == CAPACITY
            assert not set(range(block.start + 1, block.end)) & set(tokens.bounds(block.document))


@pytest.mark.parametrize("limit", [0, stored.LIMIT])
def test_the_tokens_of_a_split_are_those_of_its_sentences(limit, monkeypatch):
    monkeypatch.setattr(stored, "LIMIT", limit)
    tokenizer = WordPieces([*SPECIAL, "a", "b", "##c"], 8)
    tokens = tokenize(tokenizer, column_of([["a bc", "b"], ["", "bc bc"]]))
    assert is_mapped(tokens.ids) == is_mapped(tokens.sentences) == (not limit)
    assert tokens.ids.tolist() == [5, 6, 7, 6, 6, 7, 6, 7]
    assert tokens.sentences.tolist() == [0, 3, 4, 4, 8]
    assert tokens.documents.tolist() == [0, 2, 4]
    assert tokens.count == 2
    assert tokens.bounds(1).tolist() == [4, 4, 8]
