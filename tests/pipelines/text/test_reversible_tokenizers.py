"""Tokens that join to their text again, of every kind."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines.text.reversible_tokenizers import END, KINDS, SPECIAL, UNKNOWN, learn, split

TEXTS = [
    'It is so: "we, the people", said Mr. Adams (1863).',
    "It isn't so.\nNo, it is not:\n\n$1,250.50 in Zürich — 日本!",
    "the people of the people by the people " * 20,
]
SIZES = {"characters": 200, "words": 100, "word_pieces": 120}


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: learn(kind, TEXTS, SIZES[kind]) for kind in KINDS}


def plain(text: str) -> str:
    """The text with its white space made plain, by other means."""
    text = re.sub(r"\r\n?|[\x85\u2028\u2029]", "\n", text)
    text = re.sub(r"[^\S\n]+|[\x00-\x08\x0e-\x1f\x7f-\x9f▁⏎]+", " ", text)
    return re.sub(r" *\n *", "\n", re.sub(" +", " ", text)).strip(" \n")


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_join_to_their_text(tokenizers, kind):
    tokenizer = tokenizers[kind]
    ids, lengths = tokenizer.with_lengths(tf.constant([*TEXTS, "", " \n "]))
    joined = [text.decode() for text in tokenizer.text(ids).numpy()]
    assert joined == [*map(plain, TEXTS), "", ""]
    assert [sum(row) for row in lengths.to_list()] == list(map(len, joined))
    assert not set(ids.flat_values.numpy()) & {0, UNKNOWN, END}
    padded = tf.pad(ids.to_tensor(), [[0, 0], [0, 3]])
    assert [text.decode() for text in tokenizer.text(padded).numpy()] == joined


@pytest.mark.parametrize("kind", ["characters", "words"])
@given(text=st.text(st.sampled_from(" a\n\t▁⏎.é(日\x00\u2028\u00a0\r\u200b1"), max_size=30))
def test_units_join_to_any_text(kind, text):
    units = [unit.decode() for unit in split(tf.constant([text]), kind)[0].numpy()]
    assert all(units)
    joined = "".join(units)
    if kind == "words":
        joined = joined.replace("▁", " ").replace("⏎", "\n")
    assert joined == plain(text)


def test_words_keep_their_space_and_marks_stand_alone(tokenizers):
    text = 'It is (so), "no".\nIt\'s  $1,250.'
    units = split(tf.constant([text]), "words")[0].numpy()
    assert [unit.decode() for unit in units] == (
        'It ▁is ▁( so ) , ▁" no " . ⏎ It \' s ▁$ 1 , 250 .'.split()
    )


def test_pieces_are_parts_of_words(tokenizers):
    tokenizer = tokenizers["word_pieces"]
    (ids,) = tokenizer(tf.constant(["the peoples"])).to_list()
    pieces = [tokenizer.vocabulary[i] for i in ids]
    assert pieces[-1].startswith("##")
    assert "".join(tokenizer.texts_of(ids)) == "the peoples"


@pytest.mark.parametrize(
    ("kind", "text", "hidden"), [("characters", "Q is", 1), ("words", "It is Quito", 6)]
)
def test_what_is_unknown_keeps_its_length(tokenizers, kind, text, hidden):
    ids, lengths = tokenizers[kind].with_lengths(tf.constant([text]))
    unknown = ids.flat_values == UNKNOWN
    assert tf.reduce_sum(tf.where(unknown, lengths.flat_values, 0)) == hidden
    assert sum(lengths.to_list()[0]) == len(text)
    assert "\N{REPLACEMENT CHARACTER}" in tokenizers[kind].text(ids).numpy()[0].decode()


def test_a_word_of_unknown_letters_is_unknown_as_a_whole(tokenizers):
    ids, lengths = tokenizers["word_pieces"].with_lengths(tf.constant(["the Ωmega of"]))
    (row,), (counts,) = ids.to_list(), lengths.to_list()
    assert row.count(UNKNOWN) == 1
    assert counts[row.index(UNKNOWN)] == len(" Ωmega")
    assert sum(counts) == len("the Ωmega of")


def test_a_vocabulary_holds_the_most_frequent_and_is_the_same_every_time():
    tokenizer = learn("words", ["c b b b b a a a"], 6)
    assert tokenizer.vocabulary == [*SPECIAL, "▁b", "▁a", "c"]
    assert tokenizer.alphabet == 4
    assert learn("words", ["c b b b b a a a"], 6).vocabulary == tokenizer.vocabulary


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_graph_it_does_the_same(tokenizers, kind):
    tokenizer = tokenizers[kind]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def there_and_back(texts):
        return tokenizer.text(tokenizer(texts))

    expected = [plain(text).encode() for text in TEXTS]
    np.testing.assert_array_equal(there_and_back(tf.constant(TEXTS)).numpy(), expected)
