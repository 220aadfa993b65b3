"""Masking: who is chosen, behind what it hides, and what stood there."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tasks.pretraining.masking import MASK, Masking, split_masked
from pipelines.text.tokenizers import SPECIAL, WordPieces

VOCABULARY = [*SPECIAL, *"abcdefghij", *(f"##{letter}" for letter in "abcdefghij")]
PLAIN = range(len(SPECIAL), len(VOCABULARY))
FIRST = len(SPECIAL) + 10  # The first piece that goes on with a word.


def batch(seed: int, rows: int = 4, length: int = 24) -> np.ndarray:
    """Texts of words and pieces between [CLS] and [SEP], some of them pairs, padded."""
    random = np.random.default_rng(seed)
    ids = np.zeros((rows, length), np.int32)
    for row in ids:
        end = random.integers(2, length + 1)
        row[:end] = random.choice(PLAIN, end)
        row[0] = VOCABULARY.index("[CLS]")
        row[end - 1] = VOCABULARY.index("[SEP]")
        row[random.integers(1, end)] = VOCABULARY.index(str(random.choice(["[SEP]", "[UNK]"])))
    return ids


def words_of(row: np.ndarray) -> list[list[int]]:
    """Places of the tokens of each word, one by one."""
    words: list[list[int]] = []
    for place, token in enumerate(row):
        if token in PLAIN:
            if token >= FIRST and place and row[place - 1] in PLAIN:
                words[-1].append(place)
            else:
                words.append([place])
    return words


def masked(ids: np.ndarray, seed: int = 0, **options):
    share = options.pop("share", 0.15)
    hide = Masking(VOCABULARY, share, **options)
    return [x.numpy() for x in hide(tf.constant(ids), tf.constant([seed, 1]))]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9), st.booleans())
def test_what_stood_there_is_told_and_nothing_else_is_touched(seed, share, whole_words):
    ids = batch(seed)
    after, positions, targets = masked(ids, seed, share=share, whole_words=whole_words)
    assert after.shape == ids.shape
    assert positions.shape == targets.shape
    assert {x.dtype for x in (after, positions, targets)} == {np.dtype("int32")}
    for row in range(len(ids)):
        chosen = positions[row][positions[row] > 0]
        # Places in their order, then zeros, which stand for nothing.
        assert (np.diff(chosen) > 0).all()
        assert not positions[row][len(chosen) :].any()
        assert not targets[row][len(chosen) :].any()
        assert targets[row][: len(chosen)].tolist() == ids[row][chosen].tolist()
        # [CLS], [SEP], [UNK] and padding are never chosen.
        assert set(ids[row][chosen]) <= set(PLAIN)
        others = np.setdiff1d(np.arange(ids.shape[1]), chosen)
        assert (after[row][others] == ids[row][others]).all()
        allowed = {*PLAIN, VOCABULARY.index(MASK)}
        assert set(after[row][chosen]) <= allowed


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9))
def test_the_share_is_met_exactly_and_at_least_one_is_chosen(seed, share):
    ids = batch(seed)
    _, positions, _ = masked(ids, seed, share=share)
    for row, places in zip(ids, positions, strict=True):
        plain = int(np.isin(row, PLAIN).sum())
        wanted = float(np.round(np.float32(share) * np.float32(plain)))
        assert (places > 0).sum() == (min(plain, max(1, wanted)) if plain else 0)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.9))
def test_words_are_chosen_whole_and_come_near_to_the_share(seed, share):
    ids = batch(seed)
    _, positions, _ = masked(ids, seed, share=share, whole_words=True)
    for row, places in zip(ids, positions, strict=True):
        words, chosen = words_of(row), set(places[places > 0])
        taken = [word for word in words if chosen & set(word)]
        assert sorted(chosen) == sorted(place for word in taken for place in word)
        if words:
            assert taken
            wanted = share * sum(map(len, words))
            assert abs(len(chosen) - wanted) <= max(map(len, words)) / 2 + 0.5 or len(taken) == 1


def test_eight_of_ten_are_hidden_and_one_is_another_token():
    ids = np.random.default_rng(0).choice(PLAIN, (400, 101)).astype(np.int32)
    ids[:, 0] = VOCABULARY.index("[CLS]")
    after, positions, targets = masked(ids)
    assert positions.shape == (400, 15)
    given = np.take_along_axis(after, positions, 1)
    hidden, kept = given == VOCABULARY.index(MASK), given == targets
    # A random token is the same again once in twenty times.
    for share, expected in ((hidden, 0.8), (kept, 0.1 + 0.1 / 20), (~hidden & ~kept, 0.095)):
        assert share.mean() == pytest.approx(expected, abs=0.02)
    others = np.bincount(given[~hidden & ~kept], minlength=len(VOCABULARY))
    assert (others[PLAIN] > 0).all()
    # Every place has the same chance.
    often = np.bincount(positions.ravel(), minlength=101)[1:]
    assert often.min() > 30
    assert often.max() < 95


def test_shares_can_be_chosen():
    ids = batch(3)
    after, positions, _ = masked(ids, hidden=1.0, random=0.0)
    given = np.take_along_axis(after, positions, 1)
    assert set(given[positions > 0]) == {VOCABULARY.index(MASK)}
    after, *_ = masked(ids, hidden=0.0, random=0.0)
    assert (after == ids).all()


def test_the_same_seed_hides_the_same_and_another_others():
    ids = batch(5, rows=8)
    one, two, three = (masked(ids, seed) for seed in (1, 1, 2))
    assert all((x == y).all() for x, y in zip(one, two, strict=True))
    assert (one[0] != three[0]).any()


def test_masks_in_texts_stay_alive():
    tokenizer = WordPieces(VOCABULARY, 16)
    texts = ["a [MASK] bc", "[MASK][MASK]", "", "no [mask] A", "a[MASK]"]
    rows = split_masked(tokenizer, tf.constant(texts)).to_list()
    tokens = [[VOCABULARY[index] for index in row] for row in rows]
    assert tokens[0] == ["a", MASK, "b", "##c"]
    assert tokens[1] == [MASK, MASK]
    assert tokens[2] == []
    assert MASK not in tokens[3]  # Written otherwise it is a word like others.
    assert tokens[4] == ["a", MASK]
