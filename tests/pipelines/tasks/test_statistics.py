"""Scores from sums of statistics are those of the predictions themselves, resampled or not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from pipelines import evaluation
from pipelines.predictions import Predictions, Scores, collected
from pipelines.tasks.forecasting import metrics as forecasting
from pipelines.tasks.image_captioning import metrics as image_captioning
from pipelines.tasks.image_captioning.cider import document_frequencies
from pipelines.tasks.image_segmentation import metrics as image_segmentation
from pipelines.tasks.image_segmentation.data import IGNORE_ID
from pipelines.tasks.language_modeling import metrics as language_modeling
from pipelines.tasks.pretraining import masked_lm, sentence_pairs
from pipelines.tasks.question_answering import metrics as question_answering
from pipelines.tasks.token_classification import metrics as token_classification
from pipelines.tasks.token_classification.data import as_column
from pipelines.tasks.translation import metrics as translation

EXAMPLES = 23


@dataclass(frozen=True)
class Case:
    """How a task scores, and predictions of `EXAMPLES` examples."""

    reduce: Callable[[Predictions], Predictions]
    scores: Callable[[Predictions], Scores]
    predictions: Predictions


def texts(random: np.random.Generator, words: str = "a dog runs over the grass") -> np.ndarray:
    chosen = [random.choice(words.split(), random.integers(1, 7)) for _ in range(EXAMPLES)]
    return np.array([" ".join(each) for each in chosen], object)


def encoded(column: np.ndarray) -> np.ndarray:
    return np.array([text.encode() for text in column], object)


def of_segmentation(random: np.random.Generator) -> Case:
    truth, mask = random.integers(0, 3, (2, EXAMPLES, 5, 6)).astype(np.uint8)
    truth[random.random(truth.shape) < 0.1] = IGNORE_ID
    return Case(
        functools.partial(image_segmentation.reduce, classes=3),
        lambda found: image_segmentation.scores(found.total("pixels"), ("a", "b", "c")),
        Predictions({"target": truth}, {"mask": mask}),
    )


def of_language_modeling(random: np.random.Generator) -> Case:
    columns: dict[str, np.ndarray] = {
        "weight": (random.random((EXAMPLES, 7)) < 0.8).astype(np.float32),
        "characters": random.integers(1, 30, EXAMPLES),
        "spelling_bits": random.random(EXAMPLES),
        "block": np.arange(EXAMPLES) // 5,
    }
    log_probs = -random.exponential(size=(EXAMPLES, 7)).astype(np.float32)
    return Case(
        language_modeling.reduce,
        language_modeling.scores,
        Predictions(columns, {"log_probabilities": log_probs}),
    )


def likelihoods(random: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "log_likelihood": -random.exponential(size=EXAMPLES).astype(np.float32),
        "shuffled": -random.exponential(size=EXAMPLES).astype(np.float32),
        "target_tokens": random.integers(1, 9, EXAMPLES),
    }


def of_translation(random: np.random.Generator) -> Case:
    return Case(
        functools.partial(translation.reduce, symbols=True),
        translation.scores,
        Predictions(
            {"target": texts(random)},
            {"translation": encoded(texts(random)), **likelihoods(random)},
        ),
    )


def of_captioning(random: np.random.Generator) -> Case:
    references = as_column(list(zip(texts(random), texts(random), strict=True)))
    return Case(
        functools.partial(
            image_captioning.reduce, frequencies=document_frequencies(list(references))
        ),
        image_captioning.scores,
        Predictions(
            {"references": references},
            {"caption": encoded(texts(random)), **likelihoods(random)},
        ),
    )


def of_question_answering(random: np.random.Generator) -> Case:
    context = "where the dog runs over the grass"
    ends = np.cumsum([len(word) + 1 for word in context.split()]) - 1
    starts = np.concatenate([[0], ends[:-1] + 1])
    start = random.integers(0, 7, EXAMPLES)
    columns = {
        "answers": as_column([(text,) for text in encoded(texts(random))]),
        "context": np.array([context.encode()] * EXAMPLES, object),
        "spans": np.tile(np.stack([starts, ends], 1), (EXAMPLES, 1, 1)),
    }
    predicted = {"start": start, "end": np.minimum(start + 1, 6)}
    return Case(
        question_answering.reduce, question_answering.scores, Predictions(columns, predicted)
    )


def of_token_classification(random: np.random.Generator) -> Case:
    lengths = random.integers(1, 9, EXAMPLES)
    truth, found = (
        as_column([random.choice(["O", "B-A", "I-A", "B-B", "I-B"], n).tolist() for n in lengths])
        for _ in range(2)
    )
    return Case(
        token_classification.reduce,
        token_classification.scores,
        Predictions({"tags": truth}, {"tags": found}),
    )


def of_forecasting(random: np.random.Generator) -> Case:
    columns = {
        "target": random.normal(size=(EXAMPLES, 4)),
        "scale": 1 + random.random(EXAMPLES),
        "block": np.arange(EXAMPLES) // 4,
    }
    predicted = {
        "forecast": random.normal(size=(EXAMPLES, 4)),
        "quantiles": np.sort(random.normal(size=(EXAMPLES, 4, 5))),
    }
    return Case(forecasting.reduce, forecasting.scores, Predictions(columns, predicted))


def of_masked_lm(random: np.random.Generator) -> Case:
    original, token = random.integers(0, 3, (2, EXAMPLES, 5))
    log_p = -random.exponential(size=(EXAMPLES, 5)).astype(np.float32)

    def reduce(predictions: Predictions) -> Predictions:
        return predictions.reduced(
            masked_lm.statistics(predictions)
            | sentence_pairs.statistics(predictions, "next_sentence")
        )

    return Case(
        reduce,
        lambda found: masked_lm.scores(found) | sentence_pairs.scores(found, "next_sentence"),
        Predictions(
            {"masked_lm": original, "next_sentence": random.integers(0, 2, EXAMPLES)},
            {"token": token, "log_probability": log_p, "probability": random.random(EXAMPLES)},
        ),
    )


CASES = (
    *(of_segmentation, of_language_modeling, of_translation, of_captioning),
    *(of_question_answering, of_token_classification, of_forecasting, of_masked_lm),
)


@pytest.fixture(params=CASES, ids=lambda of_task: of_task.__name__.removeprefix("of_"))
def case(request) -> Case:
    return request.param(np.random.default_rng(0))


def test_batches_score_as_the_whole_split_does(case):
    whole = case.scores(case.reduce(case.predictions))
    parts = np.split(np.arange(EXAMPLES), [4, 8, 20])
    batches = [case.predictions.take(part) for part in parts]
    reduced, sample = collected(iter(batches), case.reduce)
    assert case.scores(reduced) == pytest.approx(whole, rel=1e-12)
    assert len(reduced) == EXAMPLES
    assert not reduced.predicted, "statistics alone are kept"
    np.testing.assert_equal(
        (sample.examples, sample.predicted),
        ({**case.predictions.examples, "row": np.arange(EXAMPLES)}, case.predictions.predicted),
    )


def test_a_resample_scores_as_the_predictions_that_it_draws(case):
    found = evaluation._resamples(case.scores, case.reduce(case.predictions))
    sample = evaluation._sampler(case.predictions, np.random.default_rng(evaluation._SEED))
    for values in found:
        drawn = case.predictions.take(sample())
        assert values == pytest.approx(case.scores(case.reduce(drawn)), rel=1e-9, nan_ok=True)
    assert len(found) == 200
