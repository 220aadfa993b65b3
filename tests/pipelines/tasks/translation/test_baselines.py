"""Baselines of translation, against nltk and by hand."""

from __future__ import annotations

import nltk
import pytest

from pipelines.tasks.translation.baselines import baselines, most_similar, word_for_word
from tests.pipelines.tasks.translation import examples


def test_the_dictionary_is_that_of_nltk_s_ibm_model_1():
    pairs = [
        *(("the house", "la casa"), ("the dog", "la perra"), ("a house", "una casa")),
        *(("a dog sees the house", "una perra ve la casa"), ("red", "roja")),
    ]
    sources, targets = zip(*pairs, strict=True)
    translate = word_for_word(sources, targets, characters=False)
    corpus = [nltk.AlignedSent(t.split(), s.split()) for s, t in pairs]
    model = nltk.IBMModel1(corpus, 10)
    known = {word for source in sources for word in source.split()}
    for word in sorted(known):
        probabilities = {
            other: model.translation_table[other][word]
            for other in {w for target in targets for w in target.split()}
        }
        assert translate(word) == max(probabilities, key=lambda other: probabilities[other])
    assert translate("The “house”, Bob!") == "La “casa”, Bob!"
    assert translate("") == ""


def test_letters_have_a_dictionary_of_phones():
    translate = word_for_word(["ab", "a", "b"], ["AH B", "AH", "B"], characters=True)
    assert translate("ba") == "B AH"


def test_texts_without_words_are_left_out():
    translate = word_for_word(["…", "a"], ["b", "…"], characters=False)
    assert translate("a word") == "a word"


@pytest.mark.parametrize("characters", [False, True])
def test_the_translation_is_that_of_the_most_similar_source(characters):
    sources, targets = ["the red house", "a small dog", "x"], ["casa", "perro", "x"]
    translate = most_similar(sources, targets, characters=characters)
    assert translate(["small dogs and a dog", "red houses, the red"]) == ["perro", "casa"]


def test_baselines_know_words_but_not_the_marks_around_them():
    data = examples.loaded(examples.config())
    copied, replaced, nearest = (
        baseline.test for baseline in baselines(data, characters=False, symbols=False)
    )
    assert copied["bleu"] < 5
    assert replaced["chrf"] > nearest["chrf"] > copied["chrf"]
    assert replaced["chrf"] > 70
    assert replaced["exact_match"] == 0 < nearest["exact_match"]


def test_letters_with_symbols_have_rules_as_well():
    data = examples.loaded(examples.config(source_tokens="characters", target_tokens="words"))
    names = [baseline.name for baseline in baselines(data, characters=True, symbols=True)]
    assert names[-1] == "letter-to-sound rules"
    assert len(names) == 4
