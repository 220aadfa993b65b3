"""Decoding of spans: the best of all that are possible, and its text."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from pipelines.tasks.question_answering import decoding
from pipelines.tasks.question_answering.decoding import MAX_TOKENS
from tests.pipelines.tasks.question_answering.examples import predictions


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
    decoded = {name: x.numpy() for name, x in decoding.most_probable_span(logits).items()}
    assert decoded["start"].dtype == decoded["end"].dtype == np.int64
    for row in range(3):
        start, end = (probabilities(logits[name][row]) for name in ("start", "end"))
        spans = [
            (start[i] * end[j], i, j)
            for i, j in itertools.product(range(tokens), repeat=2)
            if i <= j < i + MAX_TOKENS
        ]
        best = max(spans)[0]
        chosen = (decoded["start"][row], decoded["end"][row])
        assert chosen in {(i, j) for p, i, j in spans if p >= best * (1 - 1e-5)}
        assert decoded["score"][row] == pytest.approx(best, rel=1e-4, abs=1e-30)


def test_an_answer_is_no_longer_than_allowed():
    start, end = np.full((2, 1, 50), -5.0, np.float32)
    start[0, 2], end[0, 2 + MAX_TOKENS], end[0, 1 + MAX_TOKENS] = 9.0, 9.0, 1.0
    decoded = decoding.most_probable_span({"start": start, "end": end})
    assert (decoded["start"].numpy(), decoded["end"].numpy()) == ([2], [1 + MAX_TOKENS])


def test_without_a_passage_the_score_is_zero():
    nowhere = {name: np.full((1, 4), -1e9, np.float32) for name in ("start", "end")}
    decoded = decoding.most_probable_span(nowhere)
    assert decoded["score"].numpy() == [0.0]
    spans = np.zeros((1, 4, 2), np.int32)
    found = decoding.answer_spans(tf.constant([""]), spans, decoded["start"], decoded["end"])
    assert {name: x.numpy().tolist() for name, x in found.items()} == {
        "answer": [b""],
        "start": [0],
        "end": [0],
    }


def test_characters_are_counted_where_bytes_are_cut():
    context = "Zoë naïvely paid 5 € — or 6."
    start, end = context.index("5"), context.index("€") + 1
    spans = np.array([[[0, 0], [len(context[:start].encode()), len(context[:end].encode())]]])
    one = tf.constant([1], tf.int64)
    found = decoding.answer_spans(tf.constant([context]), spans.astype(np.int32), one, one)
    assert found["answer"].numpy()[0].decode() == context[start:end] == "5 €"
    assert (found["start"].numpy(), found["end"].numpy()) == ([start], [end])


def test_answers_are_the_text_between_their_tokens():
    assert decoding.answer_texts(predictions()) == ["New York City", "New York City", "May"]


def test_examples_whose_best_span_is_a_tie_are_left_out():
    clear = np.array([[0.0, 5.0, 0.0]], np.float32)
    tie = np.array([[5.0, 5.0, 0.0]], np.float32)
    start, end = np.concatenate([tie, clear, tie, clear]), np.concatenate([clear] * 4)
    assert decoding.unambiguous({"start": start, "end": end}).tolist() == [1, 3]
    assert decoding.unambiguous({"start": tie, "end": clear}).tolist() == [0]
