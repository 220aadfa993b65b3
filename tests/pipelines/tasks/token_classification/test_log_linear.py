"""The log-linear tagger: what it learns of words, of the tag before, and of unknown words."""

from __future__ import annotations

import pytest

from pipelines.tasks.token_classification.data import as_column
from pipelines.tasks.token_classification.log_linear import log_linear_tagger


def test_it_learns_from_the_tag_before_what_no_word_tells():
    """In the middle of a long text of one word, the tag before alone tells the next one."""
    texts = [("la",) * length for length in range(10, 26)]
    tags = [("A", "B") * 20] * len(texts)
    answers = [own[: len(text)] for own, text in zip(tags, texts, strict=True)]
    tag = log_linear_tagger(as_column(texts), as_column(answers))
    assert tag(("la",) * 31) == list(("A", "B") * 15 + ("A",))


@pytest.mark.parametrize("kinds", [("NUMBER", "NAME"), ("NUMBER", "NAME", "SMALL")])
def test_unknown_words_are_told_by_their_shapes(kinds):
    words = {"NUMBER": ("12", "345,", "6789"), "NAME": ("Ann", "Bob,"), "SMALL": ("in", "at", "of")}
    texts = [
        (word, other) for k in kinds for word in words[k] for k2 in kinds for other in words[k2]
    ]
    known = {word: k for k in kinds for word in words[k]}
    tag = log_linear_tagger(
        as_column(texts), as_column([tuple(known[word] for word in text) for text in texts])
    )
    assert tag(("Zoë,", "90210")) == ["NAME", "NUMBER"]
    assert tag(("4711", "Eve")) == ["NUMBER", "NAME"]


def test_one_tag_is_always_right_and_an_empty_text_has_none():
    tag = log_linear_tagger(as_column([("a", "b")]), as_column([("O", "O")]))
    assert tag(("c", "d", "e")) == ["O", "O", "O"]
    assert tag(()) == []
    two = log_linear_tagger(as_column([("a", "b")]), as_column([("O", "B-X")]))
    assert two(()) == []
    assert two(("a", "b")) == ["O", "B-X"]
