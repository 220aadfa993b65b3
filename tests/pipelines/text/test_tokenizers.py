"""Tokenizers: words, word pieces, where words stand, the same in a graph and outside."""

from __future__ import annotations

import functools
import re
import unicodedata

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import UserError
from pipelines.tasks.token_classification.decoding import words_pattern
from pipelines.text import tokenizers
from pipelines.text.tokenizers import (
    SPECIAL,
    Characters,
    WordPieces,
    Words,
    are_single_words,
    is_lowercase,
    split_words,
    tokenize,
    train_word_pieces,
)

TEXTS = np.array(
    ["The ship, the SEA!", "the ship; the Émigré", "a ship (once) at sea", "one\xa0sailor's ship"],
    object,
)
VOCABULARY = [*SPECIAL, "red", "play", "##ing", "##ed", "tree", "émigré", "!", ",", "'", "s"]
CASED = [*SPECIAL, "Red", "red", "Émigré", "play", "##ing", "!"]

ANY_TEXT = st.text(max_size=30)
# What TensorFlow's and Python's tables of Unicode agree on.
ASSIGNED = st.characters(exclude_categories=["Cs", "Cn"])
SPECIALS = st.sampled_from(
    "a b Z é ß 9 _ . , ' - ! $ + ^ ¡ — € © ~ ` 中 e\u0301 क\u093f \u200d \xad \ufeff 😀 "
    "\x00 \x01 \x0b \x1c \x1f \x85 \u2028 \u3000 \n \t".split(" ")
)
# Sentences in which words, marks and spaces of all kinds stand next to each other.
MIXED = st.lists(st.one_of(SPECIALS, st.just(" "), st.just("\xa0"), ASSIGNED), max_size=20)


def rows(ragged: tf.RaggedTensor) -> list:
    return ragged.to_list()


def tokens_of(tokenizer: tokenizers.Tokenizer, *texts: str) -> list[str]:
    """Returns the tokens that a text, or a pair of them, becomes."""
    ids = tokenizer(*(tf.constant([text]) for text in texts))["token_ids"]
    return [tokenizer.vocabulary[index] for index in rows(ids)[0]]


# Words


@functools.cache
def words(size: int = 100, max_length: int = 9) -> Words:
    return Words(TEXTS, size, max_length)


def test_words_are_lowered_and_cut_at_white_space_and_around_marks():
    assert tokens_of(words(), "The ship, THE sea!") == ["the", "ship", ",", "the", "sea", "!"]
    assert tokens_of(words(), "ÉMIGRÉ (once)sailor's") == (
        ["émigré", "(", "once", ")", "sailor", "'", "s"]
    )


def test_characters_are_lowered_between_two_spaces():
    tokenizer = Characters(np.array(["Ab", "ba é"], object), 100, 9)
    assert set(tokenizer.vocabulary) == {"", "[UNK]", " ", "a", "b", "é"}
    assert tokens_of(tokenizer, "BÉ\n\xa0 a") == [" ", "b", "é", " ", "a", " "]
    assert tokens_of(tokenizer, "") == [" "]
    assert len(tokens_of(tokenizer, "a" * 50)) == 9


def test_texts_are_single_words_but_for_one_in_twenty():
    assert are_single_words(np.array(["one"] * 19 + ["two words"]))
    assert not are_single_words(np.array(["one"] * 18 + ["two words"]))


@pytest.mark.parametrize("space", [" ", "\n", "\t ", "\x0b", "\x85", "\xa0", "\u2009", "\u3000"])
def test_any_white_space_separates_words(space):
    assert tokens_of(words(), f"one{space}ship") == ["one", "ship"]
    assert not [token for token in words().vocabulary if token and not token.split()]


def test_combining_marks_belong_to_their_word():
    decomposed = "e\u0301mile"
    tokenizer = Words(np.array([f"{decomposed} {decomposed}"], object), 100, 9)
    assert tokenizer.vocabulary == ["", "[UNK]", decomposed]


def test_the_most_frequent_words_have_ids_and_all_others_share_one():
    tokenizer = words(size=4)
    assert tokenizer.vocabulary[:2] == ["", "[UNK]"]
    assert set(tokenizer.vocabulary[2:]) == {"the", "ship"}
    assert tokens_of(tokenizer, "the sea, a ship") == ["the", *["[UNK]"] * 3, "ship"]


