"""Signatures of pre-trained encoders: masks, words, and whether an order is certain."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from pipelines.tasks.pretraining import masked_lm, signatures
from pipelines.text.tokenizers import SPECIAL, WordPieces

VOCABULARY = [*SPECIAL, "a", "b", "c", "##d", "e"]


def test_the_masks_of_a_text_are_filled_as_without_other_texts(bert):
    fill, _ = signatures.fill_mask(bert.network.model, bert.data)
    texts = ["the [MASK] and a ship", "[MASK] [MASK] wave", "no mask", ""]
    together = {name: x.numpy() for name, x in fill.function(tf.constant(texts)).items()}
    assert together["tokens"].shape == together["scores"].shape == (4, 2, masked_lm.TOP_K)
    assert (together["tokens"] != b"").any(-1).tolist() == [
        [True, False],
        [True, True],
        [False, False],
        [False, False],
    ]
    for row, text in enumerate(texts):
        alone = fill.function(tf.constant([text]))
        masks = text.count("[MASK]")
        assert alone["tokens"].shape == (1, masks, masked_lm.TOP_K)
        np.testing.assert_array_equal(alone["tokens"][0], together["tokens"][row, :masks])
        np.testing.assert_allclose(alone["scores"][0], together["scores"][row, :masks], rtol=1e-4)


def test_pairs_have_the_probability_that_the_network_gives_them(bert):
    strings, _ = signatures.sentence_pair(bert.network, bert.data)
    texts = tf.constant(["a ship", "", "moss"]), tf.constant(["the wave", "a tree", "of moss"])
    ids = {name: x.to_tensor() for name, x in bert.data.tokenizer(*texts).items()}
    logits = bert.network.model({**ids, "mask_positions": tf.zeros([3, 1], tf.int32)})
    expected = tf.nn.softmax(logits["next_sentence"])[:, 0]
    found = strings.function(*texts)
    np.testing.assert_allclose(found["probability"], expected, rtol=1e-4)


def test_the_detector_judges_a_text_as_the_joint_network_does(electra):
    """Where nothing is masked, the generator changes nothing."""
    detect, _ = signatures.detect(electra.network.parts["discriminator"], electra.data)
    texts = ["The reef and a ship.", "moss of a Häher, a tree"]
    found = {name: x.numpy() for name, x in detect.function(tf.constant(texts)).items()}
    ids = {k: x.to_tensor() for k, x in electra.data.tokenizer(tf.constant(texts)).items()}
    joint = electra.network.model({**ids, "mask_positions": tf.zeros([2, 1], tf.int32)})
    logits, tokens = (joint["replaced_token"][..., part].numpy() for part in (0, 1))
    np.testing.assert_array_equal(tokens, ids["token_ids"])
    probabilities = 1 / (1 + np.exp(-logits))
    pieces, *_ = electra.data.tokenizer.words(tf.constant(texts))
    for row, words in enumerate(pieces.to_list()):
        position = 1
        for number, own in enumerate(words):
            largest = probabilities[row, position : position + len(own)].max()
            np.testing.assert_allclose(found["replaced"][row, number], largest, rtol=1e-4)
            position += len(own)
        joined = b" ".join(found["words"][row, : len(words)]).decode()
        assert joined.replace(" ", "") == texts[row].replace(" ", "")


def test_masks_have_positions_where_texts_are_read():
    tokenizer = WordPieces(VOCABULARY, 8)
    inputs, masks = signatures.tokenize_masked(
        tokenizer, tf.constant(["a [MASK] cd [MASK]", "b", "a a a a a a [MASK]"])
    )
    # A mask that is truncated has no position.
    assert masks.to_list() == [[2, 5], [], []]
    assert inputs["token_ids"][0].numpy().tolist() == [2, 5, 4, 7, 8, 4, 3]


def test_sentences_get_one_mask_or_two_or_none():
    texts = signatures.mask_words(np.array(["one two three four"] * 4 + ["one"], object))
    assert [text.count("[MASK]") for text in texts] == [1, 2, 1, 0, 0]


def test_rows_with_ties_verify_nothing():
    logits = np.random.default_rng(2).normal(size=(2, 2, 10)).astype(np.float32)
    positions = np.array([[1, 2], [1, 0]], np.int32)
    assert signatures.is_unambiguous(logits, positions).tolist() == [True, True]
    tied = logits.copy()
    tied[0, 1, :6] = 5.0
    assert signatures.is_unambiguous(tied, positions).tolist() == [False, True]
    tied = logits.copy()
    tied[1, 1, :6] = 5.0  # There is no mask there.
    assert signatures.is_unambiguous(tied, positions).tolist() == [True, True]
    equal = np.zeros_like(logits)
    assert signatures.is_unambiguous(equal, positions).tolist() == [True, False]
    assert signatures.is_unambiguous(logits[:, :0], positions[:, :0]).tolist() == [True, True]
