"""Tokens that can be turned back: nothing of a text is lost but how wide its spaces are."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.text import reversible
from pipelines.text.reversible import END, SPECIAL, START, UNKNOWN, Pieces, Symbols

TEXTS = np.array(
    [
        "Dijo Dios: «Sea la luz» y la luz fué.",
        "¿Dónde está (dijo él) el hombre? ¡No lo sé!",
        "“Here,” he said—“it’s his well-known house; isn’t it?”",
        "At 3.14 or 10:30, on 1/2, [all] 100 % of it…",
    ]
    * 3,
    object,
)


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    return Pieces(reversible.learn_pieces(TEXTS, 300))


def tokens(tokenizer, text: str) -> list[str]:
    return [tokenizer.vocabulary[i] for i in tokenizer(tf.constant([text])).flat_values.numpy()]


def there_and_back(tokenizer, text: str) -> str:
    return tokenizer.texts(tokenizer(tf.constant([text])).to_tensor()).numpy()[0].decode()


@pytest.mark.parametrize("text", [*TEXTS[:4], "", "  ", "(luz)", "«", "…luz", "a , b"])
def test_text_comes_back_as_it_was(pieces, text):
    assert there_and_back(pieces, text) == " ".join(text.split())


_KNOWN = sorted(set("".join(TEXTS)))


@settings(max_examples=60, deadline=None)
@given(text=st.text(st.sampled_from(_KNOWN), max_size=40))
def test_any_text_of_known_characters_comes_back(pieces, text):
    assert there_and_back(pieces, text) == " ".join(text.split())


def test_marks_say_what_they_touch_and_words_stay_themselves(pieces):
    words = reversible.words_and_marks(tf.constant(["Dijo: «Sea», (no)—sí", ""]))
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
    assert pieces.texts(written).numpy().tolist() == [b"la luz", b""]


def test_the_joiner_and_special_tokens_in_a_text_are_but_text(pieces):
    for text in ("la [END] luz", "la ￭ luz", "[PAD]"):
        assert not set(tokens(pieces, text)) & {"[PAD]", "[START]", "[END]"}


def test_the_vocabulary_begins_with_the_special_tokens_and_has_no_more_than_asked(pieces):
    assert tuple(pieces.vocabulary[:4]) == SPECIAL
    assert len(set(pieces.vocabulary)) == len(pieces.vocabulary) <= 300


def test_characters_and_words_come_back(tmp_path):
    letters = Symbols(
        reversible.learn_symbols(np.array(["grady", "zoë"], object), 100, characters=True),
        characters=True,
    )
    phones = Symbols(
        reversible.learn_symbols(np.array(["G R EY D IY", "Z OW"], object), 100, characters=False),
        characters=False,
    )
    assert there_and_back(letters, "zoë") == "zoë"
    assert there_and_back(letters, "GRADY") == "grady"  # A vocabulary without capitals.
    assert there_and_back(phones, " Z  OW\tG ") == "Z OW G"
    assert tokens(phones, "Z XX") == ["Z", "[UNK]"]
    assert there_and_back(phones, "") == ""


def test_the_word_end_is_no_end():
    words = Symbols(["[END]", "a"][1:], characters=False)
    assert words(tf.constant(["a [END] [PAD] a"])).to_list() == [[4, UNKNOWN, UNKNOWN, 4]]


def test_the_most_frequent_symbols_are_learned_in_a_fixed_order():
    texts = np.array(["b a", "c a  b", "d"], object)
    assert reversible.learn_symbols(texts, 7, characters=False) == ["a", "b", "c"]
    assert reversible.learn_symbols(texts, 6, characters=True) == [" ", "a"]
