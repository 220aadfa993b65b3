"""Scores and baselines of translation, against libraries."""

from __future__ import annotations

import functools

import nltk
import numpy as np
import pytest
import sacrebleu

from pipelines import evaluation
from pipelines.predictions import Predictions
from pipelines.tasks.translation import metrics as translation_scores

TARGETS = ["Dijo Dios: Sea la luz.", "Y fué la luz.", "Bueno era.", "No."]
FOUND = ["Dijo Dios: Sea la luz", "Y la luz fué buena.", "", "No."]


def predictions(found=FOUND, targets=TARGETS, **answers) -> Predictions:
    translations = np.array([text.encode() for text in found], object)
    return Predictions(
        {"target": np.array(targets, object)}, {"translation": translations, **answers}
    )


def test_bleu_and_chrf_are_sacrebleu_s():
    scores = translation_scores.scores(predictions(), symbols=False)
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(FOUND, [TARGETS]).score)
    assert scores["chrf"] == pytest.approx(sacrebleu.corpus_chrf(FOUND, [TARGETS]).score)
    assert scores["exact_match"] == 0.25
    assert scores.keys() == {"bleu", "chrf", "exact_match"}


def test_resampled_scores_are_those_of_the_resampled_texts():
    order = np.array([1, 1, 3, 0])
    scores = translation_scores.scores(predictions().take(order), symbols=False)
    found, targets = ([texts[i] for i in order] for texts in (FOUND, TARGETS))
    assert scores["bleu"] == pytest.approx(sacrebleu.corpus_bleu(found, [targets]).score)
    scores_of = functools.partial(translation_scores.scores, symbols=False)
    low, high = evaluation.intervals(scores_of, predictions())["chrf"]
    assert low < translation_scores.scores(predictions(), symbols=False)["chrf"] < high


def test_each_text_has_its_own_chrf():
    expected = [
        sacrebleu.corpus_chrf([f], [[t]]).score for f, t in zip(FOUND, TARGETS, strict=True)
    ]
    np.testing.assert_allclose(translation_scores.sentence_chrf(predictions()), expected)


def test_the_error_rate_counts_edits_per_symbol_of_all_targets():
    found, targets = ["G R EY", "K AE T S", ""], ["G R EY D", "K AE T", "AH"]
    scores = translation_scores.scores(predictions(found, targets), symbols=True)
    assert scores["token_error_rate"] == pytest.approx((1 + 1 + 1) / 8)
    assert scores["exact_match"] == 0


def test_perplexity_is_per_target_token():
    answers = {
        "log_likelihood": np.array([-2.0, -4.0, -1.0, -1.0]),
        "shuffled": np.array([-8.0, -8.0, -8.0, -8.0]),
        "target_tokens": np.array([3, 3, 1, 1]),
    }
    scores = translation_scores.scores(predictions(**answers), symbols=False)
    assert scores["perplexity"] == pytest.approx(np.exp(1))
    assert scores["shuffled_perplexity"] == pytest.approx(np.exp(4))


def test_the_dictionary_is_that_of_nltk_s_ibm_model_1():
    pairs = [
        *(("the house", "la casa"), ("the dog", "la perra"), ("a house", "una casa")),
        *(("a dog sees the house", "una perra ve la casa"), ("red", "roja")),
    ]
    sources, targets = zip(*pairs, strict=True)
    translate = translation_scores.word_for_word(sources, targets, characters=False)
    corpus = [nltk.AlignedSent(t.split(), s.split()) for s, t in pairs]
    model = nltk.IBMModel1(corpus, 10)
    known = {word for source in sources for word in source.split()}
    for word in sorted(known):
        chances = {
            other: model.translation_table[other][word]
            for other in {w for target in targets for w in target.split()}
        }
        assert translate(word) == max(chances, key=lambda other: chances[other])
    assert translate("The “house”, Bob!") == "La “casa”, Bob!"
    assert translate("") == ""


def test_letters_have_a_dictionary_of_phones():
    translate = translation_scores.word_for_word(
        ["ab", "a", "b"], ["AH B", "AH", "B"], characters=True
    )
    assert translate("ba") == "B AH"


def test_texts_without_words_teach_nothing():
    translate = translation_scores.word_for_word(["…", "a"], ["b", "…"], characters=False)
    assert translate("a word") == "a word"


@pytest.mark.parametrize("characters", [False, True])
def test_the_nearest_neighbour_s_translation_is_the_answer(characters):
    sources, targets = ["the red house", "a small dog", "x"], ["casa", "perro", "x"]
    answer = translation_scores.nearest_neighbour(sources, targets, characters=characters)
    assert answer(["small dogs and a dog", "red houses, the red"]) == ["perro", "casa"]
