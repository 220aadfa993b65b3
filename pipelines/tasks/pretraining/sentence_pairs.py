"""Pairs of segments: what judges them without a network, and pictures of how they are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.linear_model import LogisticRegression

from pipelines import figures
from pipelines.predictions import Predictions
from pipelines.tasks.pretraining import masked_lm
from pipelines.tasks.pretraining.data import Mask, Segments
from pipelines.text import figures as text_figures
from pipelines.text.tokenizers import SPECIAL

# What a second segment is, by label.
_CLASSES = {"next_sentence": ("follows", "is random"), "sentence_order": ("follows", "precedes")}
# Pairs that are learned from.
_MOST_PAIRS = 10_000
_MOST_MISTAKES = 12

# From a split's name to "probability", [examples]: that the second segment follows the first.
Answer = Callable[[str], dict[str, np.ndarray]]


def prior(data: Segments) -> Answer:
    """Takes either label for as probable."""
    return lambda split: {"probability": np.full(data.sizes[split], 0.5)}


def by_words_in_common(data: Segments, mask: Mask) -> Answer:
    """Judges pairs, masked, by `words_in_common`, fitted to one pass over the training split."""
    drawn = data.train.take(_MOST_PAIRS).padded_batch(_MOST_PAIRS)
    inputs, target = next(iter(drawn))
    inputs, target = mask(inputs, target, tf.constant([0, 0]))
    judge = words_in_common(
        inputs["token_ids"].numpy(),
        inputs["segment_ids"].numpy(),
        target[data.sentence_task].numpy(),
        np.array([token not in SPECIAL for token in data.tokenizer.vocabulary]),
    )

    def answer(split: str) -> dict[str, np.ndarray]:
        inputs, _ = masked_lm.arrays(data, split)
        return {"probability": 1 - judge(inputs["token_ids"], inputs["segment_ids"])}

    return answer


def words_in_common(
    token_ids: np.ndarray, segment_ids: np.ndarray, labels: np.ndarray, plain: np.ndarray
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Fits logistic regression to what two segments have in common and what they differ in.

    The features are the cosine between the TF-IDF of the two, and the difference between them.

    Args:
        token_ids: int [pairs, tokens], padded with zeros.
        segment_ids: 0 or 1, of the same shape.
        labels: 0 or 1, [pairs].
        plain: bool [vocabulary], which tokens count: [MASK] and its like do not.

    Returns:
        A function from token ids and segment ids to the probability of label 1, [pairs].
    """
    weigh = TfidfTransformer(sublinear_tf=True)

    def counts(ids: np.ndarray, segments: np.ndarray, number: int) -> sparse.csr_matrix:
        row, column = np.nonzero(plain[ids] & (segments == number))
        return sparse.csr_matrix(
            (np.ones(len(row)), (row, ids[row, column])), shape=(len(ids), len(plain))
        )

    def features(ids: np.ndarray, segments: np.ndarray) -> sparse.csr_matrix:
        a, b = (weigh.transform(counts(ids, segments, number)) for number in (0, 1))
        cosine = sparse.csr_matrix(10 * a.multiply(b).sum(1))
        return sparse.hstack([cosine, a - b]).tocsr()

    weigh.fit(sparse.vstack([counts(token_ids, segment_ids, number) for number in (0, 1)]))
    regression = LogisticRegression(max_iter=1000)
    regression.fit(features(token_ids, segment_ids), labels)
    return lambda ids, segments: regression.predict_proba(features(ids, segments))[:, 1]


def labels(predictions: Predictions) -> np.ndarray:
    """Returns what pairs were taken for: 0 where the second is to follow, int64 [examples]."""
    return (predictions.predicted["probability"] < 0.5).astype(np.int64)


def pictures(data: Segments, test: Predictions) -> Iterator[tuple[str, Figure]]:
    """Yields confusions, reliability, and the worst mistakes about pairs of the test split."""
    truth, given = test.examples[data.sentence_task], labels(test)
    names = _CLASSES[data.sentence_task]
    yield "confusion_matrix", figures.confusion_matrix(truth, given, names)
    certainty = np.abs(test.predicted["probability"] - 0.5) + 0.5
    yield "reliability", figures.reliability(certainty, truth == given)
    wrong = np.flatnonzero(truth != given)
    wrong = wrong[np.argsort(-certainty[wrong], kind="stable")][:_MOST_MISTAKES]
    vocabulary = data.tokenizer.vocabulary
    yield (
        "worst_pairs",
        text_figures.texts(
            [masked_lm.spelled(vocabulary, test.examples["original"][row]) for row in wrong],
            [
                f"{names[given[row]]} {certainty[row]:.2f}, true: {names[truth[row]]}"
                for row in wrong
            ],
            title="Worst mistakes about pairs on the test split",
        ),
    )
