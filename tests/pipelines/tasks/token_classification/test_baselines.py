"""Baselines of token classification: most frequent tags, and tags of hidden Markov models."""

from __future__ import annotations

import numpy as np

from pipelines.tasks.token_classification.baselines import hidden_markov_model, most_frequent_tag
from pipelines.tasks.token_classification.data import as_column


def words(*texts: str) -> np.ndarray:
    return as_column([text.split() for text in texts])


def test_the_frequency_baseline_gives_each_word_its_commonest_tag():
    tag = most_frequent_tag(
        words("in May", "may go", "May", "Rome rests", "Oslo rests", "x"),
        words("O B-TIM", "O O", "B-TIM", "B-LOC O", "B-LOC O", "B-LOC"),
    )
    # Case does not count, nor does which digit it is.
    assert tag("in may MAY rests".split()) == ["O", "B-TIM", "B-TIM", "O"]
    # Of words that were seen once most are places.
    assert tag(["Bergen"]) == ["B-LOC"]
    assert tag([]) == []


def test_digits_are_alike_for_the_frequency_baseline():
    tag = most_frequent_tag(words("12 a a", "345 a"), words("B-N O O", "B-M O"))
    assert tag("98 777 a".split()) == ["B-N", "B-M", "O"]


def test_where_no_word_is_rare_unknown_ones_get_the_commonest_tag():
    tag = most_frequent_tag(words("a a b b a"), words("O O B-X B-X O"))
    assert tag(["c"]) == ["O"]


def markov(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Sentences in which "x" has three tags, each following from the one before."""
    tags = [["B-X", "I-X", "O"] * (2 + index % 3) for index in range(count)]
    texts = [["begin", *["x"] * (len(row) - 1)] for row in tags]
    return as_column(texts), as_column(tags)


def test_the_markov_model_reads_what_frequencies_cannot_tell():
    train, test = markov(12), markov(5)
    taggers = hidden_markov_model(*train), most_frequent_tag(*train)
    right = [[tuple(tagger(text)) for text in test[0]] == test[1].tolist() for tagger in taggers]
    assert right == [True, False]


def test_the_markov_model_reads_unknown_words_by_their_neighbours():
    texts = words(*(f"in {place} ." for place in "Rome Oslo Bern Paris Graz Linz".split()), "in .")
    tags = words(*["O B-LOC O"] * 6, "O O")
    tag = hidden_markov_model(texts, tags)
    assert tag("in Reykjavik .".split()) == ["O", "B-LOC", "O"]
    assert tag("Reykjavik".split()) == ["B-LOC"]


def test_the_markov_model_copes_when_every_word_is_known():
    tag = hidden_markov_model(words("a b a b", "a b"), words("O B-X O B-X", "O B-X"))
    assert tag("a b".split()) == ["O", "B-X"]
    assert len(tag("a c b".split())) == 3
