"""Figures of pre-training: accuracy by frequency, the worst mistakes, and what layers encode."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import keras
import numpy as np
from matplotlib.figure import Figure

from pipelines import figures, style
from pipelines.datasets.text_columns import column_of, taken
from pipelines.predictions import Predictions
from pipelines.tasks import classification
from pipelines.tasks.pretraining import sentence_pairs
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.embedding import embedder, encoder_inputs
from pipelines.tasks.pretraining.masked_lm import IGNORE_ID, detokenize
from pipelines.tasks.text_classification import probing
from pipelines.tasks.text_classification.data import LabeledTexts, labeled_texts
from pipelines.text import figures as text_figures

# Tokens on either side of a mask that a mistake is shown with.
_CONTEXT = 12
_MAX_MISTAKES = 12
# Tokens of a text that are marked as the worst.
_MAX_MARKED = 6
# Tokens are counted in so many parts, as each is in memory for it.
_PARTS = 64
_FREQUENCIES = ((0, 10), (10, 100), (100, 1000), (1000, 10_000), (10_000, 0))
# Sentences of each class that layers are probed with, and that the map of embeddings shows.
_PROBED = {"train": 600, "validation": 300, "test": 150}


def encoder_figures(
    encoder: keras.Model, data: Segments, test: Predictions
) -> Iterator[tuple[str, Figure]]:
    """Yields the figures of any pre-trained encoder."""
    yield "accuracy_by_frequency", accuracy_by_frequency(data, test)
    yield "worst_mistakes", worst_masked_tokens(data, test)
    yield "lengths", text_figures.lengths(data.train, counts=data.lengths)
    ((inputs, _),) = data.test.take(1).as_numpy_iterator()
    real = inputs["padding_mask"] > 0
    first = {name: x[np.newaxis, real] for name, x in encoder_inputs(encoder, inputs).items()}
    words = [data.vocabulary[index] for index in first["token_ids"][0]]
    yield from text_figures.attention(encoder, first, words)
    labeled = labeled_sentences(data)
    vectors = embedder(encoder)
    mean = keras.Model(vectors.input, vectors.output["mean"])
    yield (
        "embedding_map",
        text_figures.embedding_map(mean, labeled.test, labeled.class_names),
    )
    if len(labeled.class_names) > 1:
        yield "probing", probing.figure(encoder, labeled)


def accuracy_by_frequency(data: Segments, test: Predictions) -> Figure:
    """Plots the accuracy of masked tokens by how often they occur in training."""
    counts = np.zeros(len(data.vocabulary), np.int64)
    for ids in np.array_split(data.tokens["train"].ids, _PARTS):
        counts += np.bincount(ids, minlength=len(counts))
    original = test.examples["masked_lm"]
    real = original != IGNORE_ID
    correct, frequency = (test.predicted["token"] == original)[real], counts[original[real]]
    bars = {}
    for low, high in _FREQUENCIES:
        within = (low <= frequency) & ((frequency < high) | (high == 0))
        if within.any():
            name = f"{low:,} to {high - 1:,}" if high else f"{low:,} or more"
            bars[f"{name} ({within.sum():,})"] = float(correct[within].mean())
    title = "Test tokens by how often they occur in training (number of tokens)"
    label = style.directed("accuracy, 0 to 1", True, axis="x")
    return figures.bars(bars, x_label=label, title=title)


def worst_masked_tokens(data: Segments, test: Predictions) -> Figure:
    """Shows the wrong tokens with the highest probability, with the context of their masks."""
    original, predicted = test.examples["masked_lm"], test.predicted
    inputs, _ = data.arrays("test")
    row, slot = np.nonzero((original != IGNORE_ID) & (predicted["token"] != original))
    order = np.argsort(-predicted["score"][row, slot], kind="stable")[:_MAX_MISTAKES]
    shown, captions = [], []
    for at in zip(row[order], slot[order], strict=True):
        position = inputs["mask_positions"][test.rows[at[0]], at[1]]
        tokens = test.examples["original"][at[0]]
        stop = min(len(tokens) - 1, position + _CONTEXT + 1)
        context = range(max(1, position - _CONTEXT), stop)
        shown.append(detokenize(data.vocabulary, tokens, context, {position: "____"}))
        true, token = (data.vocabulary[x[at]] for x in (original, predicted["token"]))
        captions.append(
            f"{token} {predicted['score'][at]:.2f}, "
            f"true {true} {np.exp(predicted['log_probability'][at]):.3f}"
        )
    return text_figures.texts(
        shown,
        captions,
        title="Wrong tokens on the test split, the most probable first",
        right=[False] * len(shown),
    )


def sentence_pair_figures(data: Segments, test: Predictions) -> Iterator[tuple[str, Figure]]:
    """Yields the confusion matrix, reliability, and the worst mistakes of sentence pairs."""
    truth, labels = test.examples[data.sentence_task], sentence_pairs.labels(test)
    names = sentence_pairs.CLASSES[data.sentence_task]
    yield (
        "confusion_matrix",
        figures.confusion_matrix(truth, labels, names, counted="sentence pairs"),
    )
    certainty = np.abs(test.predicted["probability"] - 0.5) + 0.5
    yield (
        "reliability",
        classification.reliability(certainty, truth == labels, counted="sentence pairs"),
    )
    wrong = np.flatnonzero(truth != labels)
    wrong = wrong[np.argsort(-certainty[wrong], kind="stable")][:_MAX_MISTAKES]
    yield (
        "worst_sentence_pairs",
        text_figures.texts(
            [detokenize(data.vocabulary, test.examples["original"][row]) for row in wrong],
            [
                f"{names[labels[row]]} {certainty[row]:.2f}, true: {names[truth[row]]}"
                for row in wrong
            ],
            title="Worst mistakes about sentence pairs on the test split",
            right=[False] * len(wrong),
        ),
    )


def replaced_token_figures(data: Segments, test: Predictions) -> Iterator[tuple[str, Figure]]:
    """Yields the confusion matrix, reliability, and the worst mistakes on the fixed corruption."""
    original = test.examples["replaced_token"]
    counted = data.ordinary[original] & test.examples["fixed_corruption"][:, np.newaxis]
    probability = test.predicted["replaced"][counted]
    replaced = (test.predicted["corrupted_ids"] != original)[counted]
    labels, names = probability > 0.5, ("original", "replaced")
    yield (
        "confusion_matrix",
        figures.confusion_matrix(replaced * 1, labels * 1, names, counted="tokens"),
    )
    certainty = np.abs(probability - 0.5) + 0.5
    yield (
        "reliability",
        classification.reliability(certainty, labels == replaced, counted="tokens"),
    )
    yield "worst_replaced_tokens", worst_replaced_tokens(data, test)


def worst_replaced_tokens(data: Segments, test: Predictions) -> Figure:
    """Shows the texts in which the detector is most wrong, with these tokens marked."""
    original, tokens = test.examples["replaced_token"], test.predicted["corrupted_ids"]
    replaced, probability = tokens != original, test.predicted["replaced"]
    counted = data.ordinary[original] & test.examples["fixed_corruption"][:, np.newaxis]
    gap = np.where(counted, np.abs(replaced - probability), 0)
    worst = np.argsort(-np.sort(gap, axis=1)[:, -_MAX_MARKED:].mean(1), kind="stable")
    shown, captions = [], []
    for row in worst[:_MAX_MISTAKES]:
        marked = {}
        for position in map(int, np.argsort(-gap[row])[:_MAX_MARKED]):
            if gap[row, position] > 0.5:
                word = data.vocabulary[tokens[row, position]]
                true = data.vocabulary[original[row, position]]
                instead = f" for {true}" if replaced[row, position] else ""
                marked[position] = f"[{word}{instead} {probability[row, position]:.2f}]"
        length = len(test.examples["original"][row])
        shown.append(detokenize(data.vocabulary, tokens[row, :length], replacements=marked))
        captions.append(f"{len(marked)} marked: probability of being replaced")
    return text_figures.texts(
        shown,
        captions,
        title="Texts of the test split with the worst mistakes",
        right=[False] * len(shown),
    )


def labeled_sentences(data: Segments) -> LabeledTexts:
    """Returns sentences with the labels of their documents, the same number for each label."""
    documents = data.documents
    names = documents.class_names or ("text",)
    columns: dict[str, dict[str, np.ndarray]] = {}
    for number, (split, count) in enumerate(_PROBED.items()):
        random = np.random.default_rng(number)
        chosen: list[tuple[str, int]] = []
        for label in range(len(names)):
            rows = np.flatnonzero(documents.labels[split] == label)
            own = column_of(chain.from_iterable(taken(documents.sentences[split], rows)))
            chosen += [(own[index], label) for index in random.permutation(len(own))[:count]]
        order = random.permutation(len(chosen))
        columns[split] = {
            "text": np.array([chosen[index][0] for index in order], object),
            "target": np.array([chosen[index][1] for index in order], np.int64),
        }
    return labeled_texts(
        columns,
        lambda _: data.tokenizer,
        class_names=names,
        name=data.name,
        version=data.version,
        digest=data.digest,
    )
