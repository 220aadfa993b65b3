"""Segments: what examples consist of, and what is drawn again in every pass."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf

from pipelines.datasets.dataset import SPLITS
from pipelines.errors import UserError
from pipelines.tasks.pretraining import data as data_module
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.documents import Documents
from pipelines.text.tokenizers import SPECIAL, WordPieces

WORDS = [f"w{number}" for number in range(2000)]
VOCABULARY = [*SPECIAL, *WORDS]
CLS, SEP = 2, 3
LENGTH = 32


def corpus(documents: int = 6, sentences: int = 20, seed: int = 0) -> list[list[str]]:
    """Documents in which no word occurs twice, so that a word tells where it is from."""
    random = np.random.default_rng(seed)
    words = iter(WORDS)
    return [
        [" ".join(next(words) for _ in range(random.integers(2, 12))) for _ in range(sentences)]
        for _ in range(documents)
    ]


def mask(inputs, target, seed):
    """Masks the second token."""
    ids, batch = inputs["token_ids"], tf.shape(inputs["token_ids"])[0]
    positions = tf.ones([batch, 1], tf.int32)
    return {**inputs, "mask_positions": positions}, {"masked_lm": ids[:, 1:2], **target}


@cache
def tokenizer(paired: bool) -> WordPieces:
    return WordPieces(VOCABULARY, LENGTH, segments=paired)


def load(task: str = "next_sentence", documents=None, paired: bool = True, **options) -> Segments:
    own = documents or corpus()
    labels = np.zeros(len(own), np.int64)
    texts = Documents(
        name="numbered",
        version="1.0.0",
        digest="0123456789ab",
        sentences=dict.fromkeys(SPLITS, own),
        labels=dict.fromkeys(SPLITS, labels),
        class_names=(),
    )
    pieces = tokenizer(paired)
    return data_module.draw_segments(texts, pieces, mask, sentence_task=task, **options)


def rows(data: Segments, split: str = "train"):
    return list(data.split(split).as_numpy_iterator())


def parts(inputs) -> list[list[int]]:
    """The segments of an example, without special tokens."""
    ids = inputs["token_ids"][inputs["padding_mask"] > 0].tolist()
    assert ids[0] == CLS
    assert ids[-1] == SEP
    cuts = [place for place, token in enumerate(ids) if token == SEP]
    return [ids[one + 1 : other] for one, other in pairwise([0, *cuts])]


def consecutive(tokens: list[int]) -> bool:
    return all(other == one + 1 for one, other in pairwise(tokens))


def document_of(token: int, own: list[list[str]]) -> int:
    word = VOCABULARY[token]
    (found,) = (n for n, sentences in enumerate(own) if word in " ".join(sentences).split())
    return found


def test_half_of_the_second_segments_follow_and_half_are_of_other_documents():
    own, labels = corpus(), []
    data = load(documents=own)
    for inputs, target in [row for _ in range(6) for row in rows(data)]:
        a, b = parts(inputs)
        assert consecutive(a)
        assert consecutive(b)
        assert inputs["segment_ids"].tolist()[: len(a) + len(b) + 3] == (
            [0] * (len(a) + 2) + [1] * (len(b) + 1)
        )
        labels.append(int(target["next_sentence"]))
        same = document_of(a[0], own) == document_of(b[0], own)
        assert same == (labels[-1] == 0)
        if same:
            assert a[-1] < b[0]
    assert np.mean(labels) == pytest.approx(0.5, abs=0.1)


def test_for_sentence_order_half_of_the_pairs_are_swapped():
    labels = []
    for inputs, target in rows(load("sentence_order")):
        a, b = parts(inputs)
        labels.append(int(target["sentence_order"]))
        assert (a[-1] < b[0]) == (labels[-1] == 0)
    assert 0 < np.mean(labels) < 1


def test_without_a_sentence_task_pairs_are_in_order():
    for inputs, target in rows(load("")):
        a, b = parts(inputs)
        assert a[-1] < b[0]
        assert target == {}


def test_lengths_do_not_reveal_the_label_and_stay_from_epoch_to_epoch():
    data = load()
    first, second = rows(data), list(data.epoch(1).as_numpy_iterator())
    lengths = [sorted(len(inputs["token_ids"]) for inputs, _ in drawn) for drawn in (first, second)]
    assert lengths[0] == lengths[1]
    assert max(lengths[0]) == LENGTH
    # A random segment is as long as the true one, unless a document is too short for it.
    for inputs, _ in first:
        assert inputs["padding_mask"].all()


def test_a_segment_begins_and_ends_with_a_sentence_if_it_fits():
    own = corpus()
    starts = {VOCABULARY.index(s.split()[0]) for document in own for s in document}
    whole = 0
    for inputs, target in rows(load(documents=own)):
        a, b = parts(inputs)
        if len(a) + len(b) + 3 < LENGTH and target["next_sentence"] == 0:
            whole += 1
            assert a[0] in starts
            assert b[0] in starts
            assert b[0] == a[-1] + 1
    assert whole


def test_every_epoch_draws_other_pairs_and_a_seed_the_same_ones():
    def drawn(data: Segments, epoch: int) -> list[list[int]]:
        return [x["token_ids"].tolist() for x, _ in data.epoch(epoch).as_numpy_iterator()]

    data, again, other = load(seed=1), load(seed=1), load(seed=2)
    second, first = drawn(data, 1), drawn(data, 0)
    assert sorted(first) != sorted(second)
    assert [drawn(again, 0), drawn(again, 1)] == [first, second]
    assert [inputs["token_ids"].tolist() for inputs, _ in rows(data)] == first
    assert sorted(drawn(other, 0)) != sorted(first)


def test_validation_and_test_are_always_the_same_and_masked():
    one, other = load(seed=1), load(seed=2)
    for split in ("validation", "test"):
        first, second = rows(one, split), rows(other, split)
        assert len(first) == one.sizes[split]
        for (inputs, target), (again, _) in zip(first, second, strict=True):
            assert inputs["token_ids"].tolist() == again["token_ids"].tolist()
            assert inputs["mask_positions"].tolist() == [1]
            assert target["masked_lm"].tolist() == [inputs["token_ids"][1]]
        columns = one.raw(split)
        assert columns["block"].tolist() == sorted(columns["block"].tolist())
        assert set(columns["block"]) == set(range(6))
        for (inputs, _), original in zip(first, columns["original"], strict=True):
            real = inputs["padding_mask"] > 0
            assert original.tolist() == inputs["token_ids"][real].tolist()
    assert one.digest == other.digest
    assert one.digest != load("sentence_order").digest
    assert one.example_bytes is None


def test_every_nth_example_of_a_large_split_is_evaluated(monkeypatch):
    whole = load().sizes
    monkeypatch.setattr(data_module, "_MAX_EVALUATED", whole["test"] // 2)
    part = load()
    assert part.sizes["train"] == whole["train"]
    assert whole["test"] // 3 <= part.sizes["test"] <= whole["test"] // 2
    assert set(part.raw("test")["block"]) == set(range(6))


def test_networks_without_segments_read_whole_sentences():
    own = corpus()
    data = load("", own, paired=False)
    assert data.train.element_spec[0].keys() == {"token_ids", "padding_mask"}
    blocks = sorted((parts(inputs)[0] for inputs, _ in rows(data)), key=lambda block: block[0])
    # Together they are the documents again, and none crosses the border of two.
    tokens = [VOCABULARY.index(w) for document in own for s in document for w in s.split()]
    assert [token for block in blocks for token in block] == tokens
    starts = {VOCABULARY.index(s.split()[0]) for document in own for s in document}
    assert all(block[0] in starts for block in blocks)
    assert {document_of(block[0], own) == document_of(block[-1], own) for block in blocks} == {True}


def test_longer_sentences_are_split():
    own = [[" ".join(WORDS[:75]), " ".join(WORDS[75:80])], [" ".join(WORDS[80:85]), WORDS[85]]]
    found = sorted(len(parts(inputs)[0]) for inputs, _ in rows(load("", own, paired=False)))
    assert found == [6, 20, 30, 30]
    for inputs, _ in rows(load("sentence_order", own)):
        a, b = parts(inputs)
        assert len(a) + len(b) + 3 == len(inputs["token_ids"]) <= LENGTH


def test_a_single_document_has_no_random_sentences():
    with pytest.raises(UserError, match="has one document in its train split; next_sentence needs"):
        load(documents=corpus(1))
    assert load("sentence_order", corpus(1)).sizes["train"]


def test_documents_of_one_sentence_have_no_pairs():
    with pytest.raises(UserError, match="has no two sentences in a row in its train split"):
        load(documents=[["w1 w2"], ["w3"]])


def test_frequencies_of_tokens_need_no_counts_of_neighbors():
    data = load()
    frequencies = data.unigram
    assert "counts" not in vars(data)
    np.testing.assert_array_equal(frequencies, data.counts.unigram)
    assert frequencies.sum() == pytest.approx(1)