def test_a_text_is_cut_off_at_the_length():
    tokenizer = words(max_length=4)
    assert tokens_of(tokenizer, "the ship, the sea!") == ["the", "ship", ",", "the"]
    assert tokens_of(tokenizer, "the ship, once", "at sea") == ["the", "ship", ",", "once"]


def test_pairs_are_read_one_after_the_other():
    assert tokens_of(words(), "the ship", "a sea") == ["the", "ship", "a", "sea"]


def test_ids_are_int32_from_1_on_and_0_pads():
    inputs = words()(tf.constant(["the", "the ship, the sea"]))
    assert {tensor.dtype for tensor in inputs.values()} == {tf.int32}
    dense = inputs["token_ids"].to_tensor().numpy()
    assert dense.shape == (2, 5)
    assert dense[0, 1:].tolist() == [0] * 4
    assert np.all(dense[1] > 0)
    assert rows(inputs["padding_mask"]) == [[1], [1] * 5]


@pytest.mark.parametrize("text", ["", " ", "\n\xa0"])
def test_a_text_without_words_is_one_token_of_padding(text):
    """Networks take no sequences of length 0, as a batch of such texts would be."""
    inputs = words()(tf.constant([text, "ship"]))
    assert rows(inputs["token_ids"])[0] == [0]
    assert rows(inputs["padding_mask"]) == [[0], [1]]


# WordPieces


@functools.cache
def pieces(max_length: int = 20, *, cased: bool = False, segments: bool = True) -> WordPieces:
    return WordPieces(CASED if cased else VOCABULARY, max_length, segments=segments)


def test_a_text_stands_between_cls_and_sep():
    assert tokens_of(pieces(), "Red playing tree!") == (
        ["[CLS]", "red", "play", "##ing", "tree", "!", "[SEP]"]
    )
    assert tokens_of(pieces(), "") == ["[CLS]", "[SEP]"]
    assert tokens_of(pieces(), "blue") == ["[CLS]", "[UNK]", "[SEP]"]


def test_pairs_have_segments():
    inputs = pieces()(tf.constant(["red", "tree played"]), tf.constant(["red tree!", ""]))
    assert rows(inputs["token_ids"]) == [[2, 5, 3, 5, 9, 11, 3], [2, 9, 6, 8, 3, 3]]
    assert rows(inputs["segment_ids"]) == [[0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1]]
    assert rows(inputs["padding_mask"]) == [[1] * 7, [1] * 6]
    assert {tensor.dtype for tensor in inputs.values()} == {tf.int32}


def test_networks_without_segments_get_none():
    inputs = pieces(segments=False)(tf.constant(["red"]), tf.constant(["tree"]))
    assert list(inputs) == ["token_ids", "padding_mask"]


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    st.integers(4, 14),
    st.booleans(),
)
def test_what_is_too_long_is_cut_off_the_last_segment(first, second, max_length, single):
    count = min(len(first), len(second))
    asked = [first[:count], second[:count]][: 2 - single]
    segments = [
        tf.RaggedTensor.from_row_lengths(tf.fill([sum(lengths)], token), tf.cast(lengths, tf.int64))
        for token, lengths in zip((5, 6), asked, strict=False)
    ]
    inputs = pieces(max_length).pack(*segments)
    for index, row in enumerate(rows(inputs["token_ids"])):
        whole = [lengths[index] for lengths in asked]
        assert len(row) == min(max_length, 1 + sum(length + 1 for length in whole))
        assert row[0] == 2
        assert row[-1] == 3
        assert row.count(3) == len(asked)
        kept = [row.count(token) for token in (5, 6)][: len(asked)]
        # The first is whole unless the second is all gone.
        assert kept[0] == whole[0] or not sum(kept[1:])
        kinds = rows(inputs["segment_ids"])[index]
        assert kinds == [0] * (kept[0] + 2) + [1] * sum(length + 1 for length in kept[1:])


