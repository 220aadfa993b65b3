"""Decoding of tags: tags of words, and spans in a graph as seqeval reads them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from pipelines.predictions import Predictions
from pipelines.tasks.token_classification import decoding, metrics
from pipelines.tasks.token_classification.data import as_column

TAG = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B", "B-A-C", "I-A-C"])
WORD = st.text(
    st.characters(exclude_categories=["Cs", "Cn", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=4
)
BATCH = st.lists(st.lists(st.tuples(WORD, TAG), max_size=9), min_size=1, max_size=4)

_RAGGED = [tf.RaggedTensorSpec([None, None], dtype, 1) for dtype in (tf.string, tf.int64, tf.int64)]
GRAPH = tf.function(decoding.spans, input_signature=[tf.TensorSpec([None], tf.string), *_RAGGED])


def placed(rows: list[list[tuple[str, str]]]):
    """Texts of the words, two spaces between them, with tags and matches."""
    texts = ["  ".join(word for word, _ in row) for row in rows]
    matches = [list(re.finditer(r"\S+", text)) for text in texts]
    assert [len(found) for found in matches] == [len(row) for row in rows]
    return texts, matches


def answered(rows: list[list[tuple[str, str]]]) -> dict[str, np.ndarray]:
    """What the graph reads off the tags of a batch."""
    texts, matches = placed(rows)
    tags = [[tag.encode() for _, tag in row] for row in rows]
    starts, ends = (
        [
            [len(text[: place(match)].encode()) for match in found]
            for text, found in zip(texts, matches, strict=True)
        ]
        for place in (re.Match.start, re.Match.end)
    )
    answer = GRAPH(
        tf.constant([text.encode() for text in texts]),
        tf.ragged.constant(tags, tf.string, ragged_rank=1),
        tf.ragged.constant(starts, tf.int64, ragged_rank=1, row_splits_dtype=tf.int64),
        tf.ragged.constant(ends, tf.int64, ragged_rank=1, row_splits_dtype=tf.int64),
    )
    return {name: value.numpy() for name, value in answer.items()}


@settings(max_examples=150)
@given(BATCH)
def test_spans_are_the_entities_that_seqeval_reads(rows):
    answer = answered(rows)
    found = []
    for text, labels, starts, ends, pieces in zip(
        placed(rows)[0],
        *(answer[f"span_{name}"] for name in ("labels", "starts", "ends", "texts")),
        strict=True,
    ):
        raw = text.encode()
        spans = [
            (label.decode(), raw[start:end], piece)
            for label, start, end, piece in zip(labels, starts, ends, pieces, strict=True)
            if start >= 0
        ]
        found.append([(label, between) for label, between, _ in spans])
        assert all(between == piece for _, between, piece in spans)
        padding = len(labels) - len(spans)
        assert labels[len(spans) :].tolist() == pieces[len(spans) :].tolist() == [b""] * padding
        assert starts[len(spans) :].tolist() == ends[len(spans) :].tolist() == [-1] * padding
    assert found == [
        [
            (label, "  ".join(word for word, _ in row[first : last + 1]).encode())
            for label, first, last in get_entities([tag for _, tag in row])
        ]
        for row in rows
    ]
    assert answer["span_labels"].shape[1] == max(map(len, found))


@settings(max_examples=60)
@given(BATCH, st.integers(0, 9), st.integers(0, 2**31))
def test_python_expects_the_spans_that_a_graph_answers(rows, read, seed):
    """Of each text the first words are read, and what they say stands at their first tokens."""
    random = np.random.default_rng(seed)
    texts, matches = placed(rows)
    first = [
        sorted(random.choice(12, size=min(read, len(row)), replace=False).tolist()) for row in rows
    ]
    tags = np.full((len(rows), 12), b"I-elsewhere", object)
    probabilities = random.uniform(size=(len(rows), 12)).astype(np.float32)
    for row, places, line in zip(rows, first, tags, strict=True):
        for place, (_, tag) in zip(places, row, strict=False):
            line[place] = tag.encode()
    by_hand = decoding.expected_of_texts(
        texts, matches, first, tags=tags, probabilities=probabilities
    )
    kept = [row[: len(places)] for row, places in zip(rows, first, strict=True)]
    # The texts go on behind the words that are read.
    answer = answered(kept)
    for name, value in answer.items():
        assert by_hand[name].dtype == (np.dtype(object) if value.dtype == object else value.dtype)
        np.testing.assert_array_equal(by_hand[name], value)
    longest = max(map(len, kept))
    assert by_hand["words"].shape == by_hand["probabilities"].shape == (len(rows), longest)
    for index, (row, places) in enumerate(zip(kept, first, strict=True)):
        gap = longest - len(row)
        assert by_hand["words"][index].tolist() == [w.encode() for w, _ in row] + [b""] * gap
        assert by_hand["tags"][index].tolist() == [t.encode() for _, t in row] + [b""] * gap
        assert by_hand["probabilities"][index].tolist() == [
            *probabilities[index, places],
            *[0] * gap,
        ]
    assert by_hand["probabilities"].dtype == np.float32


def test_entities_never_reach_into_the_next_text():
    rows = [[("a", "B-A")], [("b", "I-A")], [], [("c", "O")], [("d", "I-A"), ("e", "I-A")]]
    answer = answered(rows)
    assert answer["span_texts"].tolist() == [[b"a"], [b"b"], [b""], [b""], [b"d  e"]]
    assert answer["span_starts"].tolist() == [[0], [0], [-1], [-1], [0]]
    assert answer["span_ends"].tolist() == [[1], [1], [-1], [-1], [4]]
    assert answer["span_ends"].dtype == np.int64


def test_a_batch_may_have_no_text_no_word_or_no_entity():
    assert answered([[("a", "O")], []])["span_labels"].shape == (2, 0)
    assert answered([[], []])["span_starts"].shape == (2, 0)
    nothing = [
        tf.RaggedTensor.from_row_lengths(tf.zeros([0], dtype), tf.zeros([0], tf.int64))
        for dtype in (tf.string, tf.int64, tf.int64)
    ]
    assert GRAPH(tf.zeros([0], tf.string), *nothing)["span_texts"].shape == (0, 0)


def test_the_most_probable_tag_is_predicted():
    logits = tf.constant([[[0.0, 2.0, 1.0], [3.0, -1.0, 2.9]]])
    answer = decoding.most_probable(logits)
    assert answer["tag_ids"].dtype == tf.int32
    assert answer["tag_ids"].numpy().tolist() == [[1, 0]]
    np.testing.assert_allclose(
        answer["probabilities"], tf.reduce_max(tf.nn.softmax(logits), -1), rtol=1e-6
    )


def test_truncated_words_are_outside():
    examples = {
        "tags": as_column([("B-X", "O"), ("B-X", "I-X", "I-X")]),
        "weight": np.array([[0, 1, 0, 1, 0], [0, 1, 0, 0, 0]], np.float32),
    }
    predicted = {"tag_ids": np.array([[2, 1, 2, 0, 2], [0, 1, 2, 2, 2]])}
    found = decoding.tags_of_words(Predictions(examples, predicted), ("O", "B-X", "I-X"))
    assert found.predicted["tags"].tolist() == [("B-X", "O"), ("B-X", "O", "O")]
    scores = metrics.scores(metrics.reduce(found))
    assert scores["f1"] == pytest.approx(1 / 2)
    assert scores["word_accuracy"] == pytest.approx(3 / 5)
