"""Baselines of question answering without learning: a random span, the most similar sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from pipelines.predictions import Predictions
from pipelines.tasks.question_answering.data import tokens_of

# From the columns of a split, as in `data.Questions`, to predicted "start" and "end", int
# [questions].
Reader = Callable[[Mapping[str, np.ndarray]], Predictions]


def predict_random_span(columns: Mapping[str, np.ndarray]) -> Predictions:
    """Answers each question with a random span that has as many tokens as its answer.

    Args:
        columns: "answers", "answer_start" and "spans" of a split, as in `data.Questions`.

    Returns:
        Predicted "start" and "end", int [questions]; 0 where the passage was truncated to nothing.
    """
    random = np.random.default_rng(0)
    found = []
    for answers, start, spans in zip(
        *(columns[name] for name in ("answers", "answer_start", "spans")), strict=True
    ):
        passage = np.flatnonzero(spans[:, 1] > spans[:, 0])
        if not len(passage):
            found.append((0, 0))
            continue
        first, last = tokens_of(spans, start, start + len(answers[0].rstrip()))
        length = min(last - first + 1, len(passage))
        place = random.integers(len(passage) - length + 1)
        found.append((passage[place], passage[place + length - 1]))
    start, end = np.array(found).T
    return Predictions(columns, {"start": start, "end": end})


def predict_most_similar(columns: Mapping[str, np.ndarray]) -> Predictions:
    """Answers each question with the sentence of its passage that is most similar to it.

    Args:
        columns: "question", "context" and "spans" of a split, as in `data.Questions`.

    Returns:
        Predicted "start" and "end", int [questions]: the sentence's first and last token; 0 where
        it was truncated.
    """
    found = [
        tokens_of(spans, *most_similar_sentence(question.decode(), context.decode()))
        for question, context, spans in zip(
            *(columns[name] for name in ("question", "context", "spans")), strict=True
        )
    ]
    start, end = np.maximum(found, 0).T
    return Predictions(columns, {"start": start, "end": end})


def most_similar_sentence(question: str, context: str) -> tuple[int, int]:
    """Returns the first byte of the sentence that is most similar to the question, and its end.

    It shares the most distinct words with the question; of several such, it is the first.
    """
    asked = _words(question)
    sentences = list(re.finditer(r"\S.*?(?:[.!?][\"')\]]*(?=\s)|$)", context, re.DOTALL))
    best = max(sentences, key=lambda found: len(asked & _words(found.group())), default=None)
    if best is None:
        return 0, 0
    return len(context[: best.start()].encode()), len(context[: best.end()].encode())


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
