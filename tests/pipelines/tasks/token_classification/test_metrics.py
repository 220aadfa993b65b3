"""Tags and entities: scores and baselines by hand, spans as seqeval reads them."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from pipelines.predictions import Predictions
from pipelines.tasks.token_classification import metrics as tagging
from pipelines.tasks.token_classification.metrics import (
    column,
    expected,
    f1_by_type,
    hidden_markov_model,
    most_frequent_tag,
)


def predictions(*rows: tuple[str, str]) -> Predictions:
    """Pairs of what is true and what is answered, each tags with spaces between."""
    sides = zip(*rows, strict=True)
    truth, answered = (column([text.split() for text in side]) for side in sides)
    return Predictions({"tags": truth}, {"tags": answered})


def test_columns_hold_tuples_even_of_one_length():
    assert column([["a"], ["b"]]).tolist() == [("a",), ("b",)]
    assert column([[], ["b", "c"]]).shape == (2,)
    assert column([]).shape == (0,)


def test_scores_count_whole_entities_over_all_texts():
    scores = tagging.scores(
        predictions(
            ("B-A I-A O B-B", "B-A I-A O B-A"),  # One right, one of another type.
            ("B-A O", "O O"),  # One missed.
            ("O B-A I-A O", "O B-A O O"),  # One too short.
            ("O", "B-B"),  # One too many.
        )
    )
    # One of four found ones, one of four true ones.
    assert scores["precision"] == pytest.approx(1 / 4)
    assert scores["recall"] == pytest.approx(1 / 4)
    assert scores["f1"] == pytest.approx(1 / 4)
    assert scores["word_accuracy"] == pytest.approx(7 / 11)


def test_precision_and_recall_are_told_apart():
    scores = tagging.scores(predictions(("B-A O B-A B-B O", "B-A O O O O")))
    assert (scores["precision"], scores["recall"]) == (1, pytest.approx(1 / 3))
    assert scores["f1"] == pytest.approx(1 / 2)


def test_without_any_entity_scores_are_zero_and_accuracy_is_not():
    assert tagging.scores(predictions(("O O", "O O"))) == {
        "f1": 0.0,
        "precision": 0.0,
        "recall": 0.0,
        "word_accuracy": 1.0,
    }


def test_each_type_has_an_f1_and_a_number():
    by_type = f1_by_type(
        predictions(
            ("B-A O B-B", "B-A O B-B"),
            ("B-A O B-B", "B-A O O"),
            ("B-A O O", "O B-C O"),
        )
    )
    # C is never true, so that nothing can be said about it.
    assert by_type == {
        "A": (pytest.approx(2 * 1 * (2 / 3) / (1 + 2 / 3)), 3),
        "B": (pytest.approx(2 * 1 * (1 / 2) / (1 + 1 / 2)), 2),
    }


# Baselines


def words(*texts: str) -> np.ndarray:
    return column([text.split() for text in texts])


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
    return column(texts), column(tags)


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


# Spans

TAG = st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B", "B-A-C", "I-A-C"])
WORD = st.text(
    st.characters(exclude_categories=["Cs", "Cn", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=4
)
BATCH = st.lists(st.lists(st.tuples(WORD, TAG), max_size=9), min_size=1, max_size=4)

_RAGGED = [tf.RaggedTensorSpec([None, None], dtype, 1) for dtype in (tf.string, tf.int64, tf.int64)]
GRAPH = tf.function(tagging.spans, input_signature=[tf.TensorSpec([None], tf.string), *_RAGGED])


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
    chance = random.uniform(size=(len(rows), 12)).astype(np.float32)
    for row, places, line in zip(rows, first, tags, strict=True):
        for place, (_, tag) in zip(places, row, strict=False):
            line[place] = tag.encode()
    by_hand = expected(texts, matches, first, tags, chance)
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
        assert by_hand["probabilities"][index].tolist() == [*chance[index, places], *[0] * gap]
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


# Pictures


def test_the_pictures_show_types_and_the_worst_texts_first():
    test = Predictions(
        {
            "words": words("Ann met $5 Bob", "in Oslo", "so"),
            "tags": words("B-PER O O B-PER", "O B-LOC", "O"),
        },
        {"tags": words("O O O B-LOC", "O B-PER", "O")},
    )
    pictures = dict(tagging.pictures(test))
    assert list(pictures) == ["f1_by_type", "confusion_matrix", "worst_mistakes"]
    axes = pictures["f1_by_type"].axes[0]
    assert {text.get_text() for text in axes.get_yticklabels()} >= {"PER (2)", "LOC (1)"}
    lines = [text.get_text() for text in pictures["worst_mistakes"].axes[0].texts]
    assert lines[0] == "Worst mistakes on the test split"
    assert lines[1].startswith("2 words wrong")
    assert lines[2].replace("\\", "") == "Ann [O, B-PER] met $5 Bob [B-LOC, B-PER]"
    assert lines[3].startswith("1 words wrong")
    assert lines[4] == "in Oslo [B-PER, B-LOC]"
    assert len(lines) == 5


def test_a_perfect_tagger_has_no_mistakes_to_show():
    test = Predictions({"words": words("Ann"), "tags": words("B-PER")}, {"tags": words("B-PER")})
    *_, (name, figure) = tagging.pictures(test)
    assert name == "worst_mistakes"
    assert [text.get_text() for text in figure.axes[0].texts] == ["No mistakes on test"]
