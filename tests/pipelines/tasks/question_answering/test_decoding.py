"""Spans: decoding against every possibility, cutting out, scores worked out by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import architectures
from pipelines.evaluation import intervals
from pipelines.predictions import Predictions
from pipelines.tasks.question_answering import decoding as question_answering
from pipelines.tasks.question_answering.decoding import LONGEST


def probabilities(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits.astype(np.float64) - logits.max())
    return exponentials / exponentials.sum()


@given(st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_the_best_of_all_spans_is_decoded(tokens, seed):
    random = np.random.default_rng(seed)
    within = random.random((3, tokens)) < 0.7
    within[:, random.integers(tokens)] = True
    logits = {
        name: np.where(within, random.normal(0, 3, (3, tokens)), -1e9).astype(np.float32)
        for name in ("start", "end")
    }
    decoded = {name: x.numpy() for name, x in question_answering.decode(logits).items()}
    assert decoded["start"].dtype == decoded["end"].dtype == np.int64
    for row in range(3):
        start, end = (probabilities(logits[name][row]) for name in ("start", "end"))
        spans = [
            (start[i] * end[j], i, j)
            for i, j in itertools.product(range(tokens), repeat=2)
            if i <= j < i + LONGEST
        ]
        best = max(spans)[0]
        chosen = (decoded["start"][row], decoded["end"][row])
        assert chosen in {(i, j) for chance, i, j in spans if chance >= best * (1 - 1e-5)}
        assert decoded["score"][row] == pytest.approx(best, rel=1e-4, abs=1e-30)


def test_an_answer_is_no_longer_than_allowed():
    start, end = np.full((2, 1, 50), -5.0, np.float32)
    start[0, 2], end[0, 2 + LONGEST], end[0, 1 + LONGEST] = 9.0, 9.0, 1.0
    decoded = question_answering.decode({"start": start, "end": end})
    assert (decoded["start"].numpy(), decoded["end"].numpy()) == ([2], [1 + LONGEST])


def test_without_a_passage_nothing_is_answered_for_certain():
    nowhere = {name: np.full((1, 4), -1e9, np.float32) for name in ("start", "end")}
    decoded = question_answering.decode(nowhere)
    assert decoded["score"].numpy() == [0.0]
    spans = np.zeros((1, 4, 2), np.int32)
    found = question_answering.answer(tf.constant([""]), spans, decoded["start"], decoded["end"])
    assert {name: x.numpy().tolist() for name, x in found.items()} == {
        "answer": [b""],
        "start": [0],
        "end": [0],
    }


@pytest.mark.parametrize("architecture", ["bert_tiny", "distilbert_base"])
def test_answers_lie_within_the_passage(architecture):
    encoder = architectures.build(
        architecture, vocabulary=20, layers=1, heads=2, width=8, feed_forward=8, max_length=16
    )
    model = question_answering.span_finder(encoder, separator=3)
    ids = np.array([[2, 5, 6, 3, 7, 8, 9, 3, 0, 0], [2, 5, 3, 6, 6, 6, 6, 6, 6, 3]], np.int32)
    inputs = {"token_ids": ids, "padding_mask": (ids > 0) * 1, "segment_ids": np.zeros_like(ids)}
    logits = model.predict({name: inputs[name] for name in encoder.input}, verbose=0)
    for name in ("start", "end"):
        assert logits[name].dtype == np.float32
        within = [np.flatnonzero(row > -1e9).tolist() for row in logits[name]]
        assert within == [[4, 5, 6], [3, 4, 5, 6, 7, 8]]


def test_characters_are_counted_where_bytes_are_cut():
    context = "Zoë naïvely paid 5 € — or 6."
    start, end = context.index("5"), context.index("€") + 1
    spans = np.array([[[0, 0], [len(context[:start].encode()), len(context[:end].encode())]]])
    one = tf.constant([1], tf.int64)
    found = question_answering.answer(tf.constant([context]), spans.astype(np.int32), one, one)
    assert found["answer"].numpy()[0].decode() == context[start:end] == "5 €"
    assert (found["start"].numpy(), found["end"].numpy()) == ([start], [end])


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  U.S. Army,", "us army"),
        ("an apple a day", "apple day"),
        ("Theatre", "theatre"),
        ("$5,000,000", "5000000"),
        ("a", ""),
    ],
)
def test_texts_are_normalized_as_for_squad(text, normal):
    assert question_answering.normalized(text) == normal


@pytest.mark.parametrize(
    ("given", "truth", "score"),
    [
        ("new york city", "new york", 0.8),
        ("york", "new york", 2 / 3),
        ("rome", "new york", 0.0),
        ("ha ha ha", "ha ha", 0.8),
        ("", "rome", 0.0),
    ],
)
def test_f1_is_that_of_words(given, truth, score):
    assert question_answering.f1(given, truth) == pytest.approx(score)


def predictions() -> Predictions:
    """Three answers to one passage: right, half right for the better truth, wrong."""
    context = b"He left New York City in May."
    spans = np.array([[0, 0], [8, 11], [12, 16], [17, 21], [25, 28], [0, 0]], np.int32)
    columns = {name: np.empty(3, object) for name in ("context", "spans", "answers")}
    columns["context"][:] = [context] * 3
    for row in range(3):
        columns["spans"][row] = spans
    columns["answers"][:] = [(b"the New York City",), (b"May", b"York City"), (b"New York",)]
    return Predictions(columns, {"start": np.array([1, 1, 4]), "end": np.array([3, 3, 4])})


def test_scores_are_means_of_each_question_s_best():
    assert question_answering.texts(predictions()) == ["New York City", "New York City", "May"]
    scores = question_answering.scores(predictions())
    assert scores == {
        "f1": pytest.approx((1 + 0.8 + 0) / 3),
        "exact_match": pytest.approx(1 / 3),
    }
    low, high = intervals(question_answering.scores, predictions())["f1"]
    assert 0 <= low < scores["f1"] < high <= 1


def test_the_sentence_with_most_words_of_the_question_is_chosen():
    context = 'Größe zählt. It cost $1.50 in May! "It cost less," he said. The end'

    def sentence(question: str) -> str:
        start, end = question_answering.most_alike(question, context)
        return context.encode()[start:end].decode()

    assert sentence("It cost $_____ in May!") == "It cost $1.50 in May!"
    assert sentence("he said less _____") == '"It cost less," he said.'
    assert sentence("the _____") == "The end"
    assert sentence("Die Größe _____") == "Größe zählt."
    assert sentence("nothing in common") == "It cost $1.50 in May!"
    assert question_answering.most_alike("anything", " ") == (0, 0)
