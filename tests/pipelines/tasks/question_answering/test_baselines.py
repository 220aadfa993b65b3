"""Baseline of question answering: the sentence with most words of the question."""

from __future__ import annotations

import numpy as np

from pipelines.tasks.question_answering.baselines import (
    most_similar_sentence,
    predict_most_similar,
)
from pipelines.tasks.question_answering.metrics import scores
from tests.pipelines.tasks.question_answering import examples


def test_the_sentence_with_most_words_of_the_question_is_chosen():
    context = 'Größe zählt. It cost $1.50 in May! "It cost less," he said. The end'

    def sentence(question: str) -> str:
        start, end = most_similar_sentence(question, context)
        return context.encode()[start:end].decode()

    assert sentence("It cost $_____ in May!") == "It cost $1.50 in May!"
    assert sentence("he said less _____") == '"It cost less," he said.'
    assert sentence("the _____") == "The end"
    assert sentence("Die Größe _____") == "Größe zählt."
    assert sentence("nothing in common") == "It cost $1.50 in May!"
    assert most_similar_sentence("anything", " ") == (0, 0)


def test_the_tokens_of_that_sentence_are_predicted():
    task = examples.QuestionAnswering(examples.config())
    data = examples.loaded(task)
    predicted = predict_most_similar(data.raw("test"))
    # "Zoë lives in Rome" for "Rome": one word right of four, or of five for São Paulo.
    assert 0.4 <= scores(predicted)["f1"] < 0.6
    assert scores(predicted)["exact_match"] == 0


def test_a_truncated_sentence_is_no_error():
    columns = examples.as_columns([(b"b c", b"a a. b c.", (b"c",), 7)])
    spans = np.empty(1, object)
    spans[0] = np.array([[0, 0], [0, 0], [0, 0], [0, 1], [0, 0]], np.int32)
    predicted = predict_most_similar({**columns, "spans": spans}).predicted
    assert (predicted["start"].tolist(), predicted["end"].tolist()) == ([0], [0])
