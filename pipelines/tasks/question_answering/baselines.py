"""Baseline of question answering: the sentence of the passage that is most like the question."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from pipelines.predictions import Predictions
from pipelines.tasks.question_answering.data import tokens_of


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
