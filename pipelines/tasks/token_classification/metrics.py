"""Tags of words in the scheme BIO: scores, baselines, and spans read off in a graph.

B-X opens an entity of type X, I-X continues it, O is outside (Ramshaw & Marcus, "Text Chunking
using Transformation-Based Learning", 1995). Entities are read as conlleval does: one ends where the
type changes or another opens, and an I- after anything else opens one too.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import nltk
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from seqeval import metrics
from seqeval.metrics.sequence_labeling import get_entities

from pipelines import figures
from pipelines.predictions import Predictions, Scores
from pipelines.text import figures as text_figures

OUTSIDE = "O"
Tags = Sequence[str]
Tagger = Callable[[Sequence[str]], list[str]]


def column(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """Returns sequences of different lengths as one object array [rows]."""
    array = np.empty(len(rows), object)
    array[:] = [tuple(row) for row in rows]
    return array


def scores(predictions: Predictions) -> Scores:
    """Scores answers "tags" against examples "tags", each an object array [texts] of tuples.

    Returns:
        f1, precision and recall of entities, over all of them; word_accuracy.
    """
    truth = [list(tags) for tags in predictions.examples["tags"]]
    given = [list(tags) for tags in predictions.predicted["tags"]]
    return {
        "f1": float(metrics.f1_score(truth, given, zero_division=0)),
        "precision": float(metrics.precision_score(truth, given, zero_division=0)),
        "recall": float(metrics.recall_score(truth, given, zero_division=0)),
        "word_accuracy": float(metrics.accuracy_score(truth, given)),
    }


def f1_by_type(predictions: Predictions) -> dict[str, tuple[float, int]]:
    """Returns F1 and number of true entities of each type that occurs."""
    report = metrics.classification_report(
        [list(tags) for tags in predictions.examples["tags"]],
        [list(tags) for tags in predictions.predicted["tags"]],
        output_dict=True,
        zero_division=0,
    )
    return {
        name: (float(values["f1-score"]), int(values["support"]))
        for name, values in report.items()
        if not name.endswith(" avg") and values["support"]
    }


def most_frequent_tag(words: np.ndarray, tags: np.ndarray) -> Tagger:
    """Gives each word the tag that it has most often; unknown words that of all rare words.

    Args:
        words: Object array [texts] of tuples of words.
        tags: Their tags.
    """
    counts: dict[str, Counter] = defaultdict(Counter)
    for text, answer in zip(words, tags, strict=True):
        for word, tag in zip(text, answer, strict=True):
            counts[_shape(word)][tag] += 1
    best = {shape: tally.most_common(1)[0][0] for shape, tally in counts.items()}
    rare = Counter(tag for tally in counts.values() if tally.total() == 1 for tag in tally)
    unknown = (rare or sum(counts.values(), Counter())).most_common(1)[0][0]
    return lambda text: [best.get(_shape(word), unknown) for word in text]


def hidden_markov_model(words: np.ndarray, tags: np.ndarray) -> Tagger:
    """Fits a hidden Markov model of tags, read with Viterbi's algorithm.

    Words that occur once stand for all unknown ones. Counts are smoothed by 0.1 (Lidstone).

    Args:
        words: Object array [texts] of tuples of words.
        tags: Their tags.
    """
    counts = Counter(_shape(word) for text in words for word in text)

    def known(word: str) -> str:
        shape = _shape(word)
        return shape if counts[shape] > 1 else "<unknown>"

    sequences = [
        [(known(word), tag) for word, tag in zip(text, answer, strict=True)]
        for text, answer in zip(words, tags, strict=True)
    ]
    tagger = nltk.HiddenMarkovModelTagger.train(
        sequences, estimator=lambda counted, bins: nltk.LidstoneProbDist(counted, 0.1, bins)
    )
    return lambda text: [tag for _, tag in tagger.tag([known(word) for word in text])]


def _shape(word: str) -> str:
    return "".join("0" if letter.isdigit() else letter for letter in word.lower())


def spans(
    texts: tf.Tensor, tags: tf.RaggedTensor, starts: tf.RaggedTensor, ends: tf.RaggedTensor
) -> dict[str, tf.Tensor]:
    """Reads entities off tags, in a graph.

    Args:
        texts: string [batch].
        tags: string [batch, words].
        starts: int64 [batch, words], where words start in the text, in bytes.
        ends: int64 [batch, words], where they end.

    Returns:
        "span_labels" and "span_texts", string [batch, spans], padded with ""; "span_starts" and
        "span_ends", int64 [batch, spans], in bytes, padded with -1.
    """
    rows, names = tags.value_rowids(), tags.flat_values
    inside = tf.strings.regex_full_match(names, "[BI]-.*")
    types = tf.strings.regex_replace(names, "^[BI]-", "")
    same = tf.concat([[False], (types[1:] == types[:-1]) & (rows[1:] == rows[:-1])], 0)[
        : tf.size(names)
    ]
    continued = same & tf.concat([[False], inside[:-1]], 0)[: tf.size(names)]
    opens = inside & (tf.strings.regex_full_match(names, "B-.*") | ~continued)
    closes = (
        inside & tf.concat([~continued[1:] | opens[1:] | ~inside[1:], [True]], 0)[: tf.size(names)]
    )
    row = tf.boolean_mask(rows, opens)
    first = tf.boolean_mask(starts.flat_values, opens)
    last = tf.boolean_mask(ends.flat_values, closes)
    pieces = tf.strings.substr(tf.gather(texts, row), first, last - first)
    labels = tf.boolean_mask(types, opens)

    def padded(values: tf.Tensor, empty) -> tf.Tensor:
        ragged = tf.RaggedTensor.from_value_rowids(values, row, nrows=tags.nrows())
        return ragged.to_tensor(default_value=tf.constant(empty, values.dtype))

    return {
        "span_labels": padded(labels, ""),
        "span_texts": padded(pieces, ""),
        "span_starts": padded(first, -1),
        "span_ends": padded(last, -1),
    }


def expected(
    texts: Sequence[str],
    words: Sequence[Sequence[re.Match[str]]],
    first: Sequence[Sequence[int]],
    tags: np.ndarray,
    probabilities: np.ndarray,
) -> dict[str, np.ndarray]:
    """Returns what the entry for strings should answer, worked out word by word in Python.

    Args:
        texts: What is asked.
        words: Matches of the words of each text.
        first: Where among a text's tokens the first one of each word stands.
        tags: bytes [texts, tokens], the Keras model's.
        probabilities: float32 [texts, tokens], theirs.
    """
    rows: list[dict[str, list]] = []
    for text, matches, places, given, chance in zip(
        texts, words, first, tags, probabilities, strict=True
    ):
        entities = get_entities([given[place].decode() for place in places])
        starts = [len(text[: matches[one].start()].encode()) for _, one, _ in entities]
        ends = [len(text[: matches[last].end()].encode()) for _, _, last in entities]
        rows.append(
            {
                "words": [match.group().encode() for match in matches[: len(places)]],
                "tags": [given[place] for place in places],
                "probabilities": [chance[place] for place in places],
                "span_labels": [label.encode() for label, _, _ in entities],
                "span_texts": [text.encode()[a:b] for a, b in zip(starts, ends, strict=True)],
                "span_starts": starts,
                "span_ends": ends,
            }
        )
    kinds: dict[str, tuple[type, Any]] = {
        "probabilities": (np.float32, 0),
        "span_starts": (np.int64, -1),
        "span_ends": (np.int64, -1),
    }
    return {
        name: _padded([row[name] for row in rows], *kinds.get(name, (object, b"")))
        for name in rows[0]
    }


def _padded(rows: Sequence[Sequence], dtype: type, empty: Any) -> np.ndarray:
    array: np.ndarray = np.full((len(rows), max(map(len, rows))), empty, dtype)
    for index, row in enumerate(rows):
        array[index, : len(row)] = row
    return array


def pictures(test: Predictions) -> Iterator[tuple[str, Figure]]:
    """Yields F1 by type, confusions of types, and the worst mistakes.

    Args:
        test: Examples "words" and "tags" and answers "tags", object arrays [texts] of tuples.
    """
    by_type = sorted(f1_by_type(test).items(), key=lambda entry: -entry[1][1])
    yield (
        "f1_by_type",
        figures.bars(
            {f"{name} ({count})": f1 for name, (f1, count) in by_type},
            x_label="F1",
            title="Entities of test by type (and how many there are)",
        ),
    )
    truth, given = test.examples["tags"], test.predicted["tags"]
    types = sorted({_type(tag) for row in (*truth, *given) for tag in row})
    true_types, given_types = (
        np.array([types.index(_type(tag)) for row in rows for tag in row])
        for rows in (truth, given)
    )
    yield "confusion_matrix", figures.confusion_matrix(true_types, given_types, types)
    texts = zip(test.examples["words"], truth, given, strict=True)
    shown = [(_marked(*text), sum(map(str.__ne__, *text[1:]))) for text in texts]
    worst = sorted((text for text in shown if text[1]), key=lambda text: -text[1])[:12]
    yield (
        "worst_mistakes",
        text_figures.texts(
            [text for text, _ in worst],
            [f"{count} words wrong; [given, true]" for _, count in worst],
            title="Worst mistakes on the test split",
        ),
    )


def _type(tag: str) -> str:
    return tag.partition("-")[2] or tag


def _marked(words: Sequence[str], truth: Tags, given: Tags) -> str:
    return " ".join(
        word if true == tag else f"{word} [{tag}, {true}]"
        for word, true, tag in zip(words, truth, given, strict=True)
    )