def test_the_vocabulary_says_whether_case_and_accents_count():
    lower, cased = pieces(), pieces(cased=True)
    assert (lower.lowercase, cased.lowercase) == (True, False)
    assert tokens_of(lower, "RED Playing")[1:-1] == ["red", "play", "##ing"]
    assert tokens_of(cased, "Red red RED")[1:-1] == ["Red", "red", "[UNK]"]
    # Accents are taken off before words are looked up.
    assert tokens_of(lower, "émigré, réd")[1:-1] == ["[UNK]", ",", "red"]
    assert tokens_of(cased, "Émigré réd")[1:-1] == ["Émigré", "[UNK]"]


@pytest.mark.parametrize("space", [" ", "\n", "\x0b", "\x85", "\xa0", "\u3000", "\x00"])
def test_any_white_space_separates_word_pieces(space):
    """As in BERT's own code, where U+00A0 and the like are white space."""
    assert tokens_of(pieces(), f"red{space}tree")[1:-1] == ["red", "tree"]


def test_special_tokens_in_a_text_are_only_text():
    assert "[SEP]" not in tokens_of(pieces(), "red [SEP] [MASK] tree")[1:-1]


@pytest.mark.parametrize(
    ("vocabulary", "message"),
    [
        ([t for t in VOCABULARY if t != "[MASK]"], r"the vocabulary lacks \[MASK\]"),
        (["red"], r"the vocabulary lacks \[CLS\], \[MASK\], \[PAD\], \[SEP\], \[UNK\]"),
        (
            ["red", *SPECIAL],
            r"the vocabulary's first token must be \[PAD\], not 'red'",
        ),
    ],
)
def test_a_vocabulary_without_special_tokens_is_refused(vocabulary, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        WordPieces(vocabulary, 9)


@settings(max_examples=30)
@given(st.lists(st.lists(ANY_TEXT.map(lambda t: t.replace("\x00", "")), max_size=4), min_size=1))
def test_every_word_has_a_piece(texts):
    given_words = tf.ragged.constant(texts, tf.string, ragged_rank=1)
    found = rows(pieces().pieces(given_words))
    assert [len(row) for row in found] == [len(row) for row in texts]
    for row, text in zip(found, texts, strict=True):
        for ids, word in zip(row, text, strict=True):
            assert ids == (rows(pieces().split(tf.constant([word])))[0] or [1])


@settings(max_examples=30)
@given(MIXED.map("".join))
def test_words_with_their_places_have_the_tokens_of_the_text(text):
    """Cutting before case and accents are changed finds the very words that BERT's tokens have."""
    tokenizer = pieces(cased=True)
    tokens, starts, ends = tokenizer.words(tf.constant([text]))
    raw = text.encode()
    whole = rows(tokenizer.split(tf.constant([text])))[0]
    assert [token for word in rows(tokens)[0] for token in word] == whole
    for start, end in zip(rows(starts)[0], rows(ends)[0], strict=True):
        assert 0 <= start < end <= len(raw)
        assert len(raw[start:end].decode().split()) == 1


# Words of a text


def cut(text: str, apart: bool) -> list[tuple[bytes, int, int]]:
    parts = split_words(tf.constant([text.encode()]), punctuation_apart=apart)
    return list(zip(*(rows(part)[0] for part in parts), strict=True))


def test_words_are_found_where_they_stand():
    assert cut("Zoë met  Łu,\n", False) == [
        (b"Zo\xc3\xab", 0, 4),
        (b"met", 5, 8),
        (b"\xc5\x81u,", 10, 14),
    ]
    assert cut("Zoë, ok?!", True) == [
        (b"Zo\xc3\xab", 0, 4),
        (b",", 4, 5),
        (b"ok", 6, 8),
        (b"?", 8, 9),
        (b"!", 9, 10),
    ]
    assert cut("", True) == cut(" \xa0\n", False) == []


def test_punctuation_apart_leaves_accents_and_symbols_with_their_word():
    text = "5€ cafe\u0301 naïve 😀\ufe0f a_b l'ami"
    assert [word.decode() for word, _, _ in cut(text, True)] == (
        ["5€", "cafe\u0301", "naïve", "😀\ufe0f", "a", "_", "b", "l", "'", "ami"]
    )


@given(ANY_TEXT, st.booleans())
def test_words_are_the_bytes_between_their_places_and_nothing_else_is_left_but_space(text, apart):
    raw, behind = text.encode(), 0
    for word, start, end in cut(text, apart):
        assert raw[start:end] == word
        assert start < end
        assert re.fullmatch(r"[\s\x00-\x1f\x7f-\x9f]*", raw[behind:start].decode())
        assert not re.search(r"\s", word.decode())
        behind = end
    assert re.fullmatch(r"[\s\x00-\x1f\x7f-\x9f]*", raw[behind:].decode())


@settings(max_examples=200)
@given(MIXED.map("".join), st.booleans())
def test_a_graph_and_python_find_the_same_words(text, apart):
    """What is served is proven with words that Python has split."""
    pattern = words_pattern(apart)
    expected = [
        (m.group().encode(), len(text[: m.start()].encode()), len(text[: m.end()].encode()))
        for m in pattern.finditer(text)
    ]
    assert cut(text, apart) == expected


def test_a_graph_and_python_agree_on_every_character():
    characters = [
        c for c in map(chr, range(0x20000)) if unicodedata.category(c) not in ("Cs", "Cn", "Co")
    ]
    texts = [f"x{c}y" for c in characters]
    for apart in (False, True):
        pattern = words_pattern(apart)
        found = split_words(tf.constant([t.encode() for t in texts]), punctuation_apart=apart)[0]
        expected = [[m.group().encode() for m in pattern.finditer(text)] for text in texts]
        assert rows(found) == expected


# Both


@pytest.mark.parametrize("learn", [words, pieces])
def test_a_graph_and_python_tokenize_alike(learn):
    tokenizer = learn()
    spec = [tf.TensorSpec([None], tf.string)]
    one = tf.function(tokenizer, input_signature=spec)
    two = tf.function(tokenizer, input_signature=spec * 2)
    texts = tf.constant([*TEXTS, "", "tree played, réd"])
    for count in (0, 1, 6):
        batch = texts[:count]
        for graph, arguments in ((one, [batch]), (two, [batch, batch[::-1]])):
            inside, outside = graph(*arguments), tokenizer(*arguments)
            assert inside.keys() == outside.keys()
            for name in outside:
                assert rows(inside[name]) == rows(outside[name])


@pytest.mark.parametrize("learn", [words, pieces])
@pytest.mark.parametrize("chunk", [1, 2, 3, 4])
def test_columns_are_tokenized_chunk_by_chunk_as_at_once(learn, chunk, monkeypatch):
    tokenizer = learn()
    columns = [TEXTS, TEXTS[::-1]]
    whole = tokenizer(*map(tf.constant, columns))
    monkeypatch.setattr(tokenizers, "_CHUNK", chunk)
    chunked = tokenize(tokenizer, *columns)
    assert chunked.keys() == whole.keys()
    for name in whole:
        assert rows(chunked[name]) == rows(whole[name])


def test_word_pieces_are_learned_from_the_texts():
    texts = np.array(["Playing played plays"] * 9 + ["rare Élan\xa0vital"], object)
    vocabulary = train_word_pieces(texts, 60)
    assert vocabulary[:5] == list(SPECIAL)
    assert len(set(vocabulary)) == len(vocabulary) <= 61
    assert is_lowercase(vocabulary)
    assert {"playing", "played", "plays"} <= set(vocabulary)
    assert "é" not in "".join(vocabulary)
    assert not [token for token in vocabulary if re.search(r"\s", token)]
    tokenizer = WordPieces(vocabulary, 60)
    assert "[UNK]" not in tokens_of(tokenizer, "plays ÉLAN vital")
    # Whatever the texts are made of can be written.
    assert "[UNK]" not in tokens_of(tokenizer, "dalli")


def test_case_is_kept_where_it_shall_be():
    texts = np.array(["Oslo"] * 5, object)
    assert not is_lowercase(train_word_pieces(texts, 60, lowercase=False))


@pytest.mark.parametrize(
    ("tokens", "lowercase"),
    [
        ([*SPECIAL, "a", "##b", "é", "中", "!"], True),
        ([*SPECIAL, "a", "##B"], False),
        ([*SPECIAL, "É"], False),
    ],
)
def test_capital_letters_of_special_tokens_do_not_count(tokens, lowercase):
    assert is_lowercase(tokens) is lowercase
