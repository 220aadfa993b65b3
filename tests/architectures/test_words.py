"""The nearest words."""

from __future__ import annotations

import pytest

from architectures.words import nearest

KNOWN = ("convnet", "word_convnet", "bert_tiny", "BiLSTM")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("convent", "the nearest is convnet; "),
        ("bert-tiny", "the nearest is bert_tiny; "),
        ("bilstm", "the nearest is BiLSTM; "),
        ("zzz", ""),
    ],
)
def test_the_nearest_word_is_named(word, found):
    assert nearest(word, KNOWN) == found


def test_several_are_named_the_nearest_first():
    assert nearest("convent", KNOWN, most=3) == "the nearest are convnet, word_convnet; "
