"""Masking: which tokens are chosen, what replaces them, and the targets."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.tasks.pretraining.masking import MASK, Masking, ordinary_tokens, split_masked
from pipelines.text.tokenizers import SPECIAL, WordPieces

VOCABULARY = [*SPECIAL, *"abcdefghij", *(f"##{letter}" for letter in "abcdefghij")]
PLAIN = range(len(SPECIAL), len(VOCABULARY))
FIRST = len(SPECIAL) + 10  # The first piece that goes on with a word.


def batch(seed: int, rows: int = 10, length: int = 24) -> np.ndarray:
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
    """Positions of the tokens of each word."""
    words: list[list[int]] = []
    for place, token in enumerate(row):
        if token in PLAIN:
            if token >= FIRST and place and row[place - 1] in PLAIN:
                words[-1].append(place)
            else:
                words.append([place])
    return words


def masked(ids: np.ndarray, seed: int = 0, **options):
    masking = Masking(VOCABULARY, **options)
    return [x.numpy() for x in masking(tf.constant(ids), tf.constant([seed, 1]))]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9), st.booleans())
def test_targets_are_the_original_tokens_and_others_do_not_change(seed, rate, whole_words):
    ids = batch(seed)
    after, positions, targets = masked(ids, seed, rate=rate, whole_words=whole_words)
    assert after.shape == ids.shape
    assert positions.shape == targets.shape
    assert {x.dtype for x in (after, positions, targets)} == {np.dtype("int32")}
    for row in range(len(ids)):
        chosen = positions[row][positions[row] > 0]
        # Ascending positions, then zeros as padding.
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


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 0.9))
def test_the_rate_is_met_exactly_and_at_least_one_is_chosen(seed, rate):
    ids = batch(seed)
    _, positions, _ = masked(ids, seed, rate=rate)
    for row, places in zip(ids, positions, strict=True):
        plain = int(np.isin(row, PLAIN).sum())
        wanted = float(np.round(np.float32(rate) * np.float32(plain)))
        assert (places > 0).sum() == (min(plain, max(1, wanted)) if plain else 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 0.9))
def test_words_are_chosen_whole_and_come_near_to_the_rate(seed, rate):
    ids = batch(seed)
    _, positions, _ = masked(ids, seed, rate=rate, whole_words=True)
    for row, places in zip(ids, positions, strict=True):
        words, chosen = words_of(row), set(places[places > 0])
        taken = [word for word in words if chosen & set(word)]
        assert sorted(chosen) == sorted(place for word in taken for place in word)
        if words:
            assert taken
            wanted = rate * sum(map(len, words))
            assert abs(len(chosen) - wanted) <= max(map(len, words)) / 2 + 0.5 or len(taken) == 1


def test_eight_of_ten_are_masked_and_one_is_another_token():
    ids = np.random.default_rng(0).choice(PLAIN, (400, 101)).astype(np.int32)
    ids[:, 0] = VOCABULARY.index("[CLS]")
    after, positions, targets = masked(ids)
    assert positions.shape == (400, 15)
    shown = np.take_along_axis(after, positions, 1)
    hidden, kept = shown == VOCABULARY.index(MASK), shown == targets
    # A random token is the original one once in twenty times.
    for found, expected in ((hidden, 0.8), (kept, 0.1 + 0.1 / 20), (~hidden & ~kept, 0.095)):
        assert found.mean() == pytest.approx(expected, abs=0.02)
    others = np.bincount(shown[~hidden & ~kept], minlength=len(VOCABULARY))
    assert (others[PLAIN] > 0).all()
    # Every position is equally probable.
    often = np.bincount(positions.ravel(), minlength=101)[1:]
    assert often.min() > 30
    assert often.max() < 95


def test_rates_can_be_chosen():
    ids = batch(3)
    after, positions, _ = masked(ids, mask_rate=1.0, random_rate=0.0)
    shown = np.take_along_axis(after, positions, 1)
    assert set(shown[positions > 0]) == {VOCABULARY.index(MASK)}
    after, *_ = masked(ids, mask_rate=0.0, random_rate=0.0)
    assert (after == ids).all()


def test_the_same_seed_masks_the_same_tokens_and_another_others():
    ids = batch(5, rows=8)
    one, two, three = (masked(ids, seed) for seed in (1, 1, 2))
    assert all((x == y).all() for x, y in zip(one, two, strict=True))
    assert (one[0] != three[0]).any()


@pytest.mark.parametrize(("seed", "whole_words"), [(0, False), (1, True)])
def test_with_a_seed_of_its_own_a_text_is_masked_alike_in_any_batch(seed, whole_words):
    ids = batch(seed, rows=6)
    seeds = np.random.default_rng(seed).integers(0, 2**31, (6, 2), np.int32)
    masking = Masking(VOCABULARY, 0.3, whole_words=whole_words)
    together = [x.numpy() for x in masking(tf.constant(ids), tf.constant(seeds))]
    for row in range(6):
        length = max(np.count_nonzero(ids[row]), 1)
        alone = masking(tf.constant(ids[row : row + 1, :length]), tf.constant(seeds[row : row + 1]))
        for whole, part in zip(together, alone, strict=True):
            size = part.shape[1]
            np.testing.assert_array_equal(whole[row, :size], part[0])
            assert not whole[row, size:].any()


def test_a_mask_in_a_text_is_one_token():
    tokenizer = WordPieces(VOCABULARY, 16)
    texts = ["a [MASK] bc", "[MASK][MASK]", "", "no [mask] A", "a[MASK]"]
    rows = split_masked(tokenizer, tf.constant(texts)).to_list()
    tokens = [[VOCABULARY[index] for index in row] for row in rows]
    assert tokens[0] == ["a", MASK, "b", "##c"]
    assert tokens[1] == [MASK, MASK]
    assert tokens[2] == []
    assert MASK not in tokens[3]  # In lower case it is a word like others.
    assert tokens[4] == ["a", MASK]


def test_a_batch_gets_positions_and_targets():
    ids = tf.constant(batch(7))
    masking, seed = Masking(VOCABULARY), tf.constant([1, 2])
    inputs, target = masking.mask_batch({"token_ids": ids, "own": ids}, {"label": ids}, seed)
    after, positions, original = masking(ids, seed)
    assert inputs.keys() == {"token_ids", "mask_positions", "own"}
    assert target.keys() == {"masked_lm", "label"}
    np.testing.assert_array_equal(inputs["token_ids"], after)
    np.testing.assert_array_equal(inputs["mask_positions"], positions)
    np.testing.assert_array_equal(target["masked_lm"], original)


def test_special_tokens_and_empty_ones_are_not_ordinary():
    assert ordinary_tokens(["[PAD]", "a", "", "##b", "[MASK]"]).tolist() == [
        *(False, True, False, True, False)
    ]
