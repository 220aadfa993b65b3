"""Letter-to-sound rules, by hand."""

from __future__ import annotations

import pytest

from pipelines.tasks.translation.letter_to_sound import aligned, letter_to_sound

SPELLED = {
    **{"cat": "K AE T", "city": "S IH T IY", "cot": "K AA T", "cell": "S EH L", "tax": "T AE K S"},
    **{"lit": "L IH T", "tall": "T AO L", "sit": "S IH T", "yell": "Y EH L", "ox": "AA K S"},
    **{"sell": "S EH L", "call": "K AO L", "six": "S IH K S", "lot": "L AA T", "at": "AE T"},
}


def test_letters_are_aligned_with_none_one_or_two_symbols_in_order():
    pairs = [(word, symbols.split()) for word, symbols in SPELLED.items()]
    found = dict(zip(SPELLED, aligned(pairs), strict=True))
    for word, symbols in pairs:
        assert [symbol for outcome in found[word] for symbol in outcome] == symbols
    assert found["tax"] == [("T",), ("AE",), ("K", "S")]
    assert found["sit"] == [("S",), ("IH",), ("T",)]
    assert sorted(found["sell"][2:]) == [(), ("L",)]
    assert aligned([]) == []


def test_a_letter_sounds_as_in_its_longest_known_context():
    apply = letter_to_sound(list(SPELLED), list(SPELLED.values()))
    # Before "i" and "e" a "c" is an S, elsewhere a K.
    assert apply("cit") == "S IH T"
    assert apply("cax") == "K AE K S"
    for word in ("cat", "city", "cell", "tax"):
        assert apply(word) == SPELLED[word]


@pytest.mark.parametrize("text", ["", "…", "  "])
def test_what_has_no_known_letter_has_no_symbols(text):
    assert letter_to_sound(["at"], ["AE T"])(text) == ""


def test_case_and_spaces_do_not_count_and_pairs_that_cannot_be_aligned_are_left_out():
    sources = ["at", "w", "", "A T", "mute"]
    apply = letter_to_sound(sources, ["AE T", "D AH B AH L Y UW", "X", "AE T", ""])
    assert apply("A t") == "AE T"
    assert apply("w") == ""
