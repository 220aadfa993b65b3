"""Reversible tokenizers: nothing of a text is lost but the width of its spaces."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text.reversible import (
    PAD,
    RUNNING_TEXT,
    SENTENCES,
    UNKNOWN,
    ReversibleTokenizer,
    split_words_and_marks,
    train,
)

KINDS = tuple(RUNNING_TEXT)
END_OF_TEXT = RUNNING_TEXT["words"].special.index("[END]")
START, END = map(SENTENCES["pieces"].special.index, ("[START]", "[END]"))
TEXTS = [
    'It is so: "we, the people", said Mr. Adams (1863).',
    "It isn't so.\nNo, it is not:\n\n$1,250.50 in Zürich — 日本!",
    "the people of the people by the people " * 20,
]
SIZES = {"characters": 200, "words": 100, "word_pieces": 120}


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: train(RUNNING_TEXT[kind], TEXTS, SIZES[kind]) for kind in KINDS}


def split(kind: str, text: str) -> tf.Tensor:
    scheme = RUNNING_TEXT[kind]
    return scheme.split(scheme.normalize(tf.constant([text])))[0]


def plain(text: str) -> str:
    """The text with its white space normalized by other means."""
    text = re.sub(r"\r\n?|[\x85\u2028\u2029]", "\n", text)
    text = re.sub(r"[^\S\n]+|[\x00-\x08\x0e-\x1f\x7f-\x9f▁⏎]+", " ", text)
    return re.sub(r" *\n *", "\n", re.sub(" +", " ", text)).strip(" \n")


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_join_to_their_text(tokenizers, kind):
    tokenizer = tokenizers[kind]
    ids, lengths = tokenizer.with_lengths(tf.constant([*TEXTS, "", " \n "]))
    joined = [text.decode() for text in tokenizer.detokenize(ids).numpy()]
    assert joined == [*map(plain, TEXTS), "", ""]
    assert [sum(row) for row in lengths.to_list()] == list(map(len, joined))
    assert not set(ids.flat_values.numpy()) & {PAD, UNKNOWN, END_OF_TEXT}
    padded = tf.pad(ids.to_tensor(), [[0, 0], [0, 3]])
    assert [text.decode() for text in tokenizer.detokenize(padded).numpy()] == joined


@pytest.mark.parametrize("kind", ["characters", "words"])
@given(text=st.text(st.sampled_from(" a\n\t▁⏎.é(日\x00\u2028\u00a0\r\u200b1"), max_size=30))
def test_units_join_to_any_text(kind, text):
    units = [unit.decode() for unit in split(kind, text).numpy()]
    assert all(units)
    joined = "".join(units)
    if kind == "words":
        joined = joined.replace("▁", " ").replace("⏎", "\n")
    assert joined == plain(text)


def test_words_keep_their_space_and_marks_stand_alone(tokenizers):
    text = 'It is (so), "no".\nIt\'s  $1,250.'
    units = split("words", text).numpy()
    assert [unit.decode() for unit in units] == (
        'It ▁is ▁( so ) , ▁" no " . ⏎ It \' s ▁$ 1 , 250 .'.split()
    )


def test_pieces_are_parts_of_words(tokenizers):
    tokenizer = tokenizers["word_pieces"]
    (ids,) = tokenizer(tf.constant(["the peoples"])).to_list()
    pieces = [tokenizer.vocabulary[i] for i in ids]
    assert pieces[-1].startswith("##")
    assert "".join(tokenizer.token_texts(ids)) == "the peoples"


@pytest.mark.parametrize(
    ("kind", "text", "hidden"), [("characters", "Q is", 1), ("words", "It is Quito", 6)]
)
def test_what_is_unknown_keeps_its_length(tokenizers, kind, text, hidden):
    ids, lengths = tokenizers[kind].with_lengths(tf.constant([text]))
    unknown = ids.flat_values == UNKNOWN
    assert tf.reduce_sum(tf.where(unknown, lengths.flat_values, 0)) == hidden
    assert sum(lengths.to_list()[0]) == len(text)
    assert "\N{REPLACEMENT CHARACTER}" in tokenizers[kind].detokenize(ids).numpy()[0].decode()


def test_a_word_of_unknown_letters_is_unknown_as_a_whole(tokenizers):
    ids, lengths = tokenizers["word_pieces"].with_lengths(tf.constant(["the Ωmega of"]))
    (row,), (counts,) = ids.to_list(), lengths.to_list()
    assert row.count(UNKNOWN) == 1
    assert counts[row.index(UNKNOWN)] == len(" Ωmega")
    assert sum(counts) == len("the Ωmega of")


def test_a_vocabulary_holds_the_most_frequent_and_is_the_same_every_time():
    tokenizer = train(RUNNING_TEXT["words"], ["c b b b b a a a"], 6)
    assert tokenizer.vocabulary == [*RUNNING_TEXT["words"].special, "▁b", "▁a", "c"]
    assert tokenizer.alphabet == 4
    assert train(RUNNING_TEXT["words"], ["c b b b b a a a"], 6).vocabulary == tokenizer.vocabulary


@pytest.mark.parametrize("kind", KINDS)
def test_in_a_graph_it_does_the_same(tokenizers, kind):
    tokenizer = tokenizers[kind]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def back_again(texts):
        return tokenizer.detokenize(tokenizer(texts))

    expected = [plain(text).encode() for text in TEXTS]
    np.testing.assert_array_equal(back_again(tf.constant(TEXTS)).numpy(), expected)


def test_after_enough_characters_no_more_texts_are_read():
    texts = ["a" * 100] * 512 + ["b"]
    assert train(RUNNING_TEXT["words"], texts, 10, max_characters=51_200).alphabet == 2
    assert train(RUNNING_TEXT["words"], texts, 10, max_characters=51_199).alphabet == 1


@pytest.mark.parametrize("kind", KINDS)
def test_texts_without_words_make_a_vocabulary_of_special_tokens(kind):
    tokenizer = train(RUNNING_TEXT[kind], [" "], 10)
    assert tuple(tokenizer.vocabulary) == RUNNING_TEXT[kind].special
    assert tokenizer(tf.constant([""])).to_list() == [[]]


SENTENCE_TEXTS = [
    "Dijo Dios: «Sea la luz» y la luz fué.",
    "¿Dónde está (dijo él) el hombre? ¡No lo sé!",
    "“Here,” he said—“it’s his well-known house; isn’t it?”",
    "At 3.14 or 10:30, on 1/2, [all] 100 % of it…",
]


@pytest.fixture(scope="module")
def pieces() -> ReversibleTokenizer:
    return train(SENTENCES["pieces"], SENTENCE_TEXTS * 3, 300)


def tokens(tokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary[i] for i in tokenizer(tf.constant([text])).flat_values.numpy()]


def there_and_back(tokenizer, text: str) -> str:
    return tokenizer.detokenize(tokenizer(tf.constant([text])).to_tensor()).numpy()[0].decode()


@pytest.mark.parametrize("text", [*SENTENCE_TEXTS, "", "  ", "(luz)", "«", "…luz", "a , b"])
def test_text_comes_back_as_it_was(pieces, text):
    assert there_and_back(pieces, text) == " ".join(text.split())


_KNOWN = sorted(set("".join(SENTENCE_TEXTS)))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from(_KNOWN), max_size=40))
def test_any_text_of_known_characters_comes_back(pieces, text):
    assert there_and_back(pieces, text) == " ".join(text.split())


def test_marks_have_joiners_and_words_none():
    words = split_words_and_marks(tf.constant(["Dijo: «Sea», (no)—sí", ""]))
    assert [w.decode() for w in words[0].numpy()] == [
        *("Dijo", "￭:", "«￭", "Sea", "￭»", "￭,", "(￭", "no", "￭)", "￭—￭", "sí")
    ]
    assert len(words[1]) == 0


def test_what_was_never_seen_is_unknown_and_leaves_nothing(pieces):
    ids = pieces(tf.constant(["la 日 luz"])).flat_values.numpy()
    assert UNKNOWN in ids
    assert there_and_back(pieces, "la 日 luz") == "la luz"


def test_composed_and_decomposed_accents_and_control_characters_are_alike(pieces):
    assert tokens(pieces, "Do\u0301nde\x00esta\u0301") == tokens(pieces, "Dónde está")


def test_what_follows_the_end_is_left_out(pieces):
    (ids,) = pieces(tf.constant(["la luz"])).to_list()
    written = tf.constant([[START, *ids, END, *ids], [END, *ids, *ids, 0][: len(ids) * 2 + 2]])
    assert pieces.detokenize(written).numpy().tolist() == [b"la luz", b""]


def test_the_joiner_and_special_tokens_in_a_text_are_but_text(pieces):
    for text in ("la [END] luz", "la ￭ luz", "[PAD]"):
        assert not set(tokens(pieces, text)) & {"[PAD]", "[START]", "[END]"}


def test_the_vocabulary_begins_with_the_special_tokens_and_has_no_more_than_asked(pieces):
    assert tuple(pieces.vocabulary[:4]) == SENTENCES["pieces"].special
    assert len(set(pieces.vocabulary)) == len(pieces.vocabulary) <= 300


def test_characters_and_words_of_sentences_come_back():
    letters = train(SENTENCES["characters"], ["grady", "zoë"], 100)
    phones = train(SENTENCES["words"], ["G R EY D IY", "Z OW"], 100)
    assert there_and_back(letters, "zoë") == "zoë"
    assert there_and_back(letters, "GRADY") == "grady"  # A vocabulary without capitals.
    assert there_and_back(phones, " Z  OW\tG ") == "Z OW G"
    assert tokens(phones, "Z XX") == ["Z", "[UNK]"]
    assert there_and_back(phones, "") == ""


def test_control_characters_separate_words_before_case_is_folded():
    """TensorFlow's lower() reads up to the first zero byte."""
    letters = train(SENTENCES["characters"], ["ab c"], 100)
    assert there_and_back(letters, "A\x00B\tC") == "a b c"


def test_the_word_end_is_no_end():
    scheme = SENTENCES["words"]
    words = ReversibleTokenizer(scheme, [*scheme.special, "a"])
    assert words(tf.constant(["a [END] [PAD] a"])).to_list() == [[4, UNKNOWN, UNKNOWN, 4]]


def test_the_most_frequent_units_make_the_vocabulary_in_a_fixed_order():
    texts = ["b a", "c a  b", "d [PAD]"]
    assert train(SENTENCES["words"], texts, 7).vocabulary[4:] == ["a", "b", "c"]
    assert train(SENTENCES["characters"], texts, 6).vocabulary[4:] == [" ", "a"]
