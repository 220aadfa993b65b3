"""Metrics of question answering: F1 and exact match, as SQuAD 1.1 has them."""

from __future__ import annotations

import re
import string
from collections import Counter

import numpy as np

from pipelines.predictions import Predictions, Scores
from pipelines.tasks.question_answering.decoding import answer_texts

_SCORES = ("f1", "exact_match")


def reduce(predictions: Predictions) -> Predictions:
    """Reduces predicted spans and the "answers" of each question to "f1" and "exact_match"."""
    return predictions.reduced(dict(zip(_SCORES, per_question(predictions).T, strict=True)))


def scores(predictions: Predictions) -> Scores:
    """Scores what `reduce` returned.

    Returns:
        The means of f1 and exact_match, each that of the question's best answer.
    """
    return {name: predictions.mean(name) for name in _SCORES}


def per_question(predictions: Predictions) -> np.ndarray:
    """Returns f1 and exact_match of each question, float [questions, 2]."""
    truths = predictions.examples["answers"]
    return np.array(
        [_of_answer(*pair) for pair in zip(answer_texts(predictions), truths, strict=True)]
    )


def f1_by_kind(predictions: Predictions) -> dict[str, float]:
    """Returns the mean F1 by kind of answer and of passage, named with the number of questions."""
    f1_of_each = per_question(predictions)[:, 0]
    answers = [truths[0].decode() for truths in predictions.examples["answers"]]
    lengths = np.array([len(context.split()) for context in predictions.examples["context"]])
    middle = int(np.median(lengths))
    number = np.array([bool(re.search(r"\d", answer)) for answer in answers])
    words = np.array([len(answer.split()) for answer in answers])
    kinds = {
        "with a number": number,
        "one word": ~number & (words == 1),
        "several words": ~number & (words > 1),
        f"passage of at most {middle} words": lengths <= middle,
        f"passage of more than {middle} words": lengths > middle,
    }
    return {
        f"{name} ({kind.sum()})": float(f1_of_each[kind].mean())
        for name, kind in kinds.items()
        if kind.any()
    }


def _of_answer(answer: str, truths: tuple[bytes, ...]) -> tuple[float, float]:
    predicted = normalize(answer)
    right = [normalize(truth.decode()) for truth in truths]
    return max(f1(predicted, truth) for truth in right), float(predicted in right)


def normalize(text: str) -> str:
    """Returns a text in lower case, without punctuation (of ASCII), articles and extra space.

    As the official script of SQuAD 1.1 does (Rajpurkar et al. 2016, section 6.1).
    """
    text = "".join(character for character in text.lower() if character not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def f1(predicted: str, truth: str) -> float:
    """Returns the harmonic mean of precision and recall of the words of two normalized texts."""
    words, right = predicted.split(), truth.split()
    common = sum((Counter(words) & Counter(right)).values())
    return 2 * common / (len(words) + len(right)) if common else 0.0
