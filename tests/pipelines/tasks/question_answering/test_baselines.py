"""Baselines of question answering: random spans, similar sentences, a linear model of words."""

from __future__ import annotations

import numpy as np

from pipelines.tasks.question_answering.baselines import (
    most_similar_sentence,
    predict_most_similar,
    predict_random_span,
)
from pipelines.tasks.question_answering.log_linear import log_linear_reader
from pipelines.tasks.question_answering.metrics import reduce, scores
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
    assert 0.4 <= scores(reduce(predicted))["f1"] < 0.6
    assert scores(reduce(predicted))["exact_match"] == 0


def test_a_truncated_sentence_is_no_error():
    columns = examples.as_columns([(b"b c", b"a a. b c.", (b"c",), 7)])
    spans = np.empty(1, object)
    spans[0] = np.array([[0, 0], [0, 0], [0, 0], [0, 1], [0, 0]], np.int32)
    predicted = predict_most_similar({**columns, "spans": spans}).predicted
    assert (predicted["start"].tolist(), predicted["end"].tolist()) == ([0], [0])


def test_random_spans_have_the_length_of_the_answer():
    data = examples.loaded(examples.QuestionAnswering(examples.config()))
    columns = data.raw("test")
    found = predict_random_span(columns).predicted
    for spans, answers, start, end in zip(
        columns["spans"], columns["answers"], found["start"], found["end"], strict=True
    ):
        assert 0 < spans[start, 1] <= spans[end, 1]
        assert (end > start) >= (b" " in answers[0])


def test_a_linear_model_learns_which_word_follows_the_one_in_question():
    """The answer is the number right of the quoted letter, or left of it, as the question says."""
    random = np.random.default_rng(0)

    def rows(count: int) -> list:
        found = []
        for _ in range(count):
            letters = random.permutation(list("abcde"))[:3].tolist()
            numbers = random.permutation(np.arange(10, 99))[:4].astype(str).tolist()
            words = [numbers[0]]
            for letter, number in zip(letters, numbers[1:], strict=True):
                words += [letter, number]
            side = random.integers(2)
            context = " ".join(words)
            answer = numbers[1 + side]
            question = f"What is {('left', 'right')[side]} of {letters[1]}?"
            found.append(
                (question.encode(), context.encode(), (answer.encode(),), context.index(answer))
            )
        return found

    def columns(count: int) -> dict[str, np.ndarray]:
        own = examples.as_columns(rows(count))
        spans = np.empty(count, object)
        for row, context in enumerate(own["context"]):
            ends = np.cumsum([len(word) + 1 for word in context.split()]) - 1
            starts = [0, *(ends[:-1] + 1)]
            spans[row] = np.stack([starts, ends], 1).astype(np.int32)
        return {**own, "spans": spans}

    read = log_linear_reader(columns(120))
    assert scores(reduce(read(columns(40))))["exact_match"] > 0.9
    empty = {name: x[:1] for name, x in columns(1).items()}
    empty["spans"][0] = np.zeros((2, 2), np.int32)
    assert read(empty).predicted["start"].tolist() == [0]
